"""Background tasks are ended, also those that do not listen at first."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from llmgate.daemon.supervisor import Supervisor


async def test_a_task_that_swallows_its_cancellation_is_cancelled_again_and_holds_up_nobody() -> None:
    begun, ends = asyncio.Event(), 0

    async def deaf() -> None:
        nonlocal ends
        while ends < 2:
            begun.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            ends += 1

    supervisor = Supervisor()
    supervisor.start("deaf", deaf())
    await begun.wait()
    async with asyncio.timeout(5):
        await supervisor.stop(0.01)
    assert ends == 2
    assert supervisor.failed == {}
