"""The waiting line in this process: the embedded default, for one daemon on one event loop."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmgate.config import QueueSettings
from llmgate.daemon.events import Event
from llmgate.daemon.queue.interface import Place, QueueManagerInterface
from llmgate.daemon.queue.place import Wait, wait_until
from llmgate.daemon.queue.pool import Mode
from llmgate.daemon.queue.report import merge
from llmgate.daemon.queue.room import WaitingRoom
from llmgate.daemon.queue.ticket import Grant, PoolStats, Position, QueueStatus, Running, Ticket, UpstreamSlots
from llmgate.daemon.queue.wanted import ALL, Wanted


class MemoryQueueManager(QueueManagerInterface):
    """A WaitingRoom that hands out all slots itself. The parameters are those of the room."""

    def __init__(
        self,
        settings: QueueSettings,
        *,
        emit: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
        wait: Wait = wait_until,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.room = WaitingRoom(settings, emit=emit, clock=clock, wait=wait, chance=chance)

    def apply(self, settings: QueueSettings, shape: Mapping[str, Any]) -> None:
        self.room.apply(settings)

    def now(self) -> float:
        return self.room.now()

    async def start(self) -> None:
        """There is nothing to connect to."""

    async def run(self) -> None:
        await self.room.run()

    async def shut(self) -> None:
        self.room.close()

    async def close(self) -> None:
        self.room.close()

    def update_upstream(self, upstream: UpstreamSlots) -> None:
        self.room.update_upstream(upstream)

    def remove_upstream(self, name: str) -> None:
        self.room.remove_upstream(name)

    async def submit(self, ticket: Ticket) -> Place:
        return self.room.enter(ticket)

    def release(self, grant: Grant, tokens: float | None, *, cancelled: bool = False) -> None:
        self.room.release(grant, tokens, cancelled=cancelled)

    async def cancel(self, ticket_id: str) -> bool:
        return self.room.cancel(ticket_id)

    async def set_level(self, ticket_id: str, level: int) -> bool:
        return self.room.set_level(ticket_id, level)

    async def pause(self, pool: str) -> None:
        self.room.set_mode(pool, Mode.PAUSED)

    async def resume(self, pool: str) -> None:
        self.room.set_mode(pool, Mode.OPEN)

    async def drain(self, pool: str) -> None:
        self.room.set_mode(pool, Mode.DRAINING)

    async def position(self, ticket_id: str) -> Position | None:
        return self.room.position(ticket_id)

    async def waiting(self, wanted: Wanted = ALL, limit: int = 500) -> Sequence[Position]:
        return self.room.waiting(wanted, limit)

    async def count(self, wanted: Wanted = ALL) -> int:
        return self.room.count(wanted)

    async def running(self, wanted: Wanted = ALL, limit: int | None = None) -> Sequence[Running]:
        return self.room.running(wanted, limit)

    def stats(self) -> Sequence[PoolStats]:
        return [merge(report) for report in self.room.reports()]

    def status(self) -> QueueStatus:
        return QueueStatus("memory", "connected", "", serves=True)

    def tell_revoked(self) -> None:
        """There is no other daemon."""

    def tell(self, topic: str, body: Any, to: str | None = None) -> None:
        """There is no other daemon."""

    def listen(self, topic: str, told: Callable[[str, Any], None]) -> None:
        """There is no other daemon."""

    def crowding(self, pool: str) -> float:
        return self.room.crowding(pool)
