"""The line of keys at the bottom: what can be done here and now.

Textual's own footer is a widget for each key, made anew whenever another widget gets the focus; on a screen that is
changed with every key that is most of what a key costs. This is one widget that draws a line.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import RenderResult
from textual.content import Content
from textual.events import Click, Mount
from textual.screen import Screen
from textual.widget import Widget

LAST = "Help"
"""The hint that is always there, however little room there is: it leads to all others."""


@dataclass(frozen=True, slots=True)
class Hint:
    """A key as it is written and as Textual names it, and what it does; ``possible`` now."""

    shown: str
    key: str
    text: str
    possible: bool


class Hints(Widget):
    """The keys of the screen and of what has the focus. A click on one is the key."""

    DEFAULT_CSS = "Hints { dock: bottom; height: 1; background: $panel; color: $foreground; }"

    def __init__(self) -> None:
        super().__init__()
        self._hints: tuple[Hint, ...] = ()
        self._places: list[tuple[int, int, str]] = []

    def on_mount(self, event: Mount) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)
        self.call_after_refresh(self._changed, self.screen)

    def _changed(self, screen: Screen[object]) -> None:
        if screen is not self.screen or not self.is_attached:
            return
        seen: set[str] = set()
        hints = []
        for _, binding, possible, _ in screen.active_bindings.values():
            if binding.show and binding.action not in seen:
                seen.add(binding.action)
                hints.append(Hint(self.app.get_key_display(binding), binding.key, binding.description, possible))
        if tuple(hints) != self._hints:
            self._hints = tuple(hints)
            self.refresh()

    def render(self) -> RenderResult:
        parts: list[tuple[str, str]] = []
        self._places = []
        at = 0
        roomy = spaced(self._hints, self.size.width)
        for hint in fitting(self._hints, self.size.width):
            key, text = (f" {hint.shown} ", f"{hint.text} ") if roomy else (hint.shown, f"{hint.text} ")
            tone = "" if hint.possible else " 40%"
            parts += [(key, f"bold $footer-key-foreground{tone}"), (text, f"$footer-description-foreground{tone}")]
            self._places.append((at, at + len(key) + len(text), hint.key))
            at += len(key) + len(text)
        return Content.assemble(*parts)

    def on_click(self, event: Click) -> None:
        event.stop()
        key = next((key for begin, end, key in self._places if begin <= event.x < end), None)
        if key is not None:
            self.app.simulate_key(key)


def width_of(hints: tuple[Hint, ...], *, roomy: bool) -> int:
    """Cells that the line takes."""
    return sum(len(hint.shown) + len(hint.text) + (3 if roomy else 1) for hint in hints)


def spaced(hints: tuple[Hint, ...], width: int) -> bool:
    """Whether there is room for a space between each key and its text."""
    return width_of(hints, roomy=True) <= width


def fitting(hints: tuple[Hint, ...], width: int) -> tuple[Hint, ...]:
    """The hints that fit into so many cells: the last ones go first, but help stays."""
    kept = hints
    while kept and width_of(kept, roomy=spaced(hints, width)) > width:
        dropped = next((hint for hint in reversed(kept) if hint.text != LAST), kept[-1])
        kept = tuple(hint for hint in kept if hint is not dropped)
    return kept
