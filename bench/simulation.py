"""The real waiting line in front of a simulated upstream, in virtual time: an hour of traffic takes seconds.

An event loop whose clock leaps to whatever is due next runs the queue manager as the daemon does, with coroutines that
ask for a turn, hold their slot for as long as the answer takes, and give it back. Nothing of the queue is imitated.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from llmgate.config import QueueSettings
from llmgate.daemon.events import Event, TicketPromoted
from llmgate.daemon.queue.memory import MemoryQueueManager
from llmgate.daemon.queue.policy import AGED_LANE
from llmgate.daemon.queue.ticket import LEVELS, PoolStats, Ticket, UpstreamSlots
from llmgate.errors import LLMGateError

POOL: Final = "bench"
MARGIN: Final = 1e-9
"""Seconds that a leap goes too far: nobody is woken a rounding error before the time is there."""

FOREVER: Final = 86_400.0
"""Seconds; the longest time that the settings allow."""


class Order(StrEnum):
    """Who goes next. All three are the real queue: FIFO is one level and one flow, strict is without aging."""

    LLMGATE = "llmgate"
    FIFO = "first come, first served"
    STRICT = "strict priority, no aging"


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks for. ``seconds``: how long its answer takes; ``tokens``: its service, input + 2 × output;
    ``cost``: what the gateway expects that to be."""

    at: float
    level: int
    flow: str
    seconds: float
    tokens: float
    cost: float


@dataclass(slots=True)
class Record:
    """How it went. ``status``: 200, or what it was refused with; ``aged_ahead``: how many were before it when it
    entered the aged lane; ``level_ahead``: how many of its level waited when it came."""

    request: Request
    status: int = 0
    granted_at: float | None = None
    ended_at: float = math.inf
    retry_after: float | None = None
    aged_ahead: int | None = None
    level_ahead: int = 0

    @property
    def wait(self) -> float:
        """Seconds from its coming to its turn, or to the answer that it will not have one."""
        return (self.ended_at if self.granted_at is None else self.granted_at) - self.request.at


@dataclass(frozen=True, slots=True)
class Run:
    """A simulation from beginning to end."""

    records: list[Record]
    stats: PoolStats
    slots: int

    def waits(self, level: int) -> list[float]:
        """Of those who had their turn."""
        return [one.wait for one in self.records if one.request.level == level and one.granted_at is not None]

    def refused(self, *statuses: int) -> int:
        return sum(one.status in statuses for one in self.records)

    def slot_use(self, until: float) -> float:
        """Share of the slots' time that was used from the beginning to ``until``."""
        busy = sum(
            max(0.0, min(one.ended_at, until) - one.granted_at) for one in self.records if one.granted_at is not None
        )
        return busy / (self.slots * until)


class _Leaping(selectors.DefaultSelector):
    """Waits for nothing: time leaps to where the loop would have woken up."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits for something that will never come")
        if timeout > 0:
            self.now += timeout + MARGIN
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes as fast as there is work for it."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now


def settings_for(order: Order, settings: QueueSettings) -> QueueSettings:
    """The settings with which the real queue serves in this order."""
    return settings.model_copy(update={"aging_seconds": FOREVER}) if order is Order.STRICT else settings


def as_seen(request: Request, order: Order) -> Request:
    """The request as the queue sees it: first come, first served is one flow at one level."""
    return replace(request, level=LEVELS[0], flow="all") if order is Order.FIFO else request


def simulate(requests: Sequence[Request], slots: int, order: Order, settings: QueueSettings) -> Run:
    """Let the requests, by time, come to an upstream with so many slots."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_Simulation(order, settings_for(order, settings)).play(requests, slots))


class _Simulation:
    """One simulation. Which ticket is in the aged lane is known from the events that the queue emits."""

    def __init__(self, order: Order, settings: QueueSettings) -> None:
        self._order = order
        self._records: dict[str, Record] = {}
        self._aged = 0
        self._waiting = dict.fromkeys(LEVELS, 0)
        self._settings = settings

    async def play(self, requests: Sequence[Request], slots: int) -> Run:
        loop = asyncio.get_running_loop()
        queue = MemoryQueueManager(self._settings, emit=self._hear, clock=loop.time, chance=lambda: 0.5)
        queue.update_upstream(UpstreamSlots("fake", POOL, slots))
        running = asyncio.create_task(queue.run())
        async with asyncio.TaskGroup() as group:
            for number, request in enumerate(requests):
                if (rest := request.at - loop.time()) > 0:
                    await asyncio.sleep(rest)
                group.create_task(self._ask(queue, f"t{number}", request))
        stats = queue.stats()[0]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return Run(list(self._records.values()), stats, slots)

    async def _ask(self, queue: MemoryQueueManager, ticket_id: str, request: Request) -> None:
        seen = as_seen(request, self._order)
        record = self._records[ticket_id] = Record(request, level_ahead=self._waiting[request.level])
        self._waiting[request.level] += 1
        ticket = Ticket(ticket_id, POOL, "model", seen.level, seen.flow, request.flow, queue.now(), cost=request.cost)
        try:
            grant = await (await queue.submit(ticket)).granted()
            record.granted_at = grant.granted_at
        except LLMGateError as error:
            record.status, record.retry_after, record.ended_at = error.status, error.retry_after, queue.now()
            return
        finally:
            self._waiting[request.level] -= 1
            self._aged -= record.aged_ahead is not None
        await asyncio.sleep(request.seconds)
        record.status, record.ended_at = 200, queue.now()
        queue.release(grant, request.tokens)

    def _hear(self, event: Event) -> None:
        if isinstance(event, TicketPromoted) and event.to == AGED_LANE:
            self._records[event.ticket_id].aged_ahead = self._aged
            self._aged += 1
