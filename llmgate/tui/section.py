"""One screen of the dashboard: the lines above, the views of a section, and the hints below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Click, ScreenResume
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from llmgate import schemas
from llmgate.tui.listing import Listing
from llmgate.tui.picture import Picture
from llmgate.tui.widgets.hints import Hints
from llmgate.tui.widgets.top import Header, Places, Trouble

if TYPE_CHECKING:  # the application knows its sections
    from llmgate.tui.app import Dashboard


class Section(Screen[None]):
    """Subclasses name themselves and their views; those that are no plain lists overwrite ``body``."""

    name_: ClassVar[str]
    """Of the mode: ``users``."""
    key: ClassVar[str]
    key_shown: ClassVar[str] = ""
    """How the key is written, where that is not its name."""
    label: ClassVar[str]
    short: ClassVar[str]
    """The label where there is little room: all of them fit into 80 cells."""
    views: ClassVar[Sequence[type[Listing[Any]]]] = ()
    help: ClassVar[str] = ""
    """A few sentences for the help: what this section is for."""
    also: ClassVar[tuple[str, ...]] = ()
    """CLI verbs that show the same as it does, beside those of its lists and actions."""

    AUTO_FOCUS: ClassVar[str | None] = "RowTable, VerticalScroll"
    """Not simply the first: that is the line for filters, which would take keys while it is hidden."""
    DEFAULT_CSS = """
    Section { background: $background; }
    Section > .body { height: 1fr; }
    Section > .body > ContentSwitcher { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "next_view", "Next view", show=False),
    ]

    @property
    def dashboard(self) -> Dashboard:
        return cast("Dashboard", self.app)

    def compose(self) -> ComposeResult:
        yield Header()
        yield Places(
            [
                (place.name_, place.key_shown or place.key, place.label, place.short)
                for place in self.dashboard.sections
            ],
            self.name_,
        )
        yield Trouble()
        with Vertical(classes="body"):
            yield from self.body()
        yield Hints()

    def body(self) -> ComposeResult:
        """What is between the lines: one list, or several of which one is seen."""
        if len(self.views) == 1:
            yield self.views[0](id="view-0")
            return
        yield Tabs([view.title for view in self.views])
        with ContentSwitcher(initial="view-0"):
            for number, view in enumerate(self.views):
                yield view(id=f"view-{number}")

    # -- what is seen --------------------------------------------------------------------------

    @property
    def listings(self) -> list[Listing[Any]]:
        return list(self.query(Listing))

    @property
    def seen(self) -> list[Listing[Any]]:
        """The lists that are on the screen now."""
        return [
            listing
            for listing in self.listings
            if listing.display and all(at.display for at in listing.ancestors if isinstance(at, Widget))
        ]

    def on_mount(self) -> None:
        self.tell()
        self.tick()
        self._focus()

    def on_screen_resume(self, event: ScreenResume) -> None:
        """Seen again: also the figures are those of before."""
        self.tell()
        self.tick()
        app = self.dashboard
        if app.picture.stats is not None and app.frozen_for is None and self.is_mounted:
            self.pictured(app.picture)

    def _focus(self) -> None:
        if self.seen:
            self.seen[0].focus_table()

    def tell(self) -> None:
        """Say above how the daemon does."""
        app = self.dashboard
        if not self.is_attached:  # it is taken down
            return
        for header in self.query(Header):
            if header.is_mounted and header.children:
                header.tell(app.link, app.shown_stats, frozen=app.frozen_for, read_only=app.read_only)
        for trouble in self.query(Trouble):
            trouble.tell(app.link)

    def tick(self) -> None:
        """Once a second, while this section is seen and nothing is frozen: ask for what is due. What was never filled
        is filled all the same."""
        app = self.dashboard
        for listing in self.seen:
            listing.grow_old()
        if app.link.denied is not None:
            return
        now = app.clock()
        for listing in self.seen:
            if listing.due(now) and (app.frozen_for is None or not listing.filled):
                listing.refresh_rows(quiet=True)

    def reload(self) -> None:
        """Ask at once for everything that is seen."""
        for listing in self.seen:
            listing.refresh_rows()

    def pictured(self, picture: Picture) -> None:
        """The live figures are others now, at most once a second; only while this section is seen."""

    def happened(self, events: Sequence[schemas.FeedEvent], lost: int) -> None:
        """Something happened: what shows it is asked for anew at the next tick."""
        topics = {topic for event in events for topic in topics_of(event)}
        for listing in self.listings:
            if lost or any(concerns(wanted, topics) for wanted in listing.topics):
                listing.mark()

    def forget(self) -> None:
        """Another daemon is shown now."""
        for listing in self.listings:
            listing.forget()

    # -- views ---------------------------------------------------------------------------------

    def action_next_view(self) -> None:
        if len(self.views) > 1:
            number = int(str(self.query_one(ContentSwitcher).current).rpartition("-")[2])
            self.show_view((number + 1) % len(self.views))

    def show_view(self, number: int) -> None:
        """Show another of its views."""
        self.query_one(ContentSwitcher).current = f"view-{number}"
        self.query_one(Tabs).current(number)
        self.tick()
        self._focus()

    def on_tabs_wanted(self, event: Tabs.Wanted) -> None:
        self.show_view(event.number)


class Tabs(Horizontal):
    """The views of a section, by name."""

    DEFAULT_CSS = """
    Tabs { height: 1; }
    Tabs > Tab { width: auto; height: 1; padding: 0 2; color: $text-muted; }
    Tabs > Tab.-here { color: $text-primary; text-style: bold underline; }
    """

    class Wanted(Message):
        """Somebody has clicked on a view."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, titles: Sequence[str]) -> None:
        super().__init__()
        self._titles = titles

    def compose(self) -> ComposeResult:
        for number, title in enumerate(self._titles):
            yield Tab(title, number)
        yield Tab("(v: next)", None)

    def current(self, number: int) -> None:
        for tab in self.query(Tab):
            tab.set_class(tab.number == number, "-here")


class Tab(Widget):
    """One name in the line of views."""

    def __init__(self, title: str, number: int | None) -> None:
        super().__init__(classes="-here" if number == 0 else "")
        self._title, self.number = title, number

    def render(self) -> Content:
        return Content(self._title)

    def on_click(self, event: Click) -> None:
        event.stop()
        if self.number is not None:
            self.post_message(Tabs.Wanted(self.number))


def topics_of(event: schemas.FeedEvent) -> list[str]:
    """What an event is about: its type, and of an entry of the activity log its action too."""
    action = getattr(event, "action", "")
    return [event.type, f"activity:{action}"] if event.type == "activity" else [event.type]


def concerns(wanted: str, topics: set[str]) -> bool:
    """Whether something of this topic has happened. ``reset`` and ``lost`` concern everything."""
    if topics & {"reset", "lost"}:
        return True
    return any(topic == wanted or (wanted.endswith(".") and topic.startswith(wanted)) for topic in topics)
