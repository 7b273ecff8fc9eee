"""A noun of the API as something to do with: what a row is called, what is known of it, and its actions.

``Listing`` shows the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, cast

from textual import on, work
from textual.app import SystemCommand
from textual.binding import Binding
from textual.containers import Vertical
from textual.markup import escape

from llmgate.client import AdminClient
from llmgate.errors import LLMGateError, NotFound
from llmgate.text import clean
from llmgate.tui.acting import Action
from llmgate.tui.columns import Fact, Row
from llmgate.tui.errors import LOOKING, told, understood
from llmgate.tui.filters import Filter
from llmgate.tui.link import Link
from llmgate.tui.twin import twin
from llmgate.tui.widgets.rows import RowTable

if TYPE_CHECKING:  # the application knows its nouns
    from llmgate.tui.app import Dashboard


class Noun(Vertical, Generic[Row]):
    """Subclasses declare what the class attributes say."""

    title: ClassVar[str]
    """On the tab: ``Users``."""
    lists: ClassVar[str]
    """The CLI verb that lists the same: ``users list``."""
    shows: ClassVar[str] = ""
    """The CLI verb that shows one row, "" where there is none."""
    also: ClassVar[Sequence[str]] = ()
    """Other CLI verbs that the list, which is live, stands for: ``activity watch``."""
    facts: ClassVar[Sequence[Fact[Any]]] = ()
    """Everything that Enter shows of a row."""
    filters: ClassVar[Sequence[Filter]] = ()
    search: ClassVar[str | None] = None
    """The filter that plain words are for."""
    actions: ClassVar[Sequence[Action[Any]]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """The actions become bindings: Textual reads them from the class."""
        own = [
            Binding(action.key, f"{verb}('{action.name}')", action.label, show=verb == "act" and not action.hidden)
            for action in cls.__dict__.get("actions", ())
            for verb in ("act", "explain")  # the key of what cannot be done now says why
        ]
        cls.BINDINGS = [*own, *cls.__dict__.get("BINDINGS", [])]
        super().__init_subclass__(**kwargs)

    # -- what a noun says ----------------------------------------------------------------------

    def identity(self, row: Row) -> str:
        """What tells this row from every other, as long as it exists."""
        return str(cast("Any", row).id)

    def named(self, row: Row) -> str:
        """What a person calls it, and the CLI finds it by."""
        return str(cast("Any", row).name)

    def told_of(self, row: Row) -> Sequence[tuple[str, object]]:
        """What Enter shows of a row, each with its title."""
        return [(fact.title, fact.value(row)) for fact in self.facts]

    async def look(self, client: AdminClient, row: Row) -> Row:
        """The row with everything that is known about it. Raises NotFound when it is gone."""
        return row

    @property
    def dashboard(self) -> Dashboard:
        return cast("Dashboard", self.app)

    @property
    def table(self) -> RowTable[Row]:
        return cast("RowTable[Row]", self.query_one(RowTable))

    # -- details -------------------------------------------------------------------------------

    @on(RowTable.Chosen)
    def chosen(self, event: RowTable.Chosen) -> None:
        event.stop()
        row = self.table.row
        if row is not None and self.facts:
            self._show(row)

    @work(exclusive=True, group="show")
    async def _show(self, row: Row) -> None:
        desk, name, link, words = self.dashboard.desk, self.named(row), self.dashboard.link, ""
        try:
            with understood():
                row = await self.look(desk.client, row)
        except NotFound as gone:
            if self._awaited(link):
                desk.say(told(gone), error=True)
            return
        except LLMGateError as failure:
            words = f"{told(failure)} This is what was known before."
        if not self._awaited(link):
            return
        if words:
            desk.say(words, error=True)
        try:
            with understood():
                facts = self.told_of(row)
        except LLMGateError as failure:
            desk.say(told(failure), error=True)
            return
        command = twin(self.shows, name) if self.shows else twin(self.lists)
        await desk.facts(f"{self.title}: {name}", facts, command, names=self.identity(row))

    def _awaited(self, link: Link) -> bool:
        """Whether what was asked for is still wanted: nobody has gone on to something else."""
        app = self.dashboard
        return app.link is link and app.screen is self.screen and self in app.screen.query(Noun) and self.display

    # -- actions -------------------------------------------------------------------------------

    def action_named(self, name: str) -> Action[Any]:
        return next(action for action in self.actions if action.name == name)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """None dims the hint of what cannot be done at the moment."""
        if action == "filter":
            return bool(self.filters or self.search)
        if action not in ("act", "explain"):
            return True
        if action == "act" and self.dashboard.read_only and self.action_named(str(parameters[0])).changes:
            return False  # no hint: it will never be possible
        refused = bool(self.refusal(self.action_named(str(parameters[0]))))
        if action == "explain":
            return refused
        return None if refused else True

    def refusal(self, action: Action[Any]) -> str:
        """Why this cannot be done now, "" when it can."""
        if action.changes and self.dashboard.read_only:
            return LOOKING
        if action.alone or not self.is_mounted:
            return ""
        row = self.table.row
        try:
            with understood():
                return "There is no row to do this with." if row is None else action.possible(row)
        except LLMGateError as failure:
            return failure.message

    def action_act(self, name: str) -> None:
        """Do it, or say why not."""
        wanted = self.action_named(name)
        if self.refusal(wanted):
            self.action_explain(name)
        else:
            self._begin(wanted, None if wanted.alone else self.table.row)

    def _begin(self, action: Action[Any], row: Row | None) -> None:
        """One at a time: what is typed while a form is on its way to the screen is no second action."""
        app = self.dashboard
        if len(app.screen_stack) > 1 or (app.busy and not action.quick):
            return
        begun = self._act(action, row)
        if not action.quick:
            app.doing = begun

    def action_explain(self, name: str) -> None:
        wanted = self.action_named(name)
        self.dashboard.desk.say(f"{wanted.label}: {self.refusal(wanted)}", error=True)

    def commands(self) -> Iterator[SystemCommand]:
        """The actions by name, for the palette; also those that would only say why they cannot be done now."""
        row = self.table.row
        for action in self.actions:
            text = escape(clean(self.refusal(action) or f"llmgate {action.verb}"))  # the palette takes it for markup
            yield SystemCommand(f"{self.title}: {action.label}", text, partial(self._chosen, action, row))

    def _chosen(self, action: Action[Any], row: Row | None) -> None:
        """Do it with the row that was under the cursor when the palette was opened."""
        if self.refusal(action):
            self.action_explain(action.name)
        elif action.alone or row is None or type(self).action_act is not Noun.action_act:
            self.action_act(action.name)
        elif any(self.identity(one) == self.identity(row) for one in self.table.rows):
            self.table.move_to(self.identity(row))
            self._begin(action, self.table.row)
        else:
            self.dashboard.desk.say(f"{action.label}: that row is not here any more.", error=True)

    @work(group="act")
    async def _act(self, action: Action[Any], row: Row | None) -> None:
        try:
            with understood():
                await action.does(self.dashboard.desk, row)
        except LLMGateError as failure:
            self.dashboard.desk.say(told(failure), error=True)
