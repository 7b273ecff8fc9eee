"""A MemoryQueueManager on a fake clock, with its background loop running."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from llmgate.config import QueueSettings
from llmgate.daemon.events import Event
from llmgate.daemon.queue.memory import MemoryQueueManager
from tests.queue.clock import FakeClock, settle


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def events() -> list[Event]:
    return []


Build = Callable[[QueueSettings], MemoryQueueManager]


@pytest.fixture
async def build(clock: FakeClock, events: list[Event]) -> AsyncIterator[Build]:
    """Make a running manager with given settings."""
    loops: list[asyncio.Task[None]] = []

    def make(settings: QueueSettings) -> MemoryQueueManager:
        manager = MemoryQueueManager(settings, emit=events.append, clock=clock.now, wait=clock.wait, chance=lambda: 0.5)
        loops.append(asyncio.create_task(manager.run()))
        return manager

    yield make
    for loop in loops:
        loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loop


@pytest.fixture
async def queue(build: Build) -> MemoryQueueManager:
    """A running manager with the default settings."""
    manager = build(QueueSettings())
    await settle()
    return manager
