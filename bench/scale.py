"""What more workers of one daemon give: one line in RabbitMQ, accounts in PostgreSQL, everything on this machine."""

from __future__ import annotations

import json
import os
import resource
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import processes
from bench.figures import Figure, Part
from bench.job import Job
from bench.products.base import descendants
from bench.scale_upstream import MOST
from tests.services.postgres import PostgresServer
from tests.services.rabbitmq import RabbitServer

WORKERS: Final = (1, 2, 4)
RUNS: Final = 5
CONNECTIONS: Final = 64
REQUESTS: Final = 1_500
WARM_UP: Final = 500
FAST: Final = "burst-20"
SLOW: Final = "think-20-20"
SLOW_SLOTS: Final = 8
SLOW_REQUESTS: Final = 1_000
JOIN_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Services:
    """The broker and the database server, and the upstreams: one that answers at once, one that takes a while."""

    broker: RabbitServer
    database: PostgresServer
    fast: str
    slow: str

    def broker_pids(self) -> list[int]:
        return [pid for pid in descendants(os.getpid()) if name_of(pid) == "beam.smp"]

    def database_pids(self) -> list[int]:
        file = self.database.directory / "data" / "postmaster.pid"
        return descendants(int(file.read_text(encoding="ascii").split()[0]))


@dataclass(frozen=True, slots=True)
class Found:
    """One run: answers per second, and microseconds of CPU per answer."""

    rate: float
    llmgate: float
    broker: float
    database: float
    rest: float
    """The client and the upstream."""

    @property
    def everything(self) -> float:
        return self.llmgate + self.broker + self.database + self.rest


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()


def asked(gateway: processes.Gateway, path: str) -> dict[str, object]:
    question = urllib.request.Request(f"{gateway.url}/admin/v1{path}", headers=gateway.admin)
    with urllib.request.urlopen(question, timeout=10) as answer:
        document: dict[str, object] = json.load(answer)
        return document


def wait_for_all(gateway: processes.Gateway, workers: int) -> None:
    """Until every worker takes part in the line."""
    deadline = time.monotonic() + JOIN_SECONDS
    while True:
        daemons = asked(gateway, "/queue/status")["daemons"]
        assert isinstance(daemons, list)
        if [one["state"] for one in daemons] == workers * ["connected"]:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"of {workers} workers take part: {daemons}")
        time.sleep(0.1)


def one_run(services: Services, gateway: processes.Gateway) -> Found:
    """Each of the connections asks again as soon as it has its answer."""

    def costs() -> list[float]:
        ours, broker = descendants(gateway.pid), services.broker_pids()
        rest = [pid for pid in descendants(os.getpid()) if pid not in {*ours, *broker}]
        spent = [processes.cpu_seconds(pids) for pids in (ours, broker, services.database_pids(), rest)]
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)  # clients
        return [*spent[:-1], spent[-1] + ended.ru_utime + ended.ru_stime]

    before = costs()
    found = processes.run_client(Job(gateway.url, gateway.key, FAST, CONNECTIONS, REQUESTS))
    after = costs()
    if found.answers != REQUESTS:
        raise RuntimeError(f"{found.failures} of {REQUESTS} requests failed: {found.reasons}")
    used = [1e6 * (end - begin) / REQUESTS for begin, end in zip(before, after, strict=True)]
    return Found(REQUESTS / found.windows[0].seconds, *used)


def most(services: Services, gateway: processes.Gateway) -> float:
    """How many requests the slow upstream has worked on at once, with more of them waiting than it has slots."""
    processes.load(gateway.url, gateway.key, SLOW, CONNECTIONS, SLOW_REQUESTS)
    with urllib.request.urlopen(f"{services.slow}{MOST.decode()}", timeout=10) as answer:
        return float(answer.read())


def with_workers(folder: Path, services: Services, workers: int) -> tuple[list[Found], float]:
    """A new daemon with a line and a database of its own: the runs, and the most that the slow upstream worked on."""
    name = f"workers{workers}"
    services.broker.add_vhost(name)
    services.database.execute(f"CREATE DATABASE {name}")
    more = f"""
        [[upstreams]]
        name = "slow"
        kind = "ollama"
        url = "{services.slow}"
        slots = {SLOW_SLOTS}
        [database]
        url = "{services.database.url(name)}"
        """
    queue = f'backend = "rabbitmq"\nurl = "{services.broker.url(name)}"'
    with processes.llmgate(made(folder / name), services.fast, CONNECTIONS, more, queue, workers) as gateway:
        wait_for_all(gateway, workers)
        processes.load(gateway.url, gateway.key, FAST, CONNECTIONS, WARM_UP)
        return [one_run(services, gateway) for _ in range(RUNS)], most(services, gateway)


@contextmanager
def services(folder: Path) -> Iterator[Services]:
    """All that a daemon of several workers needs."""
    broker, database = RabbitServer(), PostgresServer()
    with (
        processes.upstream(made(folder / "fast"), FAST) as fast,
        processes.upstream(made(folder / "slow"), SLOW, module="bench.scale_upstream") as slow,
    ):
        database.start()
        try:
            broker.start()
            yield Services(broker, database, fast, slow)
        finally:
            broker.stop()
            database.stop()


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def figures_of(runs: Sequence[Found], at_once: float, product: str) -> list[Figure]:
    answers = f"answers of 20 chunks, {CONNECTIONS} connections"
    return [
        Figure(answers, product, "/s", [one.rate for one in runs]),
        Figure("CPU per answer, parent and workers", product, "µs", [one.llmgate for one in runs]),
        Figure("CPU per answer, RabbitMQ", product, "µs", [one.broker for one in runs]),
        Figure("CPU per answer, PostgreSQL", product, "µs", [one.database for one in runs]),
        Figure(
            f"most at once on {SLOW_SLOTS} slots, as the upstream counts", product, "", [at_once], f"≤ {SLOW_SLOTS}"
        ),
    ]


def text(found: Mapping[int, Sequence[Found]]) -> str:
    def middle(workers: int, value: Callable[[Found], float]) -> float:
        return statistics.median(map(value, found[workers]))

    cores = os.cpu_count() or 1
    one = middle(1, lambda run: run.rate)
    times = ", ".join(f"{workers} workers {middle(workers, lambda run: run.rate) / one:.2f}" for workers in WORKERS[1:])
    costs = ", ".join(f"{middle(workers, lambda run: run.everything):,.0f} µs with {workers}" for workers in WORKERS)
    most = 1e6 * cores / min(middle(workers, lambda run: run.everything) for workers in WORKERS)
    return f"""`llmgate serve --workers N`, with one line in RabbitMQ, accounts in PostgreSQL and everything else on.
The broker, the database server, the upstream and the client run on this machine as well. {CONNECTIONS} connections ask
for answers of 20 chunks, {REQUESTS:,} in each run, as fast as they are answered; there is a slot for each of them. Then
*most at once*: as many ask for {SLOW_REQUESTS:,} answers of an upstream with {SLOW_SLOTS} slots that needs 20 ms for
each of them and counts how many requests it has at any moment.

Answers per second, in multiples of what one worker gives: {times}. On {cores} cores, more workers cannot give more than
about {cores} times as much, and no core is a worker's alone here. All processes together, with the broker, the database
server, the client and the upstream (these two take {middle(1, lambda run: run.rest):,.0f} µs), need {costs} for an
answer. By that, {cores} cores end at {most:,.0f} answers per second, however many workers there are.
"""


def measure(folder: Path) -> Part:
    """``folder`` is for what the processes write."""
    found: dict[int, list[Found]] = {}
    figures = []
    with services(folder) as running:
        for workers in WORKERS:
            found[workers], at_once = with_workers(folder, running, workers)
            product = f"llmgate, {workers} worker{'s' if workers > 1 else ''}"
            figures += figures_of(found[workers], at_once, product)
    return Part("scale", "Several workers", text(found), figures)
