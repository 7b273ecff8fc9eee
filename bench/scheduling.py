"""How long a grant takes, and how many there are in a second: the queues of both backends without the rest.

``python -m bench.scheduling take-turns URL`` is a daemon's queue that takes part in the line at this broker; without a
URL its line is in its own memory. It does each ``Task`` that it reads, as a line of JSON, and prints what it ``Took``.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import structlog
import uvloop

from bench.cluster import daemon, ticket
from bench.figures import Figure, Part
from bench.processes import cpu_seconds
from llmgate.config import QueueSettings
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.daemon.queue.memory import MemoryQueueManager
from llmgate.daemon.queue.ticket import UpstreamSlots
from tests.services.rabbitmq import RabbitServer

RUNS: Final = 5
CLIENTS: Final = 64
"""Of each daemon, while it is under load."""

SLOTS: Final = 2 * CLIENTS
"""For everybody: what is measured is how long the queue takes, not how long a slot is used."""

SECONDS: Final = 2.5
PAUSE: Final = 0.003
"""Between two turns of a client that is alone: nobody else is under way."""

LIMIT: Final = 64 * 1024 * 1024
"""Of a line in which all of the latencies are told."""


@dataclass(frozen=True, slots=True)
class Task:
    """So many clients take a turn and give it back, again and again: each so often, or until the time is over."""

    clients: int
    rounds: int
    seconds: float = 60.0
    pause: float = 0.0


IDLE: Final = Task(1, 500, pause=PAUSE)
LOADED: Final = Task(CLIENTS, 1_000_000, SECONDS)
WARM_UP: Final = Task(8, 100)
LINE: Final = 10_000
"""Tickets that come at once, to both daemons together."""


@dataclass(frozen=True, slots=True)
class Took:
    """Milliseconds from submit to grant, of each turn, and the seconds that all of them took together."""

    latencies: list[float]
    seconds: float


@asynccontextmanager
async def in_memory() -> AsyncIterator[QueueManagerInterface]:
    """The queue of a daemon that is alone."""
    queue = MemoryQueueManager(
        QueueSettings(max_waiting=2 * LINE, max_waiting_per_principal=2 * LINE), emit=lambda _: None
    )
    await queue.start()
    queue.update_upstream(UpstreamSlots("fake", "bench", SLOTS))
    running = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await queue.close()


async def take_turns(queue: QueueManagerInterface, task: Task) -> Took:
    latencies: list[float] = []
    began = time.perf_counter()

    async def client(number: int) -> None:
        for turn in range(task.rounds):
            asked = time.perf_counter()
            if asked - began > task.seconds:
                return
            place = await queue.submit(ticket(queue, number + turn))
            grant = await place.granted(30)
            latencies.append(1000 * (time.perf_counter() - asked))
            queue.release(grant, 100.0)
            await asyncio.sleep(task.pause)

    await asyncio.gather(*(client(number) for number in range(task.clients)))
    return Took(latencies, time.perf_counter() - began)


async def serve(url: str | None) -> None:
    """Do the tasks that come as lines."""
    async with daemon(url, "bench", SLOTS) if url else in_memory() as queue:
        gc.collect()
        gc.freeze()  # as the daemon does when it is ready
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(asdict(await take_turns(queue, Task(**json.loads(line))))), flush=True)


# -- the side that measures ------------------------------------------------------------------


async def told(process: Process) -> bytes:
    """The next line of it. Raises RuntimeError when there is none."""
    assert process.stdout is not None
    if not (line := await process.stdout.readline()):
        raise RuntimeError(f"a daemon of the measurement ended with {await process.wait()}")
    return line


@asynccontextmanager
async def daemons(count: int, *url: str) -> AsyncIterator[list[Process]]:
    """So many processes that take part in one line; the first one dispatches."""
    command = [sys.executable, "-m", "bench.scheduling", "take-turns", *url]
    started: list[Process] = []
    try:
        for _ in range(count):
            started.append(await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=LIMIT))
            await told(started[-1])
        yield started
    finally:
        for process in started:
            await process.communicate(b"")  # closes its input


async def do(processes: Sequence[Process], task: Task) -> list[Took]:
    """All of these at the same time."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(task)).encode() + b"\n")
    return [Took(**json.loads(await told(process))) for process in processes]


@dataclass(frozen=True, slots=True)
class Product:
    """Under which name a backend is reported, in which part of a millisecond, and what it should reach."""

    name: str
    unit: str
    factor: float
    goals: tuple[str, str, str]


MEMORY: Final = Product("llmgate", "µs", 1000, ("", "", ""))
RABBITMQ: Final = Product("llmgate, RabbitMQ", "ms", 1, ("≤ 3 ms", "≤ 10 ms", "≥ 500 /s"))


async def costed(processes: Sequence[Process], task: Task) -> tuple[list[Took], float]:
    """The same, and the microseconds of CPU that these processes used for each grant."""
    pids = [process.pid for process in processes]
    before = cpu_seconds(pids)
    took = await do(processes, task)
    used = cpu_seconds(pids) - before
    return took, 1e6 * used / sum(len(one.latencies) for one in took)


async def runs(asked: Sequence[Process], everybody: Sequence[Process], product: Product) -> list[Figure]:
    """``asked`` are those that ask one after the other while nothing else goes on."""
    await do(everybody, WARM_UP)
    idle = [await do(asked, IDLE) for _ in range(RUNS)]
    loaded, costs = zip(*[await costed(everybody, LOADED) for _ in range(RUNS)], strict=True)
    line = [await do(everybody, Task(LINE // len(everybody), 1)) for _ in range(RUNS)]

    def latencies(when: str, took: Sequence[Sequence[Took]], goals: Sequence[str]) -> list[Figure]:
        cuts = [[product.factor * value for value in percentiles(one)] for one in took]
        return [
            Figure(f"submit → grant, {when}, p50", product.name, product.unit, [one[49] for one in cuts], goals[0]),
            Figure(f"submit → grant, {when}, p99", product.name, product.unit, [one[98] for one in cuts], goals[1]),
        ]

    *of_idle, of_load = product.goals
    return [
        *latencies("idle", idle, of_idle),
        *latencies("under load", loaded, ("", "")),
        Figure("CPU per grant, under load", product.name, "µs", list(costs)),
        Figure("grants under load", product.name, "/s", [rate(one) for one in loaded], of_load),
        Figure(f"grants out of a line of {LINE:,}", product.name, "/s", [rate(one) for one in line]),
    ]


def rate(took: Sequence[Took]) -> float:
    """Grants per second, of all daemons."""
    return sum(len(one.latencies) for one in took) / max(one.seconds for one in took)


def percentiles(took: Sequence[Took]) -> list[float]:
    return statistics.quantiles([latency for one in took for latency in one.latencies], n=100, method="inclusive")


async def memory() -> list[Figure]:
    async with daemons(1) as processes:
        return await runs(processes, processes, MEMORY)


async def rabbitmq() -> list[Figure]:
    """Two daemons; while it is idle, the one asks that does not dispatch."""
    async with AsyncExitStack() as stack:
        server = RabbitServer()
        await asyncio.to_thread(server.start)
        stack.push_async_callback(asyncio.to_thread, server.stop)
        both = await stack.enter_async_context(daemons(2, server.url()))
        return await runs(both[1:], both, RABBITMQ)


def text() -> str:
    return f"""The queues themselves, without the rest of a gateway. *llmgate*: a queue in the memory of one process.
*llmgate, RabbitMQ*: a private broker and two processes that share one line, all on this machine; the first one
dispatches. There are {SLOTS} slots, as many as there are clients with RabbitMQ: what is measured is the queue, not how
long somebody uses a slot.

*Idle*: {IDLE.rounds:,} turns in each run, one after the other and {1000 * PAUSE:.0f} ms apart; from the submission of a
ticket to the grant in the hands of who asked. With RabbitMQ one daemon asks and the other one decides. *Under load*:
{CLIENTS} clients in each process for {SECONDS} s; each asks again as soon as it has given its turn back. *CPU per
grant*: of these processes, with their clients, without the broker. *Out of a line*: {LINE:,} tickets come at once and
are granted as fast as slots are given back. For how long a slot stands idle while somebody waits for it, see the replay
of real traffic.
"""


async def _measure() -> list[Figure]:
    return [*await memory(), *await rabbitmq()]


def measure(folder: Path) -> Part:
    """``folder`` is not needed."""
    return Part("scheduling", "Scheduling", text(), uvloop.run(_measure()))


def main() -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(30),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),  # what goes to stdout is an answer
    )
    uvloop.run(serve(sys.argv[2] if sys.argv[2:] else None))


if __name__ == "__main__":
    main()
