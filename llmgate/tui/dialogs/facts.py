"""Everything that is known about one thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from llmgate.text import cell, clean
from llmgate.tui.dialogs.base import Reading
from llmgate.tui.twin import shown_twin
from llmgate.tui.widgets.hints import Hints


class Facts(Reading):
    """Titles and values, each on its line; ``y`` copies what names the thing."""

    DEFAULT_CSS = """
    Facts > .box { width: 90; }
    Facts .facts { width: 1fr; height: auto; }
    Facts .twin { dock: bottom; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy its id"),
    ]

    def __init__(self, title: str, facts: Sequence[tuple[str, object]], twin: str, *, names: str = "") -> None:
        """``names`` is what ``y`` copies."""
        super().__init__()
        self._title, self._facts, self._twin, self._names = title, facts, twin, names

    def compose(self) -> ComposeResult:
        drawn = Table.grid(padding=(0, 2))
        drawn.add_column()
        drawn.add_column(overflow="fold")  # a hash is one long word, of which every digit counts
        for title, value in self._facts:
            drawn.add_row(Text(clean(title), style="dim"), Text(cell(value)))
        with Vertical(classes="box") as box:
            box.border_title = Content(clean(self._title))
            with VerticalScroll():
                yield Static(drawn, classes="facts")
            yield Static(Content(f"$ {shown_twin(self.app, self._twin)}"), classes="twin")
        yield Hints()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(clean(self._names))
        self.notify(f"Copied {clean(self._names)}", markup=False)
