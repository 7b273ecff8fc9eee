"""How long a slot stands idle while a ticket waits for it: real traffic, faster, through the real queues in real time.

A request of the replay asks for its turn, sleeps for as long as its answer takes, and gives its slot back. With
RabbitMQ two daemons share the line, so that one of them asks the other one.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import secrets
import statistics
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import structlog
import uvloop

from bench.cluster import daemon
from bench.figures import Figure
from bench.replay_load import SLOTS, Load, traffic
from bench.simulation import POOL, Request
from llmgate.config import QueueSettings
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.daemon.queue.memory import MemoryQueueManager
from llmgate.daemon.queue.ticket import Ticket, UpstreamSlots
from tests.services.rabbitmq import RabbitServer

BACKENDS: Final = ("memory", "rabbitmq")
FASTER: Final = 20
"""Times as fast as the traffic really was; answers and aging too."""

STRETCHES: Final = 5
STRETCH_SECONDS: Final = 4.0
"""Of real time, each; they are spread evenly over the trace."""

DAEMONS: Final = 2
GOALS: Final = {"memory": "≤ 5 ms", "rabbitmq": "≤ 20 ms"}


class IdleWatch:
    """Knows at every moment how many slots are free and how many tickets wait, and so since when a slot stands idle
    that somebody waits for. ``gaps``: for each grant how long the slot has stood so that was owed for the longest time.
    Times are seconds."""

    def __init__(self, slots: int) -> None:
        self.gaps: list[float] = []
        self._free = slots
        self._waiting = 0
        self._owed: deque[float] = deque()

    def submitted(self, now: float) -> None:
        self._waiting += 1
        self._look(now)

    def released(self, now: float) -> None:
        self._free += 1
        self._look(now)

    def granted(self, now: float) -> None:
        """Raises IndexError where more is granted than there are slots."""
        self.gaps.append(now - self._owed.popleft())
        self._free -= 1
        self._waiting -= 1

    def _look(self, now: float) -> None:
        while len(self._owed) < min(self._free, self._waiting):
            self._owed.append(now)


def stretches() -> list[list[Request]]:
    """Disjoint parts of the replay at 75 % load, made faster; each begins at 0."""
    everything = traffic(Load.FITS, 0)
    length = everything[-1].at
    found = []
    for number in range(STRETCHES):
        begin = length * (number + 0.5) / STRETCHES
        end = begin + STRETCH_SECONDS * FASTER
        found.append([_faster(request, begin) for request in everything if begin <= request.at < end])
    return found


def _faster(request: Request, begin: float) -> Request:
    at, seconds = (request.at - begin) / FASTER, request.seconds / FASTER
    return Request(at, request.level, request.flow, seconds, request.tokens, request.cost)


async def replay(queues: Sequence[QueueManagerInterface], requests: Sequence[Request]) -> list[float]:
    """The gaps, in seconds, while these requests come to the daemons by turns."""
    watch = IdleWatch(SLOTS)

    async def ask(queue: QueueManagerInterface, request: Request) -> None:
        name = secrets.token_hex(8)
        ticket = Ticket(name, POOL, "model", request.level, request.flow, request.flow, queue.now(), cost=request.cost)
        watch.submitted(time.perf_counter())
        grant = await (await queue.submit(ticket)).granted()
        watch.granted(time.perf_counter())
        await asyncio.sleep(request.seconds)
        watch.released(time.perf_counter())
        queue.release(grant, request.tokens)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for queue, request in zip(itertools.cycle(queues), requests, strict=False):
            if (rest := began + request.at - time.perf_counter()) > 0:
                await asyncio.sleep(rest)
            group.create_task(ask(queue, request))
    return watch.gaps


@asynccontextmanager
async def _memory() -> AsyncIterator[list[QueueManagerInterface]]:
    settings = QueueSettings(aging_seconds=QueueSettings().aging_seconds / FASTER)
    queue = MemoryQueueManager(settings, emit=lambda _: None)
    queue.update_upstream(UpstreamSlots("fake", POOL, SLOTS))
    running = asyncio.create_task(queue.run())
    try:
        yield [queue]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def _rabbitmq() -> AsyncIterator[list[QueueManagerInterface]]:
    server = RabbitServer()
    await asyncio.to_thread(server.start)
    try:
        async with AsyncExitStack() as stack:
            aging = QueueSettings().aging_seconds / FASTER
            yield [
                await stack.enter_async_context(daemon(server.url(), f"daemon-{n}", SLOTS, aging_seconds=aging))
                for n in range(DAEMONS)
            ]
    finally:
        await asyncio.to_thread(server.stop)


async def _gaps(backend: str) -> list[list[float]]:
    async with _memory() if backend == "memory" else _rabbitmq() as queues:
        parts = stretches()
        await replay(queues, parts[0][: len(parts[0]) // 3])
        gc.collect()
        gc.freeze()  # as the daemon does when it is ready
        return [await replay(queues, part) for part in parts]


def slot_idle(backend: str) -> list[Figure]:
    """Milliseconds for which a slot is idle while a ticket waits, p50 and p99 of all grants of each stretch.

    ``backend`` is one of BACKENDS. Takes about 40 seconds.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    found = uvloop.run(_gaps(backend))
    percentiles = [statistics.quantiles([1000 * gap for gap in gaps], n=100) for gaps in found]
    return [
        Figure("slot idle while a ticket waits, p50", backend, "ms", [one[49] for one in percentiles]),
        Figure("slot idle while a ticket waits, p99", backend, "ms", [one[98] for one in percentiles], GOALS[backend]),
    ]
