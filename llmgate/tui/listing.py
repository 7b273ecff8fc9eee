"""A noun of the API as a table: what every list of the dashboard has in common.

A subclass is a declaration: what is listed, its columns, filters and actions. What it does not say is done here:
pages, sorting, filters, refreshing once a second at most, details, hints, and doing what an action says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.errors import LLMGateError, NotFound, RequestError
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
    ]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """The actions become bindings: Textual reads them from the class."""
        own = [
            Binding(action.key, f"act('{action.name}')", action.label, show=not action.hidden)
            for action in cls.__dict__.get("actions", ())
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
        self.loads = 0
        """How often it was filled: what a test waits for."""

    # -- what a noun says ----------------------------------------------------------------------

    async def fetch(self, client: AdminClient, after: str | None, limit: int, **filters: Any) -> Part[Row]:
        """A page from the daemon."""
        raise NotImplementedError

    def identity(self, row: Row) -> str:
        """What tells this row from every other, as long as it exists."""
        return str(cast("Any", row).id)

    def named(self, row: Row) -> str:
        """What a person calls it, and the CLI finds it by."""
        return str(cast("Any", row).name)

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
        self._cursors, self._next, self._part, self._dirty, self._fault = [None], None, None, True, ""
        self.table.empty = "Asking the daemon …"
        self.table.show([])
        self._say()

    def mark(self) -> None:
        """What it shows may have changed: it is asked at the next tick."""
        self._dirty = True

    def due(self, now: float) -> bool:
        """Whether it is time to ask again, at ``now`` on the monotonic clock."""
        return self._dirty or now - self._asked >= self.every

    def refresh_rows(self) -> None:
        """Ask the daemon, and show what it says."""
        self._dirty, self._asked = False, self.dashboard.clock()
        self._load()

    @work(exclusive=True, group="load")
    async def _load(self) -> None:
        link = self.dashboard.link
        try:
            part = await self.fetch(link.client, self._cursors[-1], PAGE, **self._query)
        except RequestError as refused:
            self._fault = told(refused)
            self.dashboard.refused(link, refused)
        except LLMGateError as failure:
            link.missed(failure)
            self._dirty = True
        else:
            link.heard()
            self._fault = ""
            self._fill(part)
        self._say()

    def _fill(self, part: Part[Row]) -> None:
        self._part, self._next = part, part.next
        if not part.rows and len(self._cursors) > 1:  # the page has gone while it was looked at
            self._cursors.pop()
            self._dirty = True
        self.table.empty = "Nothing fits the filter." if self._query else self.empty
        self.table.show(part.rows)
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
        self._cursors = [None]
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
        self._next = None
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
        facts = [(fact.title, fact.value(row)) for fact in self.facts]
        command = twin(self.shows, name) if self.shows else twin(self.lists)
        await desk.facts(f"{self.title}: {name}", facts, command, names=self.identity(row))

    # -- actions -------------------------------------------------------------------------------

    def action_named(self, name: str) -> Action[Any]:
        return next(action for action in self.actions if action.name == name)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """None dims the hint of what cannot be done at the moment."""
        if action != "act":
            return True
        wanted = self.action_named(str(parameters[0]))
        if wanted.changes and self.dashboard.read_only:
            return None
        if wanted.alone or not self.is_mounted:
            return True
        row = self.table.row
        return None if row is None or wanted.possible(row) else True

    def action_act(self, name: str) -> None:
        wanted = self.action_named(name)
        row = None if wanted.alone else self.table.row
        if wanted.alone or row is not None:
            self._act(wanted, row)

    @work(group="act")
    async def _act(self, action: Action[Any], row: Row | None) -> None:
        await action.does(self.dashboard.desk, row)
        self.refresh_rows()


def pages(page: schemas.Page[Any]) -> Part[Any]:
    """A page of the client's as a part of a listing."""
    return Part(page.data, page.next)
