"""The feed: takes events from the bus, numbers them, keeps the newest, and gives them to whoever follows.

On the path of a request it costs one look at ``watched``, and while somebody follows one append to a bounded list; all
else is done by a task of its own. Each follower has a backlog of its own: one that is slow loses its own oldest events.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

import structlog

from llmgate.daemon.events import Event, EventBus
from llmgate.daemon.feed.follower import Backlog, Follower
from llmgate.daemon.feed.frames import NAMES, STATS, Frame, data_of, facts_of, frame_of
from llmgate.daemon.feed.peers import TELL_SECONDS, Peers
from llmgate.daemon.pulse import Pulse
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.errors import Draining, LimitExceeded

FOLLOWERS: Final = 32
"""Streams that may be open at one daemon."""
INBOX: Final = 5000
"""Events that wait to be looked at."""
SLICE: Final = 100
"""So many are looked at before everybody else has a turn."""
KEPT, KEPT_BYTES = 2000, 2 * 1024 * 1024
"""Events behind which a client can go on that was cut off."""
LINGER_SECONDS: Final = 30.0
"""When the last client has gone, it may be back in a moment: so long everything is still kept for it."""


class Feed:
    """See the module. ``daemon`` is the name of this one; ``clock`` counts seconds."""

    def __init__(
        self,
        bus: EventBus,
        queue: QueueManagerInterface,
        daemon: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pulse = Pulse()
        self._bus = bus
        self._queue = queue
        self._daemon = daemon
        self._clock = clock
        self._boot = secrets.token_hex(6)
        self._peers = Peers(
            queue,
            self.pulse,
            heard=self._tell_here,
            missed=self._missed_by_all,
            asked=self._watch,
            clock=clock,
        )
        self._inbox: deque[tuple[float, Event]] = deque()
        self._news = asyncio.Event()
        self._followers: set[Follower] = set()
        self._kept = Backlog(KEPT, KEPT_BYTES)
        self._seq = 0
        self._kept_after = 0
        """Everything behind the event of this number is kept."""
        self._here_until = float("-inf")
        self._closed = False
        self._dropped = 0
        self._log = structlog.get_logger("llmgate.feed")

    # -- who follows -------------------------------------------------------------------------

    @property
    def followers(self) -> int:
        return len(self._followers)

    @property
    def dropped(self) -> int:
        """Events that somebody who follows did not get, since this daemon has started."""
        return self._dropped + self._peers.dropped

    def follow(self, types: frozenset[str] | None, last_id: str | None = None) -> Follower:
        """Begin to follow, behind the event ``last_id`` if that is known. Raises LimitExceeded or Draining."""
        if self._closed:
            raise Draining("The gateway is shutting down.", retry_after=5)
        if len(self._followers) >= FOLLOWERS:
            raise LimitExceeded(
                f"There are {FOLLOWERS} event streams open at this daemon already.",
                hint="Close one, or follow at another daemon.",
                retry_after=10,
            )
        follower = Follower(types)
        self._watch_here()
        self._followers.add(follower)
        self._resume(follower, last_id)
        return follower

    def leave(self, follower: Follower) -> None:
        """It does not follow any more."""
        self._followers.discard(follower)
        if not self._followers:
            self._here_until = self._clock() + LINGER_SECONDS

    def close(self) -> None:
        """End all streams at once, and begin no other."""
        self._closed = True
        for follower in self._followers:
            follower.end()

    def place(self) -> bytes:
        """Tells a client where it is before the first event has come."""
        return f"id: {self._boot}-{self._seq}\n\n".encode()

    def note(self, name: str, **facts: object) -> bytes:
        """An event for one client alone, about its own stream."""
        return frame_of(name, data_of(name, time.time(), self._daemon, facts)).wire

    def _resume(self, follower: Follower, last_id: str | None) -> None:
        if last_id is None:
            return
        boot, _, text = last_id.partition("-")
        seq = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1
        if boot != self._boot or not self._kept_after <= seq <= self._seq:
            follower.is_reset = True
            return
        for frame in self._kept:
            if frame.seq > seq:
                self._dropped += follower.offer(frame)

    def _watch_here(self) -> None:
        if not self._is_watched_here():
            self._forget()
            self._peers.ask()
        self._here_until = float("inf")
        self._watch()

    def _watch(self) -> None:
        self._bus.watched = True

    def _is_watched_here(self) -> bool:
        return self._here_until > self._clock()

    def _forget(self) -> None:
        """What happened while nobody followed is not known: nobody can go on behind an event before that."""
        self._kept.clear()
        self._seq += 1
        self._kept_after = self._seq

    # -- what happens ------------------------------------------------------------------------

    def __call__(self, event: Event) -> None:
        self.pulse(event)
        if not self._bus.watched or type(event) not in NAMES:
            return
        if len(self._inbox) >= INBOX:
            self._inbox.popleft()
            self._missed_by_all(1)
        self._inbox.append((time.time(), event))
        self._news.set()

    async def run(self) -> None:
        """Pass on what happens, until cancelled."""
        self._peers.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pass_on())
            group.create_task(self._tick())

    async def _pass_on(self) -> None:
        while True:
            await self._news.wait()
            for _ in range(min(SLICE, len(self._inbox))):
                self._look_at(*self._inbox.popleft())
            if not self._inbox:
                self._news.clear()
            await asyncio.sleep(0)

    def _look_at(self, at: float, event: Event) -> None:
        name = NAMES[type(event)]
        try:
            data = data_of(name, at, self._daemon, facts_of(event))
        except Exception:  # one event that cannot be told must not be the last one
            self._log.exception("event_not_told", event_type=name)
            return
        self._tell_here(name, data)
        self._peers.tell(name, data)

    def _tell_here(self, name: str, data: str) -> None:
        if not self._is_watched_here():
            return
        self._seq += 1
        frame = frame_of(name, data, self._boot, self._seq)
        gone = self._kept.append(frame)
        if gone:
            self._kept_after = next(iter(self._kept)).seq - 1
        self._give(frame)

    def _give(self, frame: Frame) -> None:
        for follower in self._followers:
            self._dropped += follower.offer(frame)

    def _missed_by_all(self, count: int) -> None:
        self._dropped += count
        self._forget()
        for follower in self._followers:
            follower.miss(count)

    # -- every second ------------------------------------------------------------------------

    async def _tick(self) -> None:
        next_turn = self._clock() + 1.0
        while True:
            await asyncio.sleep(TELL_SECONDS if self._peers.interested else max(0.0, next_turn - self._clock()))
            self._peers.flush()
            if self._clock() < next_turn:
                continue
            next_turn = max(next_turn + 1.0, self._clock())
            self._turn()

    def _turn(self) -> None:
        self._peers.turn(self.pulse.turn())
        here = self._is_watched_here()
        if here:
            self._peers.ask()
        self._bus.watched = here or self._peers.interested
        if any(follower.wants(STATS) for follower in self._followers):
            self._give(Frame(0, STATS, self._stats()))

    def _stats(self) -> bytes:
        pools = self._queue.stats()
        return self.note(
            STATS,
            **self.pulse.facts(),
            waiting=sum(pool.waiting for pool in pools),
            running=sum(pool.running for pool in pools),
            pools=[asdict(pool) for pool in pools],
        )
