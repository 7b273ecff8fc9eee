"""The question before something that cannot be undone. Its default is not to do it."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Static

from llmgate.text import clean
from llmgate.tui.dialogs.base import Dialog


class Confirm(Dialog[bool]):
    """Answers True when it shall be done. ``typed``: a name that has to be typed first, for what hurts most."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "leave", "Cancel"),
        Binding("left,h", "app.focus_previous", show=False),
        Binding("right,l", "app.focus_next", show=False),
    ]

    def __init__(self, question: str, button: str, twin: str = "", *, consequence: str = "", typed: str = "") -> None:
        super().__init__(classes="-danger")
        self._question, self._button, self._twin = question, button, twin
        self._consequence, self._typed = consequence, typed

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = "Are you sure?"
            yield Static(Content(clean(self._question)))
            if self._consequence:
                yield Static(Content(clean(self._consequence)), classes="note")
            if self._typed:
                yield Static(Content(f"Type {clean(self._typed)} to go on:"), classes="note")
                yield Input(id="typed", compact=True)
            if self._twin:
                yield Static(Content(f"$ {self._twin}"), classes="twin")
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel", compact=True)
                yield Button(self._button, id="do", variant="error", compact=True, disabled=bool(self._typed))

    def on_mount(self) -> None:
        self.query_one("#typed" if self._typed else "#cancel").focus()

    @on(Input.Changed, "#typed")
    def compare(self, event: Input.Changed) -> None:
        self.query_one("#do", Button).disabled = event.value != self._typed

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
