"""A frame with lines of text in it, of which only those are drawn again that are others than before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Click, Resize
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from llmgate.text import clean
from llmgate.tui.columns import fitted
from llmgate.tui.widgets.ink import ink

Look = Literal["", "good", "warn", "bad", "dim", "accent", "bar", "bold"]
Span = tuple[str, Look]
Line = tuple[Span, ...]


@dataclass(frozen=True)
class Pane:
    """What a panel shows: its lines, and in its frame a title and, on the right, a remark."""

    title: str
    remark: str
    lines: tuple[Line, ...]


Paint = Callable[[int, int], Pane]
"""What is shown on so many columns and lines."""


def span(text: object, width: int, look: Look = "", *, right: bool = False) -> Span:
    """Text in exactly so many cells, harmless whatever it holds."""
    return fitted(clean(str(text)), width, right=right), look


def line(*spans: Span) -> Line:
    """Spans side by side, a space between them; those without any width are left out."""
    shown = [found for found in spans if found[0]]
    spaced: list[Span] = []
    for number, found in enumerate(shown):
        spaced += [(" ", ""), found] if number else [found]
    return tuple(spaced)


class Panel(Widget, can_focus=True):
    """Enter, or a click, goes to the section where there is more about it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"panel--{look}" for look in ("good", "warn", "bad", "dim", "accent", "bar", "bold")
    }
    DEFAULT_CSS = """
    Panel {
        border: round $foreground 30%;
        border-title-color: $text-primary; border-title-style: bold;
        border-subtitle-color: $text-muted; border-subtitle-align: right;
        padding: 0 1; background: $background;
    }
    Panel:focus { border: round $primary; border-title-style: bold reverse; }
    Panel:ansi { border: round ansi_default; }
    Panel > .panel--good { color: $text-success; }
    Panel > .panel--warn { color: $text-warning; }
    Panel > .panel--bad { color: $text-error; text-style: bold; }
    Panel > .panel--dim { color: $text-muted; }
    Panel > .panel--accent { color: $text-accent; }
    Panel > .panel--bar { color: $primary; }
    Panel > .panel--bold { text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "open", "Open")]

    class Opened(Message):
        """Somebody wants to see more: the section of this name."""

        def __init__(self, section: str) -> None:
            super().__init__()
            self.section = section

    def __init__(self, paint: Paint, opens: str, *, id: str) -> None:  # noqa: A002  as Textual calls it
        """``opens`` is the section that there is more in, "" where there is none."""
        super().__init__(id=id)
        self._paint, self._opens = paint, opens
        self._pane = Pane("", "", ())
        self._framed = ("", "")
        self.drawn = 0
        """How many lines have been drawn so far: what a test counts."""

    def look(self) -> None:
        """Show how things are now."""
        width, height = self.content_size
        if width < 1 or height < 1:
            return
        before, self._pane = self._pane.lines, self._paint(width, height)
        self._frame()
        changed = [
            Region(0, number, width, 1)
            for number in range(height)
            if _at(before, number) != _at(self._pane.lines, number)
        ]
        if changed:
            self.refresh(*changed)

    def _frame(self) -> None:
        """The words in the frame. Where there is only its upper line, all of them stand there."""
        title, remark = clean(self._pane.title), clean(self._pane.remark)
        if self.styles.border_bottom[0] in ("", "none"):
            title, remark = f" {' · '.join(text for text in (title, remark) if text)} ", ""
        if (title, remark) != self._framed:
            self._framed = title, remark
            self.border_title, self.border_subtitle = Content(title), Content(remark)

    def on_resize(self, event: Resize) -> None:
        self.look()

    def render_line(self, y: int) -> Strip:
        self.drawn += 1
        width = self.content_size.width
        segments = [Segment(text, self._style(look)) for text, look in _at(self._pane.lines, y)]
        return Strip(segments, sum(cell_len(segment.text) for segment in segments)).adjust_cell_length(
            width, self._style("")
        )

    def _style(self, look: Look) -> Style:
        return self.rich_style + ink(self, f"panel--{look}") if look else self.rich_style

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self._opens) if action == "open" else True

    def action_open(self) -> None:
        self.post_message(self.Opened(self._opens))

    def on_click(self, event: Click) -> None:
        event.stop()
        if self._opens:
            self.action_open()


def _at(lines: tuple[Line, ...], number: int) -> Line:
    return lines[number] if number < len(lines) else ()
