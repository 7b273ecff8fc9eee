"""A clock that only moves when it is told to."""

from __future__ import annotations

import asyncio
import math

SETTLE_ROUNDS = 12
"""Turns of the event loop after which everything has happened that was caused by one call."""


async def settle() -> None:
    """Let all that is ready to run, run."""
    for _ in range(SETTLE_ROUNDS):
        await asyncio.sleep(0)


class FakeClock:
    """Seconds, and the waits for them. It ticks in whole microseconds, so that sums of floats do not matter."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def wait(self, done: asyncio.Future[None], timeout: float | None) -> None:
        """Wait until ``done`` has a result, at most ``timeout`` of this clock's seconds."""
        if timeout is None:
            await asyncio.wait([done])
            return
        rings = asyncio.get_running_loop().create_future()
        sleeper = (math.ceil((self._now + timeout) * 1e6) / 1e6, rings)
        self._sleepers.append(sleeper)
        try:
            await asyncio.wait([done, rings], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._sleepers.remove(sleeper)

    async def advance(self, seconds: float) -> None:
        """Let time pass, stopping wherever somebody wants to be woken."""
        end = round(self._now + seconds, 6)
        await settle()
        while self._sleepers:
            rings_at, rings = min(self._sleepers, key=lambda sleeper: sleeper[0])
            if rings_at > end:
                break
            self._now = max(self._now, rings_at)
            if not rings.done():
                rings.set_result(None)
            await settle()
        self._now = end
