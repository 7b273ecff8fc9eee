"""The dashboard: one application, the daemon that it shows, and what all its screens share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from textual import on, work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.theme import BUILTIN_THEMES

from llmgate.client import AdminClient
from llmgate.connection import Credentials, FixedToken
from llmgate.contexts.session import SessionCredentials
from llmgate.contexts.stored import Store
from llmgate.contexts.target import Target
from llmgate.errors import AuthenticationFailed, LLMGateError, PermissionDenied
from llmgate.tui.desk import Desk
from llmgate.tui.dialogs.help import Help
from llmgate.tui.feed import Feed
from llmgate.tui.link import Link
from llmgate.tui.messages import EventsArrived, LoginNeeded, StatsArrived, StreamBroken, StreamOpened
from llmgate.tui.picture import Picture
from llmgate.tui.preferences import Preferences
from llmgate.tui.screens import SECTIONS
from llmgate.tui.section import Section
from llmgate.tui.session import Sessions
from llmgate.tui.themes import THEMES
from llmgate.tui.widgets.top import Place

ANSWER_SECONDS = 15.0
"""Longest wait for an answer of the daemon."""


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
    Footer { background: $panel; }
    Toast { width: 64; max-width: 90%; }
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
        self.sessions = Sessions(self)
        self.preferences = Preferences(launch.store.directory)
        self.sections: Sequence[type[Section]] = SECTIONS
        self._frozen_at: float | None = None

    # -- from the beginning to the end ---------------------------------------------------------

    def on_mount(self) -> None:
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = self._launch.theme or self.preferences.theme(self.available_themes) or THEMES[0].name
        self.theme_changed_signal.subscribe(self, lambda theme: self.preferences.keep_theme(theme.name))
        self.set_interval(self._launch.refresh, self._tick)
        self._listen()
        self._who()

    async def on_unmount(self) -> None:
        await self.link.client.__aexit__(None, None, None)

    def _linked(self, target: Target) -> Link:
        return Link(target, self._connect(self.store, target), self.clock)

    @work(exclusive=True, group="feed")
    async def _listen(self) -> None:
        await Feed(self.link.client, self.post_message).run()

    @work(exclusive=True, group="who")
    async def _who(self) -> None:
        """Learn who is logged in; without an answer the feed tries on."""
        link = self.link
        try:
            me = await link.client.me()
        except LLMGateError as failure:
            link.missed(failure)
            self.refused(link, failure)
        else:
            link.user, link.role = me.name, me.role
            link.heard()
        self._tell()

    async def switch(self, target: Target) -> None:
        """Show another daemon, or the same as somebody else."""
        before, self.link = self.link, self._linked(target)
        self.picture = Picture()
        self._frozen_at = None
        for section in self._standing():
            section.forget()
        self._listen()
        self._who()
        await before.client.__aexit__(None, None, None)
        self._tick()

    # -- what the feed tells -------------------------------------------------------------------

    @on(StatsArrived)
    def _figures(self, message: StatsArrived) -> None:
        self.link.heard()
        self.picture.fold(message.stats)
        self._tell()
        section = self.section
        if section is not None and self._frozen_at is None:
            section.pictured(self.picture)

    @on(EventsArrived)
    def _events(self, message: EventsArrived) -> None:
        self.picture.note(message.events, message.lost)
        for section in self._standing():
            section.happened(message.events, message.lost)

    @on(StreamOpened)
    def _opened(self, message: StreamOpened) -> None:
        """What happened before is not known: everything is asked for again."""
        self.link.heard()
        for section in self._standing():
            for listing in section.listings:
                listing.mark()
        if not self.link.user:
            self._who()

    @on(StreamBroken)
    def _broken(self, message: StreamBroken) -> None:
        self.link.missed(message.reason)
        self._tell()

    @on(LoginNeeded)
    def _needed(self, message: LoginNeeded) -> None:
        self.refused(self.link, message.reason)

    def refused(self, link: Link, failure: LLMGateError) -> None:
        """Ask for a login where that is what is missing."""
        if link is self.link and isinstance(failure, AuthenticationFailed | PermissionDenied):
            self.sessions.need(failure)

    # -- every second --------------------------------------------------------------------------

    def _tick(self) -> None:
        self._tell()
        if self._frozen_at is None and self.section is not None:
            self.section.tick()

    def _tell(self) -> None:
        if self.section is not None and self.section.is_mounted:
            self.section.tell()

    def changed(self) -> None:
        """Something was changed from here: show it at once, even where everything is frozen."""
        if self.section is not None:
            for listing in self.section.seen:
                listing.mark()
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

    def action_freeze(self) -> None:
        self._frozen_at = self.clock() if self._frozen_at is None else None
        self._tick()

    def action_reload(self) -> None:
        if self.section is not None:
            for listing in self.section.seen:
                listing.refresh_rows()

    async def action_go(self, name: str) -> None:
        """Show a section."""
        if len(self.screen_stack) == 1:
            await self.switch_mode(name)

    @on(Place.Wanted)
    async def _go(self, event: Place.Wanted) -> None:
        await self.action_go(event.name)

    def action_contexts(self) -> None:
        self.sessions.choose()

    def action_help(self) -> None:
        if self.section is not None and len(self.screen_stack) == 1:
            self.push_screen(Help(self.section))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Everything that can be done from here, by name."""
        for section in self.sections:
            yield SystemCommand(
                f"Go to {section.label}", section.help, lambda name=section.name_: self.run_worker(self.action_go(name))
            )
        if self.section is not None:
            for listing in self.section.seen:
                for action in listing.actions:
                    if listing.check_action("act", (action.name,)):
                        yield SystemCommand(
                            f"{listing.title}: {action.label}",
                            f"llmgate {action.verb}",
                            lambda listing=listing, name=action.name: listing.action_act(name),
                        )
        yield from self.sessions.commands()
        yield SystemCommand("Theme", "Dark, light, or the terminal's own colours", self.action_change_theme)
        yield SystemCommand("Quit", "Leave the dashboard; the daemon goes on", self.action_quit)


def connected(store: Store, target: Target) -> AdminClient:
    """A client for this daemon with the credential that applies there."""
    credentials: Credentials = FixedToken(target.token)
    if target.session is not None and target.context is not None:
        credentials = SessionCredentials(store, target.context, target.session)
    return AdminClient(target.url, credentials, timeout=ANSWER_SECONDS)


def theme_names() -> list[str]:
    """Every theme that can be chosen, our own first."""
    return [*(theme.name for theme in THEMES), *BUILTIN_THEMES]
