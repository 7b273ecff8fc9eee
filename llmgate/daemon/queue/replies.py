"""Gather what several daemons answer to one question."""

from __future__ import annotations

import asyncio
from typing import Any


async def gathered(replies: asyncio.Queue[Any], expected: int, seconds: float, enough: int | None = None) -> list[Any]:
    """The answers that are not None, until so many have come as were ``expected``, or ``enough`` of them say something,
    or the time is over: a daemon that has gone answers never."""
    found: list[Any] = []
    try:
        async with asyncio.timeout(seconds):
            while expected > 0 and (enough is None or len(found) < enough):
                answer = await replies.get()
                expected -= 1
                if answer is not None:
                    found.append(answer)
    except TimeoutError:
        pass
    return found
