"""A new secret: shown this once."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Static

from llmgate.text import clean
from llmgate.tui.dialogs.base import Dialog


class Secret(Dialog[None]):
    """Shows it until somebody says that it is stored: neither Esc nor an Enter that is held down takes it away, for
    only Tab, Esc and the mouse lead to the button that does."""

    DEFAULT_CSS = """
    Secret .secret { background: $panel; color: $text-accent; text-style: bold; padding: 1 2; margin: 1 0; width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "hint", show=False),
        Binding("c,y", "copy", "Copy"),
    ]

    def __init__(self, title: str, secret: str, note: str) -> None:
        super().__init__()
        self._title, self._secret, self._note = title, clean(secret), note

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = Content(clean(self._title))
            yield Static(Content(self._secret), classes="secret", id="secret")
            yield Static(Content(clean(self._note)), classes="note")
            yield Static(Content(""), classes="note", id="told")
            with Horizontal(classes="buttons"):
                yield Button("Copy (c)", id="copy", compact=True)
                yield Button("I have stored it", id="done", variant="primary", compact=True)

    def on_mount(self) -> None:
        self.query_one("#copy").focus()

    @on(Button.Pressed, "#copy")
    def action_copy(self) -> None:
        """Through the terminal (OSC 52): it works over ssh, where the terminal allows it."""
        self.app.copy_to_clipboard(self._secret)
        self._tell("Handed to your terminal's clipboard. If nothing arrives there, mark the text with Shift and mouse.")

    def action_hint(self) -> None:
        self._tell("It is not shown again: copy it, then choose “I have stored it”.")
        self.query_one("#done").focus()

    @on(Button.Pressed, "#done")
    def done(self) -> None:
        self.dismiss(None)

    def _tell(self, text: str) -> None:
        self.query_one("#told", Static).update(Content(text))
