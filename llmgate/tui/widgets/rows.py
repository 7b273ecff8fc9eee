"""A table of which only the visible lines are ever drawn, and of those only the ones that changed.

Textual's own table keeps and measures every cell, which costs a tenth of a second for some hundred live rows, each
second. This one is its "line API": a line is made when it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Generic

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from llmgate.errors import LLMGateError
from llmgate.tui.columns import GAP, Column, Row, Tone, fitted, laid_out, ordered, written
from llmgate.tui.errors import understood
from llmgate.tui.widgets.ink import ink

Drawn = tuple[tuple[str, Tone], ...]
"""The cells of a line: what stands there, and how it looks."""


class RowTable(ScrollView, Generic[Row], can_focus=True):
    """Rows under a header that stays. The cursor and the place on the screen belong to a row, not to a line number:
    they stay with it when rows come and go."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rows--header",
        "rows--cursor",
        "rows--good",
        "rows--warn",
        "rows--bad",
        "rows--dim",
        "rows--accent",
        "rows--bar",
    }
    DEFAULT_CSS = """
    RowTable {
        height: 1fr; padding: 0 0 0 1; background: $background;
        overflow-x: hidden; scrollbar-gutter: stable; scrollbar-size-vertical: 1;
    }
    RowTable > .rows--header { color: $text-muted; text-style: bold; }
    RowTable > .rows--cursor { background: $surface-lighten-1; }
    RowTable:focus > .rows--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
    RowTable:ansi > .rows--cursor { text-style: underline; }
    RowTable:focus:ansi > .rows--cursor { text-style: reverse; }
    RowTable:nocolor > .rows--cursor { text-style: underline; }
    RowTable:focus:nocolor > .rows--cursor { text-style: reverse; }
    RowTable > .rows--good { color: $text-success; }
    RowTable > .rows--warn { color: $text-warning; }
    RowTable > .rows--bad { color: $text-error; }
    RowTable > .rows--dim { color: $text-muted; }
    RowTable > .rows--accent { color: $text-accent; }
    RowTable > .rows--bar { color: $primary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("pagedown,ctrl+f", "leaf(1)", "A page down", show=False),
        Binding("pageup,ctrl+b", "leaf(-1)", "A page up", show=False),
        Binding("home,g", "first", "First row", show=False),
        Binding("end,G", "last", "Last row", show=False),
        Binding("enter", "choose", "Details", show=False),
        Binding("less_than_sign", "sort_by(-1)", "Sort by the column before", show=False),
        Binding("greater_than_sign", "sort_by(1)", "Sort by the next column", show=False),
        Binding("S", "turn", "Turn the order round", show=False),
    ]

    class Moved(Message):
        """The cursor is on another row, or the row under it is another now."""

    class Chosen(Message):
        """Enter, or a second click, on a row."""

    class Sorted(Message):
        """The rows are in another order."""

    def __init__(
        self,
        columns: Sequence[Column[Row]],
        identity: Callable[[Row], str],
        now: Callable[[], datetime],
        *,
        empty: str = "Nothing here.",
        id: str | None = None,  # noqa: A002  as Textual calls it
    ) -> None:
        """``identity`` names a row for as long as it exists. ``empty`` is shown instead of no rows."""
        super().__init__(id=id)
        self._columns, self._identity, self._now = columns, identity, now
        self._empty = empty
        self._came: Sequence[Row] = ()
        self._rows: list[Row] = []
        self._cursor = 0
        self._sort: Column[Row] | None = None
        self._down = False
        self._drawn: dict[int, Drawn] = {}
        self.newest_first = False
        """Whether rows that are new come at the top: who is at the first row stays at the first row."""
        self.newer = 0
        """Rows that have come above since the cursor left the first one."""

    # -- what is shown -------------------------------------------------------------------------

    @property
    def empty(self) -> str:
        """What is shown instead of no rows."""
        return self._empty

    @empty.setter
    def empty(self, text: str) -> None:
        if text != self._empty:
            self._empty = text
            self.refresh()

    @property
    def rows(self) -> Sequence[Row]:
        """In the order in which they are shown."""
        return self._rows

    @property
    def row(self) -> Row | None:
        """The one under the cursor."""
        return self._rows[self._cursor] if self._cursor < len(self._rows) else None

    @property
    def order(self) -> str:
        """By what the rows are sorted, in words; empty where they are as they came."""
        return f"{self._sort.title} {'↓' if self._down else '↑'}" if self._sort else ""

    def show(self, rows: Sequence[Row]) -> None:
        """Show these rows instead. What is the same is not drawn again."""
        before, anchor = len(self._rows), self._anchor()
        kept, number = self.row, self._cursor
        self._came = rows
        self._rows = ordered(rows, self._sort, down=self._down)
        if before != len(self._rows):
            self.virtual_size = Size(self.size.width, len(self._rows) + 1)
            if (before == 0) != (not self._rows):
                self._drawn.clear()
                self.refresh()
        places = {self._identity(row): place for place, row in enumerate(self._rows)}
        found = None if kept is None else places.get(self._identity(kept))
        if self.newest_first and self._sort is None:
            if number == 0 and self.scroll_offset.y == 0:
                found = anchor = None
            elif found is not None:
                self.newer += max(0, found - number)
        self._cursor = max(0, min(number, len(self._rows) - 1)) if found is None else found
        self.newer = self.newer if self._cursor else 0
        self._stay(anchor, places)
        self._draw_changes()
        self.post_message(self.Moved())

    def move_to(self, identity: str) -> bool:
        """Put the cursor on this row; False when it is not here."""
        for number, row in enumerate(self._rows):
            if self._identity(row) == identity:
                self._put(number)
                return True
        return False

    def _anchor(self) -> tuple[str, int] | None:
        """The row that shall stay where it is on the screen, and its line there: that of the cursor, while it is seen,
        else the first one."""
        top, lines = self.scroll_offset.y, self.size.height - 1
        if not self._rows or lines <= 0:
            return None
        number = self._cursor if top <= self._cursor < top + lines else min(top, len(self._rows) - 1)
        return self._identity(self._rows[number]), number - top

    def _stay(self, anchor: tuple[str, int] | None, places: Mapping[str, int]) -> None:
        """Scroll so that the anchor is on its line. At the top nothing is scrolled before it must be: who looks at the
        first rows wants to see the first rows."""
        if anchor is None:
            return
        identity, line = anchor
        top, place = self.scroll_offset.y, places.get(identity)
        if place is not None and top > 0:
            self._scroll(place - line)
        elif place is not None and place == self._cursor:
            self._reveal()
        self._scroll(min(self.scroll_offset.y, int(self.max_scroll_y)))

    def _scroll(self, top: int) -> None:
        if top != self.scroll_offset.y:
            self.scroll_to(y=max(0, top), animate=False, immediate=True, force=True)  # the bar may come later

    def _draw_changes(self) -> None:
        top = self.scroll_offset.y
        changed = [
            Region(0, line, self.size.width, 1)
            for line in range(1, self.size.height)
            if self._drawn.get(line) != self._cells(top + line - 1)
        ]
        if changed:
            self.refresh(*changed)

    # -- drawing -------------------------------------------------------------------------------

    @property
    def _width(self) -> int:
        """Cells of a line: those beside the scroll bar."""
        return self.scrollable_content_region.width

    def render_line(self, y: int) -> Strip:
        width = self._width
        if y == 0:
            return self._header(width)
        number = self.scroll_offset.y + y - 1
        cells = self._cells(number)
        self._drawn[y] = cells
        base = self.rich_style
        if not self._rows:
            text = self._empty if y == 2 else ""
            return Strip([Segment(fitted("  " + text, width), base + self._tone("dim"))], width)
        if number >= len(self._rows):
            return Strip.blank(width, base)
        on_cursor = number == self._cursor
        line = base + self.get_component_rich_style("rows--cursor", partial=True) if on_cursor else base
        segments = []
        for text, tone in cells:
            plain = not tone or (on_cursor and self.has_focus)
            segments += [Segment(text, line if plain else line + self._tone(tone)), Segment(" " * GAP, line)]
        return Strip(segments).adjust_cell_length(width, line)

    def _cells(self, number: int) -> Drawn:
        if not 0 <= number < len(self._rows):
            return ()
        row, now = self._rows[number], self._now()
        return tuple(
            (
                fitted(_written(column, row, now), width, right=column.right),
                _toned(column, row),
            )
            for column, width in laid_out(self._columns, self._width)
        )

    def _header(self, width: int) -> Strip:
        style = self.rich_style + ink(self, "rows--header")
        segments = []
        for column, cells in laid_out(self._columns, width):
            arrow = ("↓" if self._down else "↑") if column is self._sort else ""
            text = fitted(column.title.upper() + arrow, cells, right=column.right)
            segments += [Segment(text, style), Segment(" " * GAP, style)]
        return Strip(segments).adjust_cell_length(width, style)

    def _tone(self, tone: Tone) -> Style:
        return ink(self, f"rows--{tone}")

    def on_resize(self, event: Resize) -> None:
        self._drawn.clear()
        self.virtual_size = Size(event.size.width, len(self._rows) + 1)
        self._reveal()

    def on_focus(self) -> None:
        self._drawn.clear()
        self.refresh()

    def on_blur(self) -> None:
        self._drawn.clear()
        self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        self._drawn.clear()
        super().watch_scroll_y(old_value, new_value)

    # -- moving --------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        self._put(self._cursor + by)

    def action_leaf(self, by: int) -> None:
        self._put(self._cursor + by * max(1, self.size.height - 2))

    def action_first(self) -> None:
        self._put(0)

    def action_last(self) -> None:
        self._put(len(self._rows) - 1)

    def action_choose(self) -> None:
        if self.row is not None:
            self.post_message(self.Chosen())

    def on_click(self, event: Click) -> None:
        if event.y == 0:
            self._sort_at(event.x - self.styles.padding.left)
            return
        number = self.scroll_offset.y + event.y - 1
        if number < len(self._rows):
            self._put(number)
            if event.chain == 2:
                self.action_choose()

    def _put(self, number: int) -> None:
        number = max(0, min(number, len(self._rows) - 1))
        self.newer = self.newer if number else 0
        if number != self._cursor:
            self._redraw(self._cursor)
            self._cursor = number
            self._redraw(number)
            self.post_message(self.Moved())
        self._reveal()

    def _redraw(self, number: int) -> None:
        line = number - self.scroll_offset.y + 1
        if 0 < line < self.size.height:
            self.refresh(Region(0, line, self.size.width, 1))

    def _reveal(self) -> None:
        """Let the cursor be seen."""
        top, lines = self.scroll_offset.y, self.size.height - 1
        if lines <= 0:
            return
        if self._cursor < top:
            self._scroll(self._cursor)
        elif self._cursor >= top + lines:
            self._scroll(self._cursor - lines + 1)

    # -- sorting -------------------------------------------------------------------------------

    def action_sort_by(self, by: int) -> None:
        """The next column, or the one before; beyond the ends the rows are as they came."""
        choices: list[Column[Row] | None] = [None, *(column for column, _ in laid_out(self._columns, self._width))]
        at = choices.index(self._sort) if self._sort in choices else 0
        self.sort(choices[(at + by) % len(choices)])

    def action_turn(self) -> None:
        self.sort(self._sort, down=not self._down)

    def sort(self, column: Column[Row] | None, *, down: bool = False) -> None:
        """Order the rows by a column; None: as they came."""
        self._sort, self._down = column, down and column is not None
        self.show(self._came)
        self._drawn.clear()
        self._reveal()
        self.refresh()
        self.post_message(self.Sorted())

    def _sort_at(self, x: int) -> None:
        begin = 0
        for column, width in laid_out(self._columns, self._width):
            if begin <= x < begin + width + GAP:
                self.sort(column, down=column is self._sort and not self._down)
                return
            begin += width + GAP


def _written(column: Column[Row], row: Row, now: datetime) -> str:
    """What stands in a cell. One odd value must not end the screen: what cannot be told is a question mark."""
    try:
        with understood():
            return written(column.value(row), now)
    except LLMGateError:
        return "?"


def _toned(column: Column[Row], row: Row) -> Tone:
    try:
        with understood():
            return column.tone(row) if column.tone else ""
    except LLMGateError:
        return ""
