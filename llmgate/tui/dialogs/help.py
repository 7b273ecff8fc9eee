"""What can be done here, and with which keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from llmgate.tui.dialogs.base import Dialog

if TYPE_CHECKING:  # a section opens its help
    from llmgate.tui.section import Section

GENERAL = (
    ("1 … 9 0 ,", "go to a section"),
    ("v", "the next view of a section"),
    ("↑ ↓ j k g G", "move; PgUp and PgDn by a page"),
    ("Enter", "everything about the row"),
    ("/", "filter, at the daemon; Esc clears it"),
    ("< > S", "sort by the column before or behind, turn the order round"),
    ("[ ]", "page before, next page"),
    ("y", "copy the id of the row"),
    ("space", "freeze the screens, and go on"),
    ("r", "ask again now"),
    ("C", "contexts: other daemons, log in, log out"),
    ("Ctrl+P", "every command by name"),
    ("q", "leave; the daemon goes on"),
)


class Help(Dialog[None]):
    """The keys of a section, each action with its CLI twin."""

    DEFAULT_CSS = """
    Help > .box { width: 78; }
    Help VerticalScroll { height: auto; max-height: 40; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,f1,enter", "leave", "Close")]

    def __init__(self, section: Section) -> None:
        super().__init__()
        self._section = section

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = Content(self._section.label)
            with VerticalScroll():
                for line in self._lines():
                    yield Static(line)

    def _lines(self) -> Iterator[Content]:
        if self._section.help:
            yield Content(self._section.help + "\n")
        for listing in self._section.listings:
            if listing.actions:
                yield Content.assemble((f"{listing.title}", "bold $text-primary"))
            for action in listing.actions:
                yield _line(action.key, action.label, f"llmgate {action.verb}")
        yield Content.assemble(("Everywhere", "bold $text-primary"))
        for key, text in GENERAL:
            yield _line(key, text)


def _line(key: str, text: str, command: str = "") -> Content:
    return Content.assemble((f"  {key:<13}", "$text-accent"), f"{text:<24}", (command, "$text-muted"))
