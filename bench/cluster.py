"""`make bench-cluster`: what it costs that several daemons share one line. Writes docs/benchmarks-cluster.md.

A private RabbitMQ broker and a daemon's queue manager, all on this machine; nothing else of the gateway runs, so that
the figures are the queue's. What a grant costs is measured by ``bench.scheduling``.
"""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import secrets
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
import uvloop

from bench.document import ROOT
from llmgate.config import QueueSettings
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.daemon.queue.place import RoomPlace
from llmgate.daemon.queue.rabbitmq.ledger import Ledger
from llmgate.daemon.queue.rabbitmq.manager import RabbitMQManager
from llmgate.daemon.queue.rabbitmq.wire import TicketMessage
from llmgate.daemon.queue.ticket import Ticket, UpstreamSlots
from tests.services.rabbitmq import RabbitServer

DOCUMENT = ROOT / "docs" / "benchmarks-cluster.md"
TICKETS = 10_000
LEAVERS = 9_000
AGING_SECONDS = 10.0
HOPS = 4
SUBMIT_RATE = 2_000
"""Tickets per second that come into the line whose aging is measured."""


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    value: float
    unit: str
    goal: str

    def row(self) -> str:
        return f"| {self.name} | **{self.value:,.{1 if self.value < 100 else 0}f} {self.unit}** | {self.goal} |"


@asynccontextmanager
async def daemon(url: str, name: str, slots: int, **changes: object) -> AsyncIterator[RabbitMQManager]:
    """A queue manager that takes part in the cluster at this address."""
    settings = QueueSettings.model_validate(
        {
            "backend": "rabbitmq", "url": url, "aging_seconds": 3600, "deadline_seconds": 36_000,
            "max_waiting": 100_000, "max_waiting_per_principal": 100_000, **changes,
        }
    )  # fmt: skip
    manager = RabbitMQManager(
        settings, boot=secrets.token_hex(6), name=name, shape={}, pools=["bench"], emit=lambda _: None
    )
    manager.update_upstream(UpstreamSlots("fake", "bench", slots))
    await manager.start()
    running = asyncio.create_task(manager.run())
    try:
        while not manager.stats() or not manager.stats()[0].dispatcher:
            await asyncio.sleep(0.05)
        yield manager
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await manager.close()


def ticket(manager: QueueManagerInterface, number: int, level: int = 2) -> Ticket:
    flow = f"principal-{number % 50}"
    return Ticket(secrets.token_hex(8), "bench", "model", level, flow, flow, manager.now(), cost=100.0)


# -- ten thousand that wait ------------------------------------------------------------------


class Arrivals:
    """When tickets arrived in which line, as the dispatcher sees it."""

    def __init__(self, ledger: Ledger) -> None:
        self.lateness: list[float] = []
        self.seen: dict[str, int] = {}
        self._arrive = ledger.arrive
        ledger.arrive = self._note  # type: ignore[method-assign]

    def _note(self, message: TicketMessage, tag: int, line: int, now: float) -> None:
        hop = message.level - (1 if line == 0 else line)
        if hop > self.seen.get(message.ticket.id, 0):
            self.seen[message.ticket.id] = hop
            self.lateness.append(now - message.ticket.submitted_at - hop * AGING_SECONDS)
        self._arrive(message, tag, line, now)


async def fill(manager: RabbitMQManager, level: int) -> list[RoomPlace]:
    """TICKETS that wait behind one that holds the only slot."""
    first = await manager.submit(ticket(manager, 0, 1))
    await first.granted(30)
    places = []
    began = time.monotonic()
    for number in range(TICKETS):
        place = await manager.submit(ticket(manager, number, level))
        assert isinstance(place, RoomPlace)
        places.append(place)
        if number / SUBMIT_RATE > time.monotonic() - began:
            await asyncio.sleep(0.001)
        elif number % 20 == 0:
            await asyncio.sleep(0)
    return places


def held(manager: RabbitMQManager) -> int:
    ledger = manager.dispatchers["bench"].ledger
    return ledger.held if ledger is not None else 0


async def aging(url: str) -> list[Figure]:
    async with daemon(url, "alone", slots=1, aging_seconds=AGING_SECONDS, window=20_000) as manager:
        gc.collect()
        gc.freeze()  # as the daemon does when it is ready
        ledger = manager.dispatchers["bench"].ledger
        assert ledger is not None
        arrivals = Arrivals(ledger)
        await fill(manager, 5)
        deadline = time.monotonic() + 3 * HOPS * AGING_SECONDS
        while len(arrivals.lateness) < TICKETS * HOPS and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        lost = TICKETS - sum(hop == HOPS for hop in arrivals.seen.values())
        late = statistics.quantiles(arrivals.lateness, n=100)
        return [
            Figure(f"{TICKETS:,} tickets age through {HOPS} hops: lateness, p50", 1000 * late[49], "ms", ""),
            Figure(f"{TICKETS:,} tickets age through {HOPS} hops: lateness, p99", 1000 * late[98], "ms", "≤ 250 ms"),
            Figure(f"{TICKETS:,} tickets age through {HOPS} hops: lost", lost, "", "0"),
        ]


async def leaving(url: str) -> list[Figure]:
    async with daemon(url, "alone", slots=1) as manager:
        places = await fill(manager, 3)
        while manager.dispatchers["bench"].ledger is not None and held(manager) < manager_window(manager):
            await asyncio.sleep(0.05)
        began = time.perf_counter()
        for place in places[:LEAVERS]:
            place.leave()
        while len(await manager.waiting(limit=TICKETS)) > TICKETS - LEAVERS or held(manager) > TICKETS - LEAVERS:
            await asyncio.sleep(0.02)
        gone = time.perf_counter() - began
        return [Figure(f"{LEAVERS:,} of {TICKETS:,} waiting leave: gone after", gone, "s", "≤ 2 s")]


def manager_window(manager: RabbitMQManager) -> int:
    return min(QueueSettings().window, TICKETS)


# -- all of it -------------------------------------------------------------------------------


async def measure() -> list[Figure]:
    figures: list[Figure] = []
    for part in (aging, leaving):
        server = RabbitServer()
        await asyncio.to_thread(server.start)
        try:
            found = await part(server.url())
        finally:
            await asyncio.to_thread(server.stop)
        for figure in found:
            print(figure.row(), flush=True)
        figures += found
    return figures


def document(figures: Sequence[Figure]) -> str:
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    rows = "\n".join(figure.row() for figure in figures)
    return f"""# Benchmarks of the cluster

Written by `make bench-cluster` on {datetime.now(UTC):%Y-%m-%d}; do not edit.

Machine: {machine}; everything on it: a RabbitMQ broker of its own for each part, with classic queues, and
a daemon's queue manager. How long a grant takes and how many there are in a second: benchmarks.md, "Scheduling".

| what | measured | goal |
|---|---|---|
{rows}

*Lateness*: from the moment
at which a ticket should have moved up (submission + hops × {AGING_SECONDS:.0f} s) to its arrival in the next line, at
the dispatcher, which holds all of them; they come in at {SUBMIT_RATE:,} per second. *Leave*: until neither the
statistics nor the dispatcher know of them.
"""


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    text = document(uvloop.run(measure()))
    DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
