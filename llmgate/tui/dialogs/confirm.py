"""The question before something that cannot be undone. Its default is not to do it."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Input, Static

from llmgate.text import clean
from llmgate.tui.dialogs.base import Dialog
from llmgate.tui.twin import shown_twin
from llmgate.tui.widgets.entry import Entry


class Confirm(Dialog[bool]):
    """Answers True when it shall be done. ``typed``: a name that has to be typed first, for what hurts most.

    However long the question is, the buttons are seen: what is above them is scrolled.
    """

    DEFAULT_CSS = """
    Confirm VerticalScroll { height: auto; max-height: 100%; }
    Confirm .base { dock: bottom; height: auto; }
    Confirm .twin { max-height: 4; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "leave", "Cancel"),
        Binding("left,h", "app.focus_previous", show=False),
        Binding("right,l", "app.focus_next", show=False),
        Binding("down,j", "scroll_by(1)", show=False),
        Binding("up,k", "scroll_by(-1)", show=False),
        Binding("pagedown", "scroll_by(10)", show=False),
        Binding("pageup", "scroll_by(-10)", show=False),
    ]

    def __init__(
        self,
        question: str,
        button: str,
        twin: str = "",
        *,
        consequence: str = "",
        typed: str = "",
        cancel: str = "Cancel",
    ) -> None:
        super().__init__(classes="-danger")
        self._question, self._button, self._twin = question, button, twin
        self._consequence, self._typed, self._cancel = consequence, typed, cancel

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = "Are you sure?"
            with VerticalScroll(can_focus=False):
                yield Static(Content(clean(self._question)))
                if self._consequence:
                    yield Static(Content(clean(self._consequence)), classes="note")
                if self._typed:
                    yield Static(Content(f"Type {clean(self._typed)} to go on:"), classes="note")
            with Vertical(classes="base"):
                if self._typed:
                    yield Entry(id="typed", compact=True)
                if self._twin:
                    yield Static(Content(f"$ {shown_twin(self.app, self._twin)}"), classes="twin")
                with Horizontal(classes="buttons"):
                    yield Button(self._cancel, id="cancel", compact=True)
                    yield Button(self._button, id="do", variant="error", compact=True, disabled=bool(self._typed))

    def on_mount(self) -> None:
        self.query_one("#typed" if self._typed else "#cancel").focus()

    def action_scroll_by(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    @on(Input.Changed, "#typed")
    def compare(self, event: Input.Changed) -> None:
        self.query_one("#do", Button).disabled = event.value not in (self._typed, clean(self._typed))

    @on(Input.Submitted, "#typed")
    def typed(self) -> None:
        if not self.query_one("#do", Button).disabled:
            self.query_one("#do").focus()

    @on(Button.Pressed, "#do")
    def do(self) -> None:
        self.dismiss(True)

    @on(Button.Pressed, "#cancel")
    def cancel(self) -> None:
        self.dismiss(False)
