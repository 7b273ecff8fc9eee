"""One client that follows the events, and what it has not taken yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

from llmgate.daemon.feed.frames import Frame

BACKLOG = 1000
BACKLOG_BYTES = 1024 * 1024
CHUNK_BYTES = 60 * 1024
"""Of what waits, so much is sent at once."""


class Backlog:
    """The newest frames, up to so many and so large."""

    def __init__(self, most: int = BACKLOG, most_bytes: int = BACKLOG_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._frames: deque[Frame] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)

    def append(self, frame: Frame) -> int:
        """Add a frame; returns how many of the oldest had to go for it."""
        self._frames.append(frame)
        self._bytes += len(frame.wire)
        gone = 0
        while len(self._frames) > self._most or (self._bytes > self._most_bytes and len(self._frames) > 1):
            self._bytes -= len(self._frames.popleft().wire)
            gone += 1
        return gone

    def take(self, most_bytes: int) -> list[Frame]:
        """The oldest frames, at least one if there is any, out of it."""
        taken: list[Frame] = []
        size = 0
        while self._frames and (not taken or size + len(self._frames[0].wire) <= most_bytes):
            frame = self._frames.popleft()
            size += len(frame.wire)
            taken.append(frame)
        self._bytes -= size
        return taken

    def clear(self) -> None:
        self._frames.clear()
        self._bytes = 0


class Follower:
    """See the module. ``types`` are the names of the events that it wants; None: all."""

    def __init__(self, types: frozenset[str] | None) -> None:
        self.types = types
        self.lost = 0
        """Dropped, and the client has not been told yet."""
        self.is_reset = False
        """It wanted to go on where that is not possible."""
        self.ended = asyncio.Event()
        """The daemon does not want to go on."""
        self._backlog = Backlog()
        self._news = asyncio.Event()

    def wants(self, name: str) -> bool:
        return self.types is None or name in self.types

    def offer(self, frame: Frame) -> int:
        """Give it an event, if it wants it. Returns how many older ones were dropped for that."""
        if not self.wants(frame.name):
            return 0
        gone = self._backlog.append(frame)
        self.lost += gone
        self._news.set()
        return gone

    def miss(self, count: int) -> None:
        """So many events were dropped before they came so far."""
        self.lost += count
        self._news.set()

    async def news(self, seconds: float) -> bool:
        """Wait until there is something to take, so many seconds at most."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    def take(self) -> tuple[int, list[Frame]]:
        """How many were dropped before these, and the next events."""
        lost, self.lost = self.lost, 0
        frames = self._backlog.take(CHUNK_BYTES)
        if not self._backlog:
            self._news.clear()
        return lost, frames

    def end(self) -> None:
        """Nothing more will come."""
        self._backlog.clear()
        self.ended.set()
