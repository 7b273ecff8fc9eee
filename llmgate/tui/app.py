"""The dashboard: one application, the daemon that it shows, and what all its screens share."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from rich.console import RenderableType
from rich.text import Text
from textual import on, work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.filter import LineFilter, NoColor
from textual.screen import Screen
from textual.theme import BUILTIN_THEMES, Theme
from textual.worker import Worker

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.connection import Credentials, FixedToken
from llmgate.contexts.session import SessionCredentials
from llmgate.contexts.stored import Store
from llmgate.contexts.target import Target
from llmgate.errors import AuthenticationFailed, LLMGateError, PermissionDenied
from llmgate.tui.crash import report
from llmgate.tui.desk import Desk
from llmgate.tui.dialogs.help import Help
from llmgate.tui.feed import Feed
from llmgate.tui.link import Link
from llmgate.tui.messages import EventsArrived, LoginNeeded, StatsArrived, StreamBroken, StreamOpened, Told
from llmgate.tui.picture import Picture
from llmgate.tui.preferences import Preferences
from llmgate.tui.pulls import Pulls
from llmgate.tui.screens import SECTIONS
from llmgate.tui.section import Section
from llmgate.tui.session import Sessions
from llmgate.tui.themes import THEMES
from llmgate.tui.widgets.top import Place

ANSWER_SECONDS = 15.0
"""Longest wait for an answer of the daemon."""
QUEUE_SECONDS = 5.0
"""Between two questions how the queue itself does."""


@dataclass(frozen=True, slots=True)
class Launch:
    """With what the dashboard is started. ``refresh`` is in seconds, ``clock`` and ``wall`` are for tests."""

    store: Store
    target: Target
    read_only: bool = False
    refresh: float = 1.0
    theme: str | None = None
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], datetime] = lambda: datetime.now().astimezone()


class Dashboard(App[None]):
    """Sections are modes of the application; each keeps what it shows while another is seen."""

    TITLE = "llmgate"
    ENABLE_COMMAND_PALETTE = True
    MODES: ClassVar[dict[str, Any]] = {section.name_: section for section in SECTIONS}
    DEFAULT_MODE = SECTIONS[0].name_
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(section.key, f"go('{section.name_}')", section.label, show=False, key_display=None)
            for section in SECTIONS
        ),
        Binding("space", "freeze", "Freeze", show=False),
        Binding("r", "reload", "Refresh", show=False),
        Binding("C", "contexts", "Contexts", show=False),
        Binding("question_mark,f1", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
    ]
    CSS = """
    Toast { width: 64; max-width: 90%; }
    OptionList:nocolor > .option-list--option-highlighted { text-style: bold underline; }
    Select:focus:nocolor SelectCurrent { text-style: reverse; }
    Input:focus:nocolor { text-style: underline; }
    """

    def __init__(self, launch: Launch, connect: Callable[[Store, Target], AdminClient] | None = None) -> None:
        """``connect`` makes the client for a daemon; nothing is sent before the application runs."""
        super().__init__()
        self._launch, self._connect = launch, connect or connected
        self.store = launch.store
        self.clock, self.wall, self.read_only = launch.clock, launch.wall, launch.read_only
        self.picture = Picture()
        self.link = self._linked(launch.target)
        self.desk = Desk(self)
        self.pulls = Pulls(self)
        self.sessions = Sessions(self)
        self.preferences = Preferences(launch.store.directory)
        self.sections: Sequence[type[Section]] = SECTIONS
        self._plain = NoColor()
        self._frozen_at: float | None = None
        self.doing: Worker[None] | None = None
        """The action that was begun last."""
        self._ending = False
        self._frozen_stats: schemas.StatsEvent | None = None

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Without colours there are none at all: Textual's greys make the terminal's own colours black on black."""
        return [self._plain] if self.no_color else super().get_line_filters()

    # -- from the beginning to the end ---------------------------------------------------------

    async def on_mount(self) -> None:
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = self._launch.theme or self.preferences.theme(self.available_themes) or THEMES[0].name
        self.theme_changed_signal.subscribe(self, self._theme_chosen)
        self.set_interval(self._launch.refresh, self._tick)
        self._listen()
        self._who()
        await self.sessions.survey()

    def _fatal_error(self) -> None:
        """End, and say why without any values: Textual would print those of all variables, passwords among them."""
        self.bell()
        self._exit_renderables.append(Text(report(sys.exc_info()[1] or self._exception)))
        self._close_messages_no_wait()

    def exit(self, result: None = None, return_code: int = 0, message: RenderableType | None = None) -> None:
        """End. What is still worked at would find no screen to be shown on."""
        self._ending = True
        self.workers.cancel_all()
        super().exit(result, return_code, message)

    async def on_unmount(self) -> None:
        await self.link.client.__aexit__(None, None, None)

    def _theme_chosen(self, theme: Theme) -> None:
        if theme.name != self._launch.theme:  # what is asked for on the command line is for this time
            self.run_worker(asyncio.to_thread(self.preferences.keep_theme, theme.name), group="theme")

    def _linked(self, target: Target) -> Link:
        return Link(target, self._connect(self.store, target), self.clock)

    def client_for(self, target: Target) -> AdminClient:
        """Another client than that of what is shown; whoever asks for it closes it."""
        return self._connect(self.store, target)

    def another_client(self) -> AdminClient:
        """As ``client_for``, for what is shown: for what takes long, and goes on when something else is shown."""
        return self.client_for(self.link.target)

    @work(exclusive=True, group="feed")
    async def _listen(self) -> None:
        await Feed(self.link.client, self.post_message).run()

    @work(exclusive=True, group="who")
    async def _who(self) -> None:
        """Learn who is logged in; without an answer the feed tries on."""
        link = self.link
        try:
            await link.introduce()
        except LLMGateError as failure:
            link.missed(failure)
            self.denied(link, failure)
        self._tell()

    @work(exclusive=True, group="queue status")
    async def _look_at_queue(self) -> None:
        """Learn whether the queue does what it should: no event tells."""
        link = self.link
        link.queue_asked = self.clock()
        await self.sessions.survey()  # the current context may have been changed elsewhere
        try:
            link.queue = await link.client.queue_status()
        except LLMGateError:
            return  # the feed says what is wrong
        self._tell()

    async def switch(self, target: Target) -> None:
        """Show another daemon, or the same as somebody else."""
        before, self.link = self.link, self._linked(target)
        self.picture = Picture()
        self._frozen_at = self._frozen_stats = None
        for section in self._standing():
            section.forget()
        self.workers.cancel_group(self, "queue status")
        self._listen()
        self._who()
        self._tick()
        await before.client.__aexit__(None, None, None)

    # -- what the feed tells -------------------------------------------------------------------

    @on(StatsArrived)
    def _figures(self, message: StatsArrived) -> None:
        if self._outdated(message):
            return
        self.link.listened()
        self.picture.fold(message.stats)
        self._tell()
        section = self.section
        if section is not None and self._frozen_at is None:
            section.pictured(self.picture)

    @on(EventsArrived)
    def _events(self, message: EventsArrived) -> None:
        if self._outdated(message):
            return
        self.picture.note(message.events, message.lost)
        for section in self._standing():
            section.happened(message.events, message.lost)

    @on(StreamOpened)
    def _opened(self, message: StreamOpened) -> None:
        """What happened before is not known: everything is asked for again."""
        if self._outdated(message):
            return
        self.link.listened()
        self.link.queue_asked = None
        for section in self._standing():
            for listing in section.listings:
                listing.mark()
        if not self.link.user:
            self._who()

    @on(StreamBroken)
    def _broken(self, message: StreamBroken) -> None:
        if not self._outdated(message):
            self.link.lost(message.reason)
            self._tell()

    @on(LoginNeeded)
    def _needed(self, message: LoginNeeded) -> None:
        if not self._outdated(message):
            self.denied(self.link, message.reason)

    def _outdated(self, message: Told) -> bool:
        """It comes from a daemon that is not shown any more."""
        return message.source not in (None, self.link.client)

    def refused(self, link: Link, failure: LLMGateError) -> None:
        """Ask for a login where that is what is missing. That one thing is forbidden says nothing of all others."""
        if isinstance(failure, AuthenticationFailed):
            self.denied(link, failure)

    def denied(self, link: Link, failure: LLMGateError) -> None:
        """As ``refused``, where without permission nothing at all can be seen."""
        if link is self.link and isinstance(failure, AuthenticationFailed | PermissionDenied):
            self.sessions.need(failure)

    @property
    def busy(self) -> bool:
        """Whether an action is on its way to its dialog."""
        return self.doing is not None and not self.doing.is_finished

    # -- every second --------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._ending:
            return
        self._tell()
        link = self.link
        asked = link.queue_asked
        if link.denied is None and not link.stale and (asked is None or self.clock() - asked >= QUEUE_SECONDS):
            self._look_at_queue()
        if self._frozen_at is None and self.section is not None:
            self.section.tick()

    def _tell(self) -> None:
        if self.section is not None and self.section.is_mounted:
            self.section.tell()

    def changed(self) -> None:
        """Something was changed from here: show it at once; where everything is frozen, that ends here."""
        if self._frozen_at is not None:
            self.action_freeze()
            self.desk.say("Not frozen any more: something was changed from here.")
        if self.section is not None:
            for listing in self.section.seen:
                listing.refresh_rows()
            self.section.tick()

    @property
    def section(self) -> Section | None:
        """The one that is seen, or that lies behind a dialog."""
        return next((screen for screen in self.screen_stack if isinstance(screen, Section)), None)

    def _standing(self) -> list[Section]:
        """Every section that was seen so far: they keep what they show."""
        return [screen for stack in self._screen_stacks.values() for screen in stack if isinstance(screen, Section)]

    # -- keys ----------------------------------------------------------------------------------

    @property
    def frozen_for(self) -> float | None:
        """Seconds since the screens stand still; None when they do not."""
        return None if self._frozen_at is None else self.clock() - self._frozen_at

    @property
    def shown_stats(self) -> schemas.StatsEvent | None:
        """The figures of this second, or those of the one in which the screens were frozen."""
        return self.picture.stats if self._frozen_at is None else self._frozen_stats

    def action_freeze(self) -> None:
        """Stand still, or go on with what is known by now."""
        thawed = self._frozen_at is not None
        self._frozen_at = None if thawed else self.clock()
        self._frozen_stats = None if thawed else self.picture.stats
        self._tick()
        if thawed and self.section is not None and self.picture.stats is not None:
            self.section.pictured(self.picture)

    def action_reload(self) -> None:
        if self.link.denied is not None:
            self.sessions.again()
        elif self.section is not None:
            self.section.reload()

    async def action_go(self, name: str) -> None:
        """Show a section."""
        if len(self.screen_stack) == 1:
            await self.switch_mode(name)

    @on(Place.Wanted)
    async def _go(self, event: Place.Wanted) -> None:
        await self.action_go(event.name)

    async def action_quit(self) -> None:
        """Leave; while a pull runs, which would end, not without a question."""
        if self.pulls.running:
            self._leave()
        else:
            self.exit()

    @work(exclusive=True, group="leave")
    async def _leave(self) -> None:
        models = ", ".join(pull.model for pull in self.pulls.running)
        consequence = "They go on where they were when they are pulled again."
        if await self.desk.sure(f"Quit, and end what is being pulled ({models})?", "Quit", "", consequence=consequence):
            self.exit()

    def action_help_quit(self) -> None:
        """Ctrl+C, where it does not copy."""
        self.desk.say("q leaves the dashboard. Ctrl+C copies what is selected.")

    def action_contexts(self) -> None:
        self.sessions.choose()

    def action_help(self) -> None:
        if self.section is not None and len(self.screen_stack) == 1:
            self.push_screen(Help(self.section))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Everything that can be done from here, by name; over a dialog only what leaves it alone."""
        if isinstance(screen, Section):
            yield from self._places()
            for listing in screen.seen:
                yield from listing.commands()
            yield from self.sessions.commands()
            yield SystemCommand("Help", "The keys, and what they stand for", self.action_help)
            yield SystemCommand("Freeze, or go on", "Screens stand still while they are frozen", self.action_freeze)
            yield SystemCommand("Refresh", "Ask the daemon again now", self.action_reload)
        yield SystemCommand("Theme", "Dark, light, or the terminal's own colours", self.action_change_theme)
        yield SystemCommand("Quit", "Leave the dashboard; the daemon goes on", self.action_quit)

    def _places(self) -> Iterator[SystemCommand]:
        for section in self.sections:
            yield SystemCommand(
                f"Go to {section.label}",
                section.help.partition(".")[0],
                lambda name=section.name_: self.run_worker(self.action_go(name)),
            )


def connected(store: Store, target: Target) -> AdminClient:
    """A client for this daemon with the credential that applies there."""
    credentials: Credentials = FixedToken(target.token)
    if target.session is not None and target.context is not None:
        credentials = SessionCredentials(store, target.context, target.session)
    return AdminClient(target.url, credentials, timeout=ANSWER_SECONDS)


def theme_names() -> list[str]:
    """Every theme that can be chosen, our own first."""
    return [*(theme.name for theme in THEMES), *BUILTIN_THEMES]
