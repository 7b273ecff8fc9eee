"""A noun of the API as a table: what every list of the dashboard has in common.

A subclass is a declaration: what is listed, its columns, filters and actions. What it does not say is done here:
pages, sorting, filters, refreshing once a second at most, details, hints, and doing what an action says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static
from textual.worker import Worker

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.errors import ClientError, LLMGateError
from llmgate.text import clean
from llmgate.tui.columns import Column, Row
from llmgate.tui.errors import told, understood
from llmgate.tui.filters import read
from llmgate.tui.link import Link, whole
from llmgate.tui.noun import Noun
from llmgate.tui.widgets.filterline import FilterLine
from llmgate.tui.widgets.rows import RowTable

PAGE = 500
"""Rows on the screen at once, at most: also the most that the daemon gives."""
JITTER = 0.1
"""Seconds by which a tick may come early: what is due every second would miss every other tick without."""
AGAIN_SECONDS = 2.0
"""Seconds before a list is asked for again that could not be had."""
OLD_SECONDS = 5.0
"""Seconds beyond its time after which a list says how old it is."""


@dataclass(frozen=True)
class Part(Generic[Row]):
    """A page: its rows, where the next one begins (None: this is the last), and how many there are if that is known."""

    rows: Sequence[Row]
    next: str | None = None
    total: int | None = None


class Listing(Noun[Row]):
    """Subclasses say what is listed; see the class attributes, and ``fetch``, ``identity`` and ``named``."""

    columns: ClassVar[Sequence[Column[Any]]]
    every: ClassVar[float] = 10.0
    """Seconds after which it is asked again while it is seen, although nothing has told of a change."""
    topics: ClassVar[frozenset[str]] = frozenset()
    """Events after which it is asked again: their types, or ``activity:`` and the beginning of an action."""
    empty: ClassVar[str] = "Nothing here."
    newest_first: ClassVar[bool] = False
    """What is new comes at the top: who looks at the first row goes on looking at the first row."""

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
        self._loading: Worker[None] | None = None
        self._turned = False
        self._filled_at = 0.0
        self.loads = 0
        """How often it was filled: what a test waits for."""

    # -- what a noun says ----------------------------------------------------------------------

    async def fetch(self, client: AdminClient, after: str | None, limit: int, **filters: Any) -> Part[Row]:
        """A page from the daemon."""
        raise AssertionError(f"{type(self).__name__} does not say what it lists.")

    # -- widgets -------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        known = ", ".join(f"{item.name}:{item.hint or '…'}" for item in self.filters)
        yield FilterLine(self.filters, " ".join(part for part in (self.search or "", known) if part))
        table = RowTable(self.columns, self.identity, self.dashboard.wall, empty="Asking the daemon …")
        table.newest_first = self.newest_first
        yield table
        yield Static(classes="foot")

    def focus_table(self) -> None:
        """At once: keys that were typed ahead are meant for what is seen then."""
        self.screen.set_focus(self.table)
        self.table.focus()  # once more, where what was hidden so far takes it only now

    # -- filling -------------------------------------------------------------------------------

    def forget(self) -> None:
        """Another daemon is shown now: nothing of what was known is true there."""
        self.workers.cancel_group(self, "load")
        if len(self.app.screen_stack) == 1:  # what waits for a dialog ends with it
            self.workers.cancel_group(self, "show")
            self.workers.cancel_group(self, "act")
        self._cursors, self._next, self._part, self._dirty, self._fault = [None], None, None, True, ""
        self._loading = None
        for table in self.query(RowTable):  # there is none before it is composed
            table.empty = "Asking the daemon …"
            table.show([])
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
        return not self.is_asking and (self._dirty or now - self._asked >= self.every - JITTER)

    @property
    def is_asking(self) -> bool:
        """Whether the daemon has not answered yet what was asked."""
        return self._loading is not None and not self._loading.is_finished

    def refresh_rows(self, *, quiet: bool = False) -> None:
        """Ask the daemon, and show what it says. ``quiet``: nobody has wanted it, so nothing is shown of it when the
        screens are frozen meanwhile."""
        self._dirty, self._asked = False, self.dashboard.clock()
        self._loading = self._load(quiet)

    @work(exclusive=True, group="load")
    async def _load(self, quiet: bool) -> None:
        link = self.dashboard.link
        try:
            with understood():
                part = await self._page(link.client)
                link.heard()
                if quiet and self.filled and self.dashboard.frozen_for is not None:
                    self._dirty = True
                else:
                    self._fill(part)
                self._fault = ""
        except LLMGateError as failure:
            self._failed(link, failure)
        self._say()

    def _failed(self, link: Link, failure: LLMGateError) -> None:
        self._fault = told(failure)
        if self._turned:  # what is shown is not what was asked for
            self.table.empty = self._fault
            self.table.show([])
        if isinstance(failure, ClientError):
            link.missed(failure)
        self.dashboard.refused(link, failure)
        self._asked = self.dashboard.clock() - self.every + AGAIN_SECONDS

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
        self._filled_at = self.dashboard.clock()
        self.loads += 1

    def _say(self) -> None:
        """The line below the table: how much of the list this is, and how old where it is not of now."""
        foot = next(iter(self.query(".foot").results(Static)), None)
        if foot is None:
            return
        words = [self._fault or self._extent()]
        if not self._fault and self.table.order:
            only = ", this page only" if self._next is not None or len(self._cursors) > 1 else ""
            words.append(f"sorted by {self.table.order}{only}")
        if not self._fault and self.table.newer:
            words.append(f"{self.table.newer:,} newer above, g")
        words.append(self._age())
        foot.set_class(bool(self._fault), "-fault")
        text = "  ·  ".join(word for word in words if word)
        if foot.content != text:
            foot.update(Content(text), layout=False)

    def _age(self) -> str:
        age = self.dashboard.clock() - self._filled_at
        old = self.filled and self.dashboard.frozen_for is None and age > self.every + OLD_SECONDS
        return f"of {whole(age)} ago" if old else ""

    def grow_old(self) -> None:
        """Say how old it is: once a second while it is seen."""
        if self.is_mounted and self.filled:
            self._say()

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
            self._fault = clean(str(fault))
            line.complain(str(fault))
            self._say()
            return
        line.complain("")
        self._fault = ""
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
        if self.newest_first:
            self._say()
        possible = tuple(bool(self.check_action("act", (action.name,))) for action in self.actions)
        if possible != self._possible:
            self._possible = possible
            self.refresh_bindings()


def pages(page: schemas.Page[Any]) -> Part[Any]:
    """A page of the client's as a part of a listing."""
    return Part(page.data, page.next)
