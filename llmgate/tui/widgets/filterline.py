"""The line behind ``/``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.suggester import Suggester
from textual.timer import Timer
from textual.widgets import Input, Static

from llmgate.text import clean
from llmgate.tui.filters import Filter, completed
from llmgate.tui.widgets.entry import Entry

PAUSE = 0.3
"""Seconds after the last key before the daemon is asked."""


class FilterLine(Horizontal):
    """Open while a filter is typed or is in force. While it has the focus, letters are letters: no action is near."""

    DEFAULT_CSS = """
    FilterLine { height: 1; display: none; background: $surface; }
    FilterLine.-open { display: block; }
    FilterLine > Static { width: auto; color: $text-accent; text-style: bold; padding: 0 0 0 1; }
    FilterLine > Input { width: 1fr; }
    FilterLine > .complaint { color: $text-error; text-style: none; padding: 0 1; max-width: 50%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", "Clear the filter"),
        Binding("down", "done", show=False),
        Binding("tab", "complete", show=False),
        Binding("shift+tab", "nothing", show=False),
    ]

    class Changed(Message):
        """The line says something else now."""

        def __init__(self, line: str) -> None:
            super().__init__()
            self.line = line

    class Left(Message):
        """The focus is wanted elsewhere."""

    def __init__(self, filters: Sequence[Filter], hint: str) -> None:
        super().__init__()
        self._filters, self._hint = filters, hint
        self._timer: Timer | None = None
        self.line = ""

    def compose(self) -> ComposeResult:
        yield Static("/")
        yield Entry(placeholder=self._hint, compact=True, select_on_focus=False, suggester=_Words(self._filters))
        yield Static(classes="complaint")

    @property
    def is_open(self) -> bool:
        return self.has_class("-open")

    def open(self, line: str | None = None) -> None:
        """Show it, with the cursor in it."""
        self.add_class("-open")
        field = self.query_one(Input)
        if line is not None:
            field.value = line
        self.screen.set_focus(field)

    def complain(self, text: str) -> None:
        """Say what is wrong with the line; "" for nothing."""
        self.query_one(".complaint", Static).update(Content(clean(text)))

    def action_clear(self) -> None:
        self.query_one(Input).value = ""
        self._tell()
        self.remove_class("-open")
        self.post_message(self.Left())

    def action_complete(self) -> None:
        """Take what is suggested. With nothing there, nothing is done: what is typed on is meant for this line."""
        field = self.query_one(Input)
        whole = completed(self._filters, field.value)
        if whole is not None:
            field.value = whole
            field.cursor_position = len(whole)

    def action_nothing(self) -> None:
        """Stay here."""

    @on(Input.Submitted)
    def action_done(self) -> None:
        self._tell()
        if not self.line.strip():
            self.remove_class("-open")
        self.post_message(self.Left())

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        event.stop()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(PAUSE, self._tell)

    def _tell(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        line = self.query_one(Input).value
        if line != self.line:
            self.line = line
            self.post_message(self.Changed(line))


class _Words(Suggester):
    """Completes the last word of the line."""

    def __init__(self, filters: Sequence[Filter]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._filters = filters

    async def get_suggestion(self, value: str) -> str | None:
        return completed(self._filters, value)
