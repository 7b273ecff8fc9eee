"""The queue backends that must pass the conformance suite. A new one adds its name to BACKENDS."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable

from llmgate.config import QueueSettings
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.daemon.queue.memory import MemoryQueueManager
from llmgate.daemon.queue.rabbitmq.manager import RabbitMQManager
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


class RabbitMQBackend(Backend):
    """A daemon's RabbitMQManager on a real broker, alone in a virtual host of its own; a second is shorter there."""

    second = 0.1
    queue: RabbitMQManager

    def __init__(self, url: str, queue_type: str) -> None:
        self._url = url
        self._queue_type = queue_type

    async def start(self, settings: QueueSettings) -> None:
        scaled = {
            "aging_seconds": settings.aging_seconds * self.second,
            "deadline_seconds": settings.deadline_seconds * self.second,
            "outage_grace": settings.outage_grace * self.second,
            "settle_ms": round(settings.settle_ms * self.second),
            "backend": "rabbitmq",
            "url": self._url,
            "queue_type": self._queue_type,
        }
        self.queue = RabbitMQManager(
            QueueSettings.model_validate(settings.model_dump() | scaled),
            boot=secrets.token_hex(4),
            name="alone",
            shape={},
            emit=lambda _: None,
            chance=lambda: 0.5,
        )
        await self.queue.start()
        self._loop = asyncio.create_task(self.queue.run())
        self._now = self.queue.now()

    async def advance(self, seconds: float) -> None:
        """Time goes on by itself: what quick commands took is not added to it."""
        self._now = max(self._now, self.queue.now() - QUICK_SECONDS) + seconds * self.second
        while (rest := self._now - self.queue.now()) > 0:
            await asyncio.sleep(rest)
        await self.settle()

    async def settle(self) -> None:
        async with asyncio.timeout(QUIET_SECONDS):
            while not is_quiet(self.queue):
                await asyncio.sleep(0.002)
        await settle()

    async def stop(self) -> None:
        self._loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._loop
        await self.queue.close()


QUIET_SECONDS = 10.0
QUICK_SECONDS = 0.05


async def until(condition: Callable[[], bool], seconds: float = QUIET_SECONDS) -> None:
    """Wait for something that no event tells of. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def is_quiet(*queues: RabbitMQManager) -> bool:
    """Whether nothing is under way between these daemons and their dispatchers: what waits at the owners stands in
    the dispatchers' lines, what was granted runs, and nothing more can be granted."""
    pools = {upstream.pool for queue in queues for upstream in queue._upstreams.values()}
    waiting = {one.ticket.id for queue in queues for one in queue.room.places() if one.ticket.pool in pools}
    running = {grant.id for queue in queues for grant, _ in queue.room.grants()}
    dispatchers = [one for queue in queues for one in queue.dispatchers.values() if one.dispatches]
    if {one.pool for one in dispatchers} != pools:
        return False
    ledgers = [one.ledger for one in dispatchers if one.ledger is not None]
    offers = {offer.id for ledger in ledgers for offer in ledger.offers.values() if offer.accepted}
    in_line = {ticket_id for ledger in ledgers for ticket_id in ledger.pool.line}
    is_idle = all(queue._link is not None and queue._link.publisher.idle for queue in queues)
    return (
        is_idle
        and all(one._publisher.idle and not one._replies for one in dispatchers)
        and (waiting, running) == (in_line, offers)
        and sum(len(ledger.offers) for ledger in ledgers) == len(running)
    )


BACKENDS = ("memory", "rabbitmq-classic", "rabbitmq-quorum")
"""The names of all, as tests are parametrised with them."""
