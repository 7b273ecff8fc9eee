"""The queue backends that must pass the conformance suite. A new one adds itself to BACKENDS."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod

from llmgate.config import QueueSettings
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.daemon.queue.memory import MemoryQueueManager
from tests.queue.clock import FakeClock, settle


class Backend(ABC):
    """A running queue manager and its time.

    A backend with real time may make a scenario's second shorter than a second: ``second`` says how long
    one is on the manager's clock. It scales the settings itself.
    """

    second: float = 1.0
    queue: QueueManagerInterface

    @abstractmethod
    async def start(self, settings: QueueSettings) -> None:
        """Bring up ``queue`` with these settings, which are in a scenario's seconds."""

    @abstractmethod
    async def advance(self, seconds: float) -> None:
        """Let so many seconds of a scenario pass."""

    @abstractmethod
    async def settle(self) -> None:
        """Return when everything has happened that the last command causes."""

    @abstractmethod
    async def stop(self) -> None:
        """End everything."""


class MemoryBackend(Backend):
    """MemoryQueueManager under a fake clock."""

    queue: MemoryQueueManager

    async def start(self, settings: QueueSettings) -> None:
        self.clock = FakeClock()
        self.queue = MemoryQueueManager(
            settings, emit=lambda _: None, clock=self.clock.now, wait=self.clock.wait, chance=lambda: 0.5
        )
        await self.queue.start()
        self._loop = asyncio.create_task(self.queue.run())
        await settle()

    async def advance(self, seconds: float) -> None:
        await self.clock.advance(seconds)

    async def settle(self) -> None:
        await settle()

    async def stop(self) -> None:
        await self.queue.close()
        self._loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._loop


BACKENDS: dict[str, type[Backend]] = {"memory": MemoryBackend}
