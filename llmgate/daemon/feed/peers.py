"""The events of the other daemons: each tells its own to those where somebody follows, and only as long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from llmgate.daemon.feed.frames import NAMES
from llmgate.daemon.pulse import Pulse, Second
from llmgate.daemon.queue.interface import QueueManagerInterface

TELL_SECONDS: Final = 0.1
"""Events are gathered for so long before they are told."""
INTEREST_SECONDS: Final = 5.0
"""A daemon that has not repeated for so long that somebody follows there is told nothing any more."""
EVENTS_PER_SECOND: Final = 500
BYTES_PER_SECOND: Final = 1024 * 1024
"""More is dropped and counted: the broker is there for the queue. What an administrator did is no part of the first
bound."""
_LARGEST: Final = 128 * 1024
_RARE: Final = frozenset({"activity", "settings.changed", "upstream.changed"})
_TOLD: Final = frozenset(NAMES.values())

Heard = Callable[[str, str], None]


class Peers:
    """See the module. ``heard`` gets name and JSON of each event from elsewhere, ``missed`` how many were dropped on
    the way, ``asked`` that somebody follows elsewhere."""

    def __init__(
        self,
        queue: QueueManagerInterface,
        pulse: Pulse,
        *,
        heard: Heard,
        missed: Callable[[int], None],
        asked: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.dropped = 0
        self._queue = queue
        self._pulse = pulse
        self._heard = heard
        self._missed = missed
        self._asked = asked
        self._clock = clock
        self._interested: dict[str, float] = {}
        self._outbox: list[tuple[str, str]] = []
        self._untold = 0
        self._second = 0.0
        self._events = self._bytes = 0

    def start(self) -> None:
        """Begin to hear the others."""
        self._queue.listen("feed.follow", self._on_follow)
        self._queue.listen("feed.events", self._on_events)
        self._queue.listen("feed.second", self._on_second)

    @property
    def interested(self) -> bool:
        """Whether somebody follows at another daemon."""
        return bool(self._interested)

    def ask(self) -> None:
        """Somebody follows here: the others are to tell, for some seconds."""
        self._queue.tell("feed.follow", True)

    def turn(self, second: Second) -> None:
        """Once a second: forget who does not ask any more, and tell what this daemon has seen in the last one."""
        now = self._clock()
        self._interested = {boot: until for boot, until in self._interested.items() if until > now}
        for boot in self._interested:
            self._queue.tell("feed.second", second.to_wire(), boot)

    def tell(self, name: str, data: str) -> None:
        """An event of this daemon, to be told soon, if there is room for it."""
        if not self._interested:
            return
        now = self._clock()
        if now - self._second >= 1.0:
            self._second, self._events, self._bytes = now, 0, 0
        counts = name not in _RARE
        if (counts and self._events >= EVENTS_PER_SECOND) or self._bytes + len(data) > BYTES_PER_SECOND:
            self._untold += 1
            self.dropped += 1
            return
        self._events += counts
        self._bytes += len(data)
        self._outbox.append((name, data))

    def flush(self) -> None:
        """Tell what was gathered."""
        if self._outbox or self._untold:
            for boot in self._interested:
                self._queue.tell("feed.events", [self._untold, self._outbox], boot)
            self._outbox, self._untold = [], 0

    def _on_follow(self, boot: str, _: Any) -> None:
        self._interested[boot] = self._clock() + INTEREST_SECONDS
        self._asked()

    def _on_events(self, boot: str, told: Any) -> None:
        missed, events = told
        for name, data in events:
            # Written by a daemon of our own; a line break would begin another field of the server-sent event.
            if name in _TOLD and isinstance(data, str) and len(data) <= _LARGEST and "\n" not in data:
                self._heard(name, data.replace("\r", ""))
        if int(missed) > 0:
            self._missed(int(missed))

    def _on_second(self, boot: str, told: Any) -> None:
        self._pulse.heard(Second.from_wire(told))
