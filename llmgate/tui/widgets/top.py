"""The two lines above every screen: which daemon this is and how fresh, and where one can go."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.events import Click, Resize
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from llmgate import schemas
from llmgate.text import clean
from llmgate.tui.link import Link, whole

ROOMY = 118
"""Cells from which on the names of all sections are written out."""


class Header(Horizontal):
    """Who is logged in where, the figures of this second, and whether they are of this second."""

    DEFAULT_CSS = """
    Header { height: 1; background: $panel; }
    Header > Static { width: auto; padding: 0 1; }
    Header > Static { text-overflow: ellipsis; text-wrap: nowrap; }
    Header > #where { color: $text-primary; text-style: bold; max-width: 50%; }
    Header > #figures { width: 1fr; color: $text-muted; }
    Header > #guard { color: $text-accent; text-style: bold; display: none; }
    Header > #guard.-on { display: block; }
    Header > #fresh { color: $text-success; text-style: bold; }
    Header > #fresh.-stale { color: $text-error; text-style: bold reverse; }
    Header > #frozen { color: $text-warning; text-style: bold reverse; display: none; }
    Header > #frozen.-on { display: block; }
    """

    def compose(self) -> ComposeResult:
        yield Static(id="where")
        yield Static(id="figures")
        yield Static(Content("READ-ONLY"), id="guard")
        yield Static(id="frozen")
        yield Static(id="fresh")

    def tell(self, link: Link, stats: schemas.StatsEvent | None, *, frozen: float | None, read_only: bool) -> None:
        """``frozen`` is for how many seconds the screens have stood still; None: they do not."""
        who = f"{link.user}@" if link.user else ""
        self._say("#where", clean(f"{who}{link.target.context or link.client.url}"))
        old = stats is not None and link.stale and frozen is None
        text = f"no figures for {whole(link.age)}" if old else "" if stats is None else figures(stats)
        self._say("#figures", text)
        self.query_one("#guard").set_class(read_only, "-on")
        self._say("#frozen", "" if frozen is None else f"FROZEN {whole(frozen)}")
        self.query_one("#frozen").set_class(frozen is not None, "-on")
        wrong = link.stale or link.denied is not None
        fresh = self.query_one("#fresh", Static)
        fresh.set_class(wrong, "-stale")
        fresh.display = wrong or frozen is None
        self._say("#fresh", link.fresh)

    def _say(self, where: str, text: str) -> None:
        widget = self.query_one(where, Static)
        if widget.content != text:
            # What takes the rest of the line anyway moves nothing: the screen need not be laid out anew each second.
            widget.update(Content(text), layout=where != "#figures")


def figures(stats: schemas.StatsEvent) -> str:
    """The gateway in one line."""
    tokens = stats.input_tokens_per_second + stats.output_tokens_per_second
    parts = (
        f"{stats.waiting:,} waiting",
        f"{stats.running:,} running",
        f"{stats.requests_per_second:.1f} req/s",
        f"{tokens:,.0f} tok/s",
    )
    return "  ".join(parts)


class Trouble(Static):
    """What is wrong with the daemon, or with the way to it. It takes a line only while there is something."""

    DEFAULT_CSS = """
    Trouble { height: 1; padding: 0 1; color: $text-error; text-style: bold; display: none; }
    Trouble { text-overflow: ellipsis; text-wrap: nowrap; }
    Trouble.-on { display: block; }
    """

    def tell(self, link: Link) -> None:
        text = link.trouble
        self.set_class(bool(text), "-on")
        if self.content != text:
            self.update(Content(text))


class Place(Widget):
    """One section in the line of sections."""

    DEFAULT_CSS = """
    Place { width: auto; height: 1; padding: 0 0 0 1; color: $text-muted; }
    Place.-here { color: $text-primary; text-style: bold reverse; }
    Place:hover { text-style: underline; }
    """

    class Wanted(Message):
        """Somebody has clicked on a section."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, name: str, key: str, label: str, short: str, *, here: bool) -> None:
        super().__init__(classes="-here" if here else "")
        self._mode, self._key, self._label, self._short = name, key, label, short

    def render(self) -> Content:
        roomy = self.app.size.width >= ROOMY
        return Content.assemble((self._key, "$text-accent"), f" {self._label} " if roomy else self._short)

    def on_click(self, event: Click) -> None:
        event.stop()
        self.post_message(self.Wanted(self._mode))


class Places(Horizontal):
    """The line of all sections."""

    DEFAULT_CSS = "Places { height: 1; background: $surface; }"

    def __init__(self, places: Sequence[tuple[str, str, str, str]], here: str) -> None:
        """``places``: name, key, label and short label of each."""
        super().__init__()
        self._places, self._here = places, here

    def compose(self) -> ComposeResult:
        for name, key, label, short in self._places:
            yield Place(name, key, label, short, here=name == self._here)

    def on_resize(self, event: Resize) -> None:
        """Long names need room."""
        for place in self.query(Place):
            place.refresh(layout=True)
