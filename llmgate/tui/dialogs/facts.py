"""Everything that is known about one thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Footer, Static

from llmgate.text import cell, clean
from llmgate.tui.dialogs.base import Dialog


class Facts(Dialog[None]):
    """Titles and values, each on its line; ``y`` copies what names the thing."""

    DEFAULT_CSS = """
    Facts > .box { width: 90; }
    Facts VerticalScroll { height: auto; max-height: 40; }
    Facts Static.fact { width: 1fr; height: auto; }
    Facts Footer { dock: bottom; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "leave", "Close"),
        Binding("y", "copy", "Copy its id"),
        Binding("j", "scroll(1)", show=False),
        Binding("k", "scroll(-1)", show=False),
    ]

    def __init__(self, title: str, facts: Sequence[tuple[str, object]], twin: str, *, names: str = "") -> None:
        """``names`` is what ``y`` copies."""
        super().__init__()
        self._title, self._facts, self._twin, self._names = title, facts, twin, names

    def compose(self) -> ComposeResult:
        width = max((len(title) for title, _ in self._facts), default=0)
        with Vertical(classes="box") as box:
            box.border_title = Content(clean(self._title))
            with VerticalScroll():
                for title, value in self._facts:
                    styled = Content.assemble((f"{title:<{width}}  ", "$text-muted"), cell(value))
                    yield Static(styled, classes="fact")
            yield Static(Content(f"$ {self._twin}"), classes="twin")
        yield Footer(show_command_palette=False)

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(clean(self._names))
        self.notify(f"Copied {clean(self._names)}", markup=False)

    def action_scroll(self, by: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)
