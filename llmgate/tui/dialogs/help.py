"""What can be done here, and with which keys."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from llmgate.tui.dialogs.base import Reading
from llmgate.tui.keys import shown
from llmgate.tui.widgets.hints import Hints

if TYPE_CHECKING:  # a section opens its help
    from llmgate.tui.listing import Listing
    from llmgate.tui.section import Section

GENERAL = (
    ("v", "the next view of a section"),
    ("↑ ↓  j k", "up, down; PgUp PgDn by a page, g G to the ends"),
    ("Enter", "everything about the row"),
    ("/", "filter, at the daemon; Tab completes, Esc clears"),
    ("< > S", "sort by the column before or behind; turn it round"),
    ("[ ]", "the page before, the next page"),
    ("y", "copy the id of the row"),
    ("Space", "freeze the screens, and go on"),
    ("r", "ask again now"),
    ("C", "other daemons, log in and out, your password"),
    ("Ctrl+P", "every command by name, and the themes"),
    ("? F1", "this help"),
    ("q", "leave; the daemon goes on"),
)
MOUSE = (
    "A click chooses a row, a second one shows everything about it. A click on the title of a column sorts by it; "
    "sections, views and the hints below can be clicked too."
)
FORMS = (
    ("Tab Shift+Tab", "the next field, the one before"),
    ("Enter Ctrl+S", "send"),
    ("Esc", "leave; it asks when something was typed"),
)
WIDTH = 15
"""Cells for the keys."""
ROOM = 54
"""Cells beside them, in a terminal of 80."""


class Help(Reading):
    """The keys of a section, each action with its CLI twin."""

    DEFAULT_CSS = """
    Help > .box { width: 78; }
    Help Static { width: 1fr; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("question_mark,f1", "leave", show=False)]

    def __init__(self, section: Section) -> None:
        super().__init__()
        self._section = section

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = Content(f"Help: {self._section.label}")
            with VerticalScroll():
                yield Static(Content("\n").join(self._lines()))
        yield Hints()

    def _lines(self) -> Iterator[Content]:
        if self._section.help:
            yield Content(self._section.help)
        for listing in self._section.listings:
            yield _title(listing.title, f"llmgate {listing.lists}")
            for action in listing.actions:
                yield _line(shown(action.key), action.label, f"llmgate {action.verb}")
            if listing.filters or listing.search:
                for number, line in enumerate(textwrap.wrap(_filters(listing), ROOM, break_on_hyphens=False)):
                    yield _line("" if number else "/", line)
        yield _title("Everywhere")
        sections = self._section.dashboard.sections
        yield _line("".join(shown(place.key) for place in sections), "the sections, from left to right")
        for key, text in GENERAL:
            yield _line(key, text)
        yield _title("Forms")
        for key, text in FORMS:
            yield _line(key, text)
        yield _title("Mouse")
        yield Content(f"  {MOUSE}")


def _filters(listing: Listing[Any]) -> str:
    """What can be written into the filter line of a list."""
    words = ["words" if listing.search == "search" else f"words for {listing.search}"] if listing.search else []
    words += [f"{item.name}:{'|'.join(item.choices) or item.hint or '…'}" for item in listing.filters]
    return "filter: " + "  ".join(words)


def _title(text: str, command: str = "") -> Content:
    return Content.assemble("\n", (text, "bold $text-primary"), (f"  {command}" if command else "", "$text-muted"))


def _line(key: str, text: str, command: str = "") -> Content:
    return Content.assemble(
        (f"  {key:<{WIDTH}}", "$text-accent"), f"{text:<20}" if command else text, (command, "$text-muted")
    )
