"""A noun of the API as a table: what every list of the dashboard has in common.

A subclass is a declaration: what is listed, its columns, filters and actions. What it does not say is done here:
pages, sorting, filters, refreshing once a second at most, details, hints, and doing what an action says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, cast

from textual import on, work
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.errors import ClientError, LLMGateError, NotFound, RequestError
from llmgate.text import clean
from llmgate.tui.acting import Action
from llmgate.tui.columns import Column, Fact, Row
from llmgate.tui.errors import told
from llmgate.tui.filters import Filter, read
from llmgate.tui.twin import twin
from llmgate.tui.widgets.filterline import FilterLine
from llmgate.tui.widgets.rows import RowTable

if TYPE_CHECKING:  # the application knows its listings
    from llmgate.tui.app import Dashboard

PAGE = 500
"""Rows on the screen at once, at most: also the most that the daemon gives."""
JITTER = 0.1
"""Seconds by which a tick may come early: what is due every second would miss every other tick without."""
AGAIN_SECONDS = 2.0
"""Seconds before a list is asked for again that could not be had."""


@dataclass(frozen=True)
class Part(Generic[Row]):
    """A page: its rows, where the next one begins (None: this is the last), and how many there are if that is known."""

    rows: Sequence[Row]
    next: str | None = None
    total: int | None = None


class Listing(Vertical, Generic[Row]):
    """Subclasses say what is listed; see the class attributes, and ``fetch``, ``identity`` and ``named``."""

    title: ClassVar[str]
    """On the tab: ``Users``."""
    lists: ClassVar[str]
    """The CLI verb that lists the same: ``users list``."""
    shows: ClassVar[str] = ""
    """The CLI verb that shows one row, "" where there is none."""
    also: ClassVar[Sequence[str]] = ()
    """Other CLI verbs that the list, which is live, stands for: ``activity watch``."""
    columns: ClassVar[Sequence[Column[Any]]]
    facts: ClassVar[Sequence[Fact[Any]]] = ()
    """Everything that Enter shows of a row."""
    filters: ClassVar[Sequence[Filter]] = ()
    search: ClassVar[str | None] = None
    """The filter that plain words are for."""
    actions: ClassVar[Sequence[Action[Any]]] = ()
    every: ClassVar[float] = 10.0
    """Seconds after which it is asked again while it is seen, although nothing has told of a change."""
    topics: ClassVar[frozenset[str]] = frozenset()
    """Events after which it is asked again: their types, or ``activity:`` and the beginning of an action."""
    empty: ClassVar[str] = "Nothing here."

    DEFAULT_CSS = """
    Listing { height: 1fr; }
    Listing > .foot { height: 1; color: $text-muted; padding: 0 1; }
    Listing > .foot.-fault { color: $text-error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("right_square_bracket", "turn_page(1)", "Next page", show=False),
        Binding("left_square_bracket", "turn_page(-1)", "Page before", show=False),
        Binding("y", "copy", "Copy the id", show=False),
        Binding("escape", "unfilter", "Clear the filter", show=False),
    ]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """The actions become bindings: Textual reads them from the class."""
        own = [
            Binding(action.key, f"{verb}('{action.name}')", action.label, show=verb == "act" and not action.hidden)
            for action in cls.__dict__.get("actions", ())
            for verb in ("act", "explain")  # the key of what cannot be done now says why
        ]
        cls.BINDINGS = [*own, *cls.__dict__.get("BINDINGS", [])]
        super().__init_subclass__(**kwargs)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._cursors: list[str | None] = [None]
        self._next: str | None = None
        self._part: Part[Row] | None = None
        self._query: Mapping[str, Any] = {}
        self._asked = 0.0
        self._dirty = True
        self._fault = ""
        self._possible: tuple[bool, ...] = ()
        self._loading = self._turned = False
        self.loads = 0
        """How often it was filled: what a test waits for."""

    # -- what a noun says ----------------------------------------------------------------------

    async def fetch(self, client: AdminClient, after: str | None, limit: int, **filters: Any) -> Part[Row]:
        """A page from the daemon."""
        raise AssertionError(f"{type(self).__name__} does not say what it lists.")

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

    # -- widgets -------------------------------------------------------------------------------

    @property
    def dashboard(self) -> Dashboard:
        return cast("Dashboard", self.app)

    @property
    def table(self) -> RowTable[Row]:
        return cast("RowTable[Row]", self.query_one(RowTable))

    def compose(self) -> ComposeResult:
        known = ", ".join(f"{item.name}:{item.hint or '…'}" for item in self.filters)
        yield FilterLine(self.filters, " ".join(part for part in (self.search or "", known) if part))
        yield RowTable(self.columns, self.identity, self.dashboard.wall, empty="Asking the daemon …")
        yield Static(classes="foot")

    def focus_table(self) -> None:
        self.table.focus()

    # -- filling -------------------------------------------------------------------------------

    def forget(self) -> None:
        """Another daemon is shown now: nothing of what was known is true there."""
        self.workers.cancel_group(self, "load")
        self._cursors, self._next, self._part, self._dirty, self._fault = [None], None, None, True, ""
        self._loading = False
        self.table.empty = "Asking the daemon …"
        self.table.show([])
        self._say()

    def mark(self) -> None:
        """What it shows may have changed: it is asked at the next tick."""
        self._dirty = True

    @property
    def filled(self) -> bool:
        """Whether the daemon has ever said what it shows."""
        return self._part is not None

    def due(self, now: float) -> bool:
        """Whether it is time to ask again, at ``now`` on the monotonic clock. What was asked is waited for."""
        return not self._loading and (self._dirty or now - self._asked >= self.every - JITTER)

    def refresh_rows(self, *, quiet: bool = False) -> None:
        """Ask the daemon, and show what it says. ``quiet``: nobody has wanted it, so nothing is shown of it when the
        screens are frozen meanwhile."""
        self._dirty, self._asked, self._loading = False, self.dashboard.clock(), True
        self._load(quiet)

    @work(exclusive=True, group="load")
    async def _load(self, quiet: bool) -> None:
        link = self.dashboard.link
        try:
            part = await self._page(link.client)
        except RequestError as refused:
            self._fault = told(refused)
            if self._turned:  # what is shown is not what was asked for
                self.table.empty = clean(refused.message)
                self.table.show([])
            self.dashboard.refused(link, refused)
        except LLMGateError as failure:
            self._fault = clean(failure.message)
            if isinstance(failure, ClientError):
                link.missed(failure)
            self._asked = self.dashboard.clock() - self.every + AGAIN_SECONDS
        else:
            link.heard()
            self._fault = ""
            if quiet and self.filled and self.dashboard.frozen_for is not None:
                self._dirty = True
            else:
                self._fill(part)
        self._loading = False
        self._say()

    async def _page(self, client: AdminClient) -> Part[Row]:
        """The page that is looked at, or the one before it when that has gone meanwhile."""
        while True:
            part = await self.fetch(client, self._cursors[-1], PAGE, **self._query)
            if part.rows or len(self._cursors) == 1:
                return part
            self._cursors.pop()

    def _fill(self, part: Part[Row]) -> None:
        self._part, self._next = part, part.next
        self.table.empty = "Nothing fits the filter." if self._query else self.empty
        self.table.show(part.rows)
        if self._turned:
            self._turned = False
            self.table.action_first()
        self.loads += 1

    def _say(self) -> None:
        """The line below the table: how much of the list this is."""
        words = [self._fault or self._extent()]
        if not self._fault and self.table.order:
            words.append(f"sorted by {self.table.order}")
        foot = self.query_one(".foot", Static)
        foot.set_class(bool(self._fault), "-fault")
        foot.update(Content("  ·  ".join(word for word in words if word)))

    def _extent(self) -> str:
        part = self._part
        if part is None:
            return ""
        count, before = len(part.rows), PAGE * (len(self._cursors) - 1)
        if part.next is None and before == 0 and part.total in (None, count):
            return f"{count:,} in all" if count else ""
        total = f" of {part.total:,}" if part.total is not None else " and more" if part.next else ""
        pages = "  ] next page" if part.next else ""
        return f"{before + 1:,} to {before + count:,}{total}{pages}{'  [ page before' if before else ''}"

    # -- keys ----------------------------------------------------------------------------------

    def action_filter(self) -> None:
        self.query_one(FilterLine).open()

    def action_unfilter(self) -> None:
        line = self.query_one(FilterLine)
        if line.is_open:
            line.action_clear()

    @on(FilterLine.Changed)
    def filtered(self, event: FilterLine.Changed) -> None:
        event.stop()
        line = self.query_one(FilterLine)
        try:
            self._query = read(event.line, self.filters, self.search)
        except ValueError as fault:
            line.complain(str(fault))
            return
        line.complain("")
        self._cursors, self._turned = [None], True
        self.refresh_rows()

    @on(FilterLine.Left)
    def back(self, event: FilterLine.Left) -> None:
        event.stop()
        self.focus_table()

    def action_turn_page(self, by: int) -> None:
        if by > 0 and self._next is not None:
            self._cursors.append(self._next)
        elif by < 0 and len(self._cursors) > 1:
            self._cursors.pop()
        else:
            return
        self._next, self._turned = None, True
        self.refresh_rows()

    def action_copy(self) -> None:
        row = self.table.row
        if row is not None:
            text = clean(self.identity(row))
            self.app.copy_to_clipboard(text)
            self.notify(f"Copied {text}", markup=False)

    @on(RowTable.Sorted)
    def reordered(self, event: RowTable.Sorted) -> None:
        event.stop()
        self._say()

    @on(RowTable.Moved)
    def moved(self, event: RowTable.Moved) -> None:
        """Hints of what cannot be done with the row under the cursor are dimmed."""
        event.stop()
        possible = tuple(bool(self.check_action("act", (action.name,))) for action in self.actions)
        if possible != self._possible:
            self._possible = possible
            self.refresh_bindings()

    @on(RowTable.Chosen)
    def chosen(self, event: RowTable.Chosen) -> None:
        event.stop()
        row = self.table.row
        if row is not None and self.facts:
            self._show(row)

    @work(exclusive=True, group="show")
    async def _show(self, row: Row) -> None:
        desk, name = self.dashboard.desk, self.named(row)
        try:
            row = await self.look(desk.client, row)
        except NotFound as gone:
            desk.say(told(gone), error=True)
            return
        except LLMGateError as failure:
            desk.say(f"{told(failure)} This is what was known before.", error=True)
        facts = self.told_of(row)
        command = twin(self.shows, name) if self.shows else twin(self.lists)
        await desk.facts(f"{self.title}: {name}", facts, command, names=self.identity(row))

    # -- actions -------------------------------------------------------------------------------

    def action_named(self, name: str) -> Action[Any]:
        return next(action for action in self.actions if action.name == name)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """None dims the hint of what cannot be done at the moment."""
        if action not in ("act", "explain"):
            return True
        refused = bool(self.refusal(self.action_named(str(parameters[0]))))
        if action == "explain":
            return refused
        return None if refused else True

    def refusal(self, action: Action[Any]) -> str:
        """Why this cannot be done now, "" when it can."""
        if action.changes and self.dashboard.read_only:
            return "Nothing is changed from here: the dashboard was started with --read-only."
        if action.alone or not self.is_mounted:
            return ""
        row = self.table.row
        return "There is no row to do this with." if row is None else action.possible(row)

    def action_act(self, name: str) -> None:
        """Do it, or say why not."""
        wanted = self.action_named(name)
        if self.refusal(wanted):
            self.action_explain(name)
        else:
            self._act(wanted, None if wanted.alone else self.table.row)

    def action_explain(self, name: str) -> None:
        wanted = self.action_named(name)
        self.dashboard.desk.say(f"{wanted.label}: {self.refusal(wanted)}", error=True)

    def commands(self) -> Iterator[SystemCommand]:
        """The actions by name, for the palette; also those that would only say why they cannot be done now."""
        for action in self.actions:
            text = self.refusal(action) or f"llmgate {action.verb}"
            yield SystemCommand(f"{self.title}: {action.label}", text, lambda name=action.name: self.action_act(name))

    @work(group="act")
    async def _act(self, action: Action[Any], row: Row | None) -> None:
        await action.does(self.dashboard.desk, row)
        self.refresh_rows()


def pages(page: schemas.Page[Any]) -> Part[Any]:
    """A page of the client's as a part of a listing."""
    return Part(page.data, page.next)
