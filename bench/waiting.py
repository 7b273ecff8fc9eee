"""What clients cost while they wait for a slot, and what it costs the others when most of them leave."""

from __future__ import annotations

import asyncio
import gc
import itertools
import math
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvloop

from bench import processes
from bench.crowd import Crowd, Visit, allow_descriptors, desk
from bench.figures import Figure, Part
from bench.health import EVERY, asked
from tests.services.rabbitmq import RabbitServer

SOME: Final = 1_000
MANY: Final = 10_000
LEAVING: Final = 9_000
RUNS: Final = 5
RUNS_OF_MANY: Final = 3
RUNS_RABBITMQ: Final = 3
RUN_SECONDS: Final = 180.0
"""After which something must be wrong."""

TOGETHER_SECONDS: Final = 0.1
"""Those who come within such a time have come together, in no order. One of them may look for its key in the database,
which is read anew every few seconds, while others pass."""

SETTLE_SECONDS: Final = 2.0
"""With RabbitMQ, from when all of them wait: until their tickets have gone through the broker to who dispatches."""

WARM_UP: Final = 200
WARM_UP_CLIENTS: Final = 8
HEALTH_SECONDS: Final = 10.0
AFTERWARDS_SECONDS: Final = 1.0
"""For which health is asked on when they have left."""

PATHS: Final = ("/health/ready", "/health/live")
MEMORY: Final = "llmgate"
RABBITMQ: Final = "llmgate, RabbitMQ"


@dataclass(slots=True)
class Found:
    """One run. Memory in bytes, times in seconds; health by path and by what went on, in milliseconds."""

    memory_each: float = 0.0
    most_memory: float = 0.0
    coming: float = 0.0
    grant_to_one: float = 0.0
    """From the release of the slot, when there is one client to get it."""

    grant_to_first: float = 0.0
    """The same, when there are as many as there will be."""

    leaving: float = 0.0
    out_of_order: int = 0
    health: dict[tuple[str, str], float] = field(default_factory=dict)


def out_of_order(served: Sequence[int], expected: Sequence[int], came: Mapping[int, float]) -> int:
    """How many were served after somebody who came later. Raises RuntimeError when it was not each of them once."""
    if sorted(served) != sorted(expected):
        raise RuntimeError(f"of {len(expected)} who waited, {len(set(served) & set(expected))} were served")
    latest = itertools.accumulate((came[number] for number in served), max)
    return sum(came[number] + TOGETHER_SECONDS < last for number, last in zip(served, latest, strict=True))


def p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def peak_bytes(pid: int) -> int:
    """The most resident memory that a process has ever had."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


class Run:
    """A daemon with one slot, and who comes to it."""

    def __init__(self, gateway: processes.Gateway, visits: asyncio.Queue[Visit], settle: float) -> None:
        self.gateway = gateway
        self.settle = settle
        self.crowd = Crowd(gateway.url, gateway.key)
        self.visits = visits
        self.found = Found()

    async def warm_up(self) -> None:
        """So that caches and pools are not counted."""
        for begin in range(0, WARM_UP, WARM_UP_CLIENTS):
            numbers = range(begin, begin + WARM_UP_CLIENTS)
            await self.crowd.come(numbers)
            await self.serve(WARM_UP_CLIENTS)
            self.crowd.leave(numbers)
        await self.until_waiting(0)

    async def serve(self, count: int) -> list[int]:
        """Answer so many at once when they get to the upstream; who they were, in this order."""
        served = []
        for _ in range(count):
            visit = await self.visits.get()
            visit.answer()
            served.append(visit.number)
        return served

    async def until_waiting(self, count: int, pause: float = 0.05) -> None:
        """Until the statistics say that exactly so many wait."""
        while await asyncio.to_thread(self.gateway.waiting) != count:
            await asyncio.sleep(pause)

    async def fill(self, count: int) -> Visit:
        """Number 0 gets the slot, so many others wait behind it. Returns the visit of number 0."""
        await self.crowd.come([0])
        holder = await self.visits.get()
        before = processes.memory_bytes(self.gateway.pid)
        began = time.monotonic()
        await self.crowd.come(range(1, count + 1))
        await self.until_waiting(count, 0.2 if count > 1 else 0.01)
        self.found.coming = time.monotonic() - began
        self.found.memory_each = (processes.memory_bytes(self.gateway.pid) - before) / count
        return holder

    async def hand_over(self, holder: Visit) -> tuple[Visit, float]:
        """Let the holder have its answer. Returns who is there next, and how long that takes."""
        released = holder.answer()
        visit = await self.visits.get()
        return visit, visit.at - released

    async def hand_over_to_one(self) -> None:
        """With nobody else in line."""
        visit, self.found.grant_to_one = await self.hand_over(await self.fill(1))
        visit.answer()
        self.crowd.disband()

    async def leave(self, count: int, stay: Sequence[int]) -> None:
        """All but these hang up at once."""
        staying = set(stay)
        began = time.monotonic()
        self.crowd.leave(number for number in range(2, count + 2) if number not in staying)
        await self.until_waiting(len(stay), 0.01)
        self.found.leaving = time.monotonic() - began

    def check(self, served: Sequence[int], expected: Sequence[int]) -> None:
        """Those who were served are these, and in the order in which they came."""
        self.found.out_of_order = out_of_order(served, expected, self.crowd.came)


async def few(run: Run, count: int) -> None:
    """Fill the line, and see how long the first one takes; then everybody is served."""
    holder = await run.fill(count)
    await asyncio.sleep(run.settle)
    first, run.found.grant_to_first = await run.hand_over(holder)
    first.answer()
    run.check([first.number, *await run.serve(count - 1)], range(1, count + 1))


async def many(run: Run, count: int) -> None:
    """The same with health asked all the time; then most of them leave."""
    marks = [time.monotonic()]
    async with asked(run.gateway.url, *PATHS) as answers:
        holder, run.found.grant_to_first = await run.hand_over(await run.fill(count))
        await run.crowd.come([count + 1])  # for the one who was served
        await run.until_waiting(count)
        marks.append(time.monotonic())
        await asyncio.sleep(HEALTH_SECONDS)
        marks.append(time.monotonic())
        every = count // (count - LEAVING)
        stay = range(1 + every, count + 2, every)
        await run.leave(count, stay)
        await asyncio.sleep(AFTERWARDS_SECONDS)
    run.found.most_memory = peak_bytes(run.gateway.pid)
    holder.answer()
    run.check(await run.serve(len(stay)), stay)
    began, full, left = marks
    for path in PATHS:
        run.found.health[path, "come"] = p99(answers.between(path, began, full))
        run.found.health[path, "wait"] = p99(answers.between(path, full, left))
        run.found.health[path, "leave"] = max(answers.between(path, left, math.inf))


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


@asynccontextmanager
async def daemon(folder: Path, queue: str) -> AsyncIterator[Run]:
    """A new daemon with one slot, warmed up."""
    async with AsyncExitStack() as stack:
        url, visits = await stack.enter_async_context(desk())
        starting = processes.llmgate(made(folder), url, slots=1, queue=queue)
        gateway = await asyncio.to_thread(starting.__enter__)
        stack.push_async_callback(asyncio.to_thread, starting.__exit__, None, None, None)
        run = Run(gateway, visits, SETTLE_SECONDS if queue else 0)
        await run.warm_up()
        try:
            yield run
        finally:
            run.crowd.disband()


async def one_run(folder: Path, count: int, queue: str = "") -> Found:
    """With a new daemon."""
    gc.collect()
    async with asyncio.timeout(RUN_SECONDS), daemon(folder, queue) as run:
        await run.hand_over_to_one()
        await (many if count == MANY else few)(run, count)
    return run.found


async def with_rabbitmq(folder: Path) -> list[Found]:
    """Each daemon is alone in a virtual host of its own."""
    server = RabbitServer()
    await asyncio.to_thread(server.start)
    try:
        found = []
        for number in range(RUNS_RABBITMQ):
            name = f"waiting{number}"
            await asyncio.to_thread(server.add_vhost, name)
            queue = f'backend = "rabbitmq"\nurl = "{server.url(name)}"'
            found.append(await one_run(folder / name, SOME, queue))
        return found
    finally:
        await asyncio.to_thread(server.stop)


def memory(found: Sequence[Found], count: int, product: str) -> Figure:
    return Figure(f"memory per client, {count:,} wait", product, "kB", [one.memory_each / 1000 for one in found])


def grants(found: Sequence[Found], count: int, product: str) -> Figure:
    times = [1000 * (one.grant_to_one if count == 1 else one.grant_to_first) for one in found]
    waiting = "1 waits" if count == 1 else f"{count:,} wait"
    return Figure(f"slot given back → the next one is at the upstream, {waiting}", product, "ms", times)


def figures_of_some(found: Sequence[Found], product: str) -> list[Figure]:
    order = Figure(f"served out of order, {SOME:,} wait", product, "", [float(one.out_of_order) for one in found], "0")
    return [memory(found, SOME, product), grants(found, 1, product), grants(found, SOME, product), order]


def figures_of_many(found: Sequence[Found], product: str) -> list[Figure]:
    """What is looked at with the largest crowd alone."""
    figures = [Figure(f"{MANY:,} come: all of them wait after", product, "s", [one.coming for one in found])]
    during = {
        "come": (f"while {MANY:,} come, p99", ""),
        "wait": (f"while {MANY:,} wait, p99", "≤ 50 ms"),
        "leave": (f"while {LEAVING:,} leave, the longest", ""),
    }
    for path in PATHS:
        for phase, (when, goal) in during.items():
            figures.append(Figure(f"{path} {when}", product, "ms", [one.health[path, phase] for one in found], goal))
    most = [one.most_memory / 1e6 for one in found]
    leave = f"{LEAVING:,} of {MANY:,} leave"
    stay = f"served out of order of the {MANY - LEAVING:,} that stay"
    return [
        memory(found, MANY, product),
        Figure(f"memory of the daemon at most, {MANY:,} wait", product, "MB", most, "≤ 400 MB"),
        grants(found, MANY, product),
        *figures,
        Figure(f"{leave}: gone after", product, "s", [one.leaving for one in found], "≤ 2 s"),
        Figure(f"{leave}: {stay}", product, "", [float(one.out_of_order) for one in found], "0"),
    ]


def text(limit: int) -> str:
    return f"""One slot, and clients that wait for it, each with a connection of its own and a body of 2 kB. The daemon
has everything on (API key, accounting in SQLite) and is started anew for every run: {RUNS} runs with {SOME:,} clients;
{RUNS_OF_MANY} with {MANY:,}, which are long; {RUNS_RABBITMQ} with RabbitMQ, of one daemon and a broker. The daemon and
the process of the clients may each open {limit:,} files.

*Memory per client* is the growth of the daemon's resident memory, after a warm-up of {WARM_UP} answers, divided by the
clients. *Slot given back → the next one is at the upstream*: from when the upstream writes the end of an answer to the
arrival there of the request that has waited longest. That is the end of the one, the grant and the start of the other,
by way of sockets; the row with one client shows how much of it is due to how many wait. With RabbitMQ it is looked at
{SETTLE_SECONDS:.0f} s after all of them have come. *Health* is asked every {1000 * EVERY:.0f} ms on each of the two
paths, by a process of its own, and counted from when the question was due; for {HEALTH_SECONDS:.0f} s while all of them
wait. *Leave*: {LEAVING:,} connections are closed at once; from the first of these closes until the daemon's own
statistics count nobody but those that stay. Then all who stay are served: the order in which they come to the upstream
is compared with that in which they came to the daemon, where those who came within {TOGETHER_SECONDS} s of each other
count as having come together.
"""


async def _measure(folder: Path) -> Part:
    limit = allow_descriptors(MANY + WARM_UP)
    some = [await one_run(folder / f"some-{number}", SOME) for number in range(RUNS)]
    many_of_them = [await one_run(folder / f"many-{number}", MANY) for number in range(RUNS_OF_MANY)]
    figures = figures_of_some(some, MEMORY) + figures_of_many(many_of_them, MEMORY)
    figures += figures_of_some(await with_rabbitmq(folder), RABBITMQ)
    each = statistics.median(one.memory_each for one in many_of_them)
    return Part("waiting", "Waiting", text(limit), figures, found={"bytes_each": each})


def measure(folder: Path) -> Part:
    """``folder`` is for what the daemons write."""
    return uvloop.run(_measure(folder))
