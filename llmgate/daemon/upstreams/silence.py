"""How long an upstream may say nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Silence:
    """The watch over one exchange. ``first`` and ``idle`` are in seconds: until the first piece of the answer's body,
    and between two pieces. When it has lasted too long, ``end`` is called.

    One timer per exchange, not per piece: it is never later than the end of the silence that is allowed, and sets
    itself again when it finds that the upstream has spoken meanwhile.
    """

    __slots__ = ("_deadline", "_end", "_idle", "_loop", "_timer", "allowed", "is_over")

    def __init__(self, first: float, idle: float, end: Callable[[], None]) -> None:
        self.allowed = first
        self.is_over = False
        """It was too long."""
        self._idle = idle
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None

    def listen(self) -> None:
        """The upstream has the word."""
        if self._deadline is None:
            self._deadline = self._loop.time() + self.allowed
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._check)

    def heard(self) -> None:
        """It spoke: a piece of the body has come."""
        self._deadline = None
        if self.allowed != self._idle:
            self.allowed = self._idle
            self.stop()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._deadline is not None and now >= self._deadline:
            self.is_over = True
            self._end()
        else:
            self._timer = self._loop.call_at(self._deadline or now + self.allowed, self._check)
