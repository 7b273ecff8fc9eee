"""A whole run: servers, daemons, clients, people, nemesis; journals; the verdict."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from llmgate.daemon.store.database import sqlite_url
from tests.cluster.harness import Cluster, cluster
from tests.services.postgres import PostgresServer
from tests.services.proxy import FaultProxy
from tests.services.rabbitmq import RabbitServer
from tests.trust import rest
from tests.trust.answers import ANSWER_CANARY, PROMPT_CANARY
from tests.trust.canaries import Canaries, Wire
from tests.trust.checker import Verdict, check
from tests.trust.clients import Load
from tests.trust.journal import Fault, History, Journal, Row
from tests.trust.nemesis import HEAL_SECONDS, Nemesis
from tests.trust.people import People
from tests.trust.schedule import ROUND, Round, Strike, schedule
from tests.trust.upstream import WitnessOllama

DATABASE = "gateway"
UPSTREAM_KEY = "upstreamKeyCanaryK9vB3xT6"
STOP_SECONDS = 240.0
"""Longest time in which everything that was begun must end."""
WRITTEN_SECONDS = 30.0
"""Longest time until the gateway has written down what has ended."""
KEPT_WAL = "wal_keep_size=4GB"
"""The whole write-ahead log of a run is searched."""


@dataclass(frozen=True, slots=True)
class Options:
    """``rounds`` of faults with ``counts`` in each, or else just ``strikes``; each round is followed by ``quiet``
    seconds, and none begins later than ``seconds`` after the first. ``alone``: one daemon with SQLite and the queue in
    memory. ``idle``: do not wait at the end until idle connections are closed (half a minute)."""

    seed: int
    folder: Path
    rounds: int = 1
    counts: Mapping[str, int] = field(default_factory=lambda: ROUND)
    strikes: Sequence[Strike] = ()
    quiet: float = 8.0
    seconds: float = float("inf")
    clients: int = 40
    slots: int = 6
    daemons: int = 3
    alone: bool = False
    cables: bool = True
    idle: bool = False
    say: Callable[[str], None] = lambda text: None


@dataclass(slots=True)
class World:
    """Everything that takes part."""

    options: Options
    journal: Journal
    running: Cluster
    upstreams: Sequence[WitnessOllama]
    proxies: Sequence[FaultProxy]
    broker: RabbitServer | None
    postgres: PostgresServer | None
    canaries: Canaries | None = None
    wires: list[Wire] = field(default_factory=list)


async def run(options: Options) -> tuple[Verdict, History]:
    """Carry it out; the journals are in ``options.folder``, too."""
    with Journal(options.folder) as journal:
        journal.note("seed", options.seed)
        journal.note("slots", options.slots)
        async with _world(options, journal) as world:
            await _live_through(world)
        return check(journal.history), journal.history


@asynccontextmanager
async def _world(options: Options, journal: Journal) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        broker = postgres = None
        proxies: list[FaultProxy] = []
        wires: list[Wire] = []
        if options.alone:
            database_url, urls = sqlite_url(options.folder / "gateway.db"), [""]
            queue: dict[str, object] = {"backend": "memory"}
        else:
            postgres = stack.enter_context(_postgres())
            broker = stack.enter_context(_broker())
            database_url, queue = postgres.url(DATABASE), {}
            wires = [Wire() for _ in range(options.daemons)]
            proxies += [await stack.enter_async_context(FaultProxy(broker.port, look=wire)) for wire in wires]
            urls = [broker.url().replace(f":{broker.port}", f":{proxy.port}") for proxy in proxies]
        upstreams = [
            await stack.enter_async_context(WitnessOllama(name, options.seed, journal)) for name in ("one", "two")
        ]
        running = await stack.enter_async_context(
            cluster(
                options.folder,
                database_url=database_url,
                broker_urls=urls,
                upstream_url={one.name: one.url for one in upstreams},
                slots=options.slots,
                queue={**queue, "deadline_seconds": 100, "keepalive_after": 2},
                upstream_key=UPSTREAM_KEY,
                module="tests.trust.daemon",
            )
        )
        yield World(options, journal, running, upstreams, proxies, broker, postgres, wires=wires)


@contextmanager
def _postgres() -> Iterator[PostgresServer]:
    """One that keeps what it has confirmed: the faults are crashes."""
    server = PostgresServer(options=("synchronous_commit=on", "full_page_writes=on", KEPT_WAL))
    try:
        server.start()
        server.execute(f"CREATE DATABASE {DATABASE}")
        yield server
    finally:
        server.stop()


@contextmanager
def _broker() -> Iterator[RabbitServer]:
    server = RabbitServer()
    try:
        server.start()
        yield server
    finally:
        server.stop()


async def _live_through(world: World) -> None:
    options, journal, running = world.options, world.journal, world.running
    people = People(running, options.seed)
    await people.arrive()
    world.canaries = _canaries(world, people)
    for wire in world.wires:
        wire.canaries = world.canaries
    leaks: set[str] = set()
    nemesis = Nemesis(
        running, world.broker, world.postgres, world.proxies, journal, lambda: leaks.update(_leaks_on_disk(world))
    )
    await nemesis.healed()
    before = rest.Processes([await rest.look(daemon) for daemon in running.daemons])
    load = Load(running, people.keys, world.upstreams, journal, clients=options.clients, seed=options.seed)
    load.start()
    working = asyncio.create_task(people.work())
    rounds = [Round([strike]) for strike in options.strikes] or schedule(
        options.seed, options.rounds, options.counts, cables=options.cables
    )
    started = _now()
    for number, each in enumerate(rounds, 1):
        if _now() - started > options.seconds:
            break
        await nemesis.strike(each)
        try:
            await nemesis.healed()
        except TimeoutError:
            journal.note("rest", f"round {number}: not every daemon takes part again after {HEAL_SECONDS:.0f} s")
            continue
        await asyncio.sleep(1.0)  # what was begun while something was wrong comes to its end
        began = _now()
        await asyncio.sleep(options.quiet)
        journal.write(Fault("quiet", "", began, _now()))
        options.say(f"round {number} of {len(rounds)}: {_so_far(world, nemesis, load)}")
    async with asyncio.timeout(STOP_SECONDS):
        await load.stop()
    working.cancel()
    leaks.update(_leaks_in_processes(world))
    for what in await rest.unsettled(running, world.broker, world.upstreams, before, idle_connections=options.idle):
        journal.note("rest", what)
    await _write_down(world)
    journal.note("people", dict(people.done))
    world.canaries = _canaries(world, people)
    await asyncio.to_thread(_search, world, leaks)


def _so_far(world: World, nemesis: Nemesis, load: Load) -> str:
    cuts = sum(one.cuts for one in world.upstreams)
    return f"{dict(nemesis.counts)}, clients {dict(load.counts)}, left {dict(load.cuts)}, upstreams cut {cuts}"


async def _write_down(world: World) -> None:
    """The gateway's own log, when it holds all that it will, and what the daemons say of themselves."""
    running, journal = world.running, world.journal
    async with asyncio.timeout(WRITTEN_SECONDS):
        while any([(await running.ask(daemon, "/system"))["usage"]["pending"] for daemon in running.daemons]):
            await asyncio.sleep(0.5)
    answer = await running.client.post(
        f"{running.daemons[0].url}/admin/v1/activity/verify", headers={"authorization": f"Bearer {running.admin}"}
    )
    journal.note("activity", answer.json())
    rows, sums = await asyncio.to_thread(_gateway_log, running.database_url)
    for row in rows:
        journal.write(row)
    journal.note("sums", sums)
    for daemon in running.daemons:
        clock = time.time() - time.monotonic()
        for fault in rest.cut_offs(daemon.home / "log", list(journal.history.faults), clock):
            journal.write(fault)
        for line in rest.bad_lines(daemon.home / "log"):
            journal.note("log", line)


def _gateway_log(url: str) -> tuple[list[Row], int]:
    rows = "SELECT request_id, outcome, error_code, status FROM requests ORDER BY finished_at"
    sums = "SELECT COALESCE(SUM(requests), 0) FROM usage"
    if url.startswith("postgresql"):
        with psycopg.connect(url) as connection:
            found, [[count]] = connection.execute(rows).fetchall(), connection.execute(sums).fetchall()
    else:
        with closing(sqlite3.connect(make_url(url).database or "")) as database:
            found, [[count]] = database.execute(rows).fetchall(), database.execute(sums).fetchall()
    return [Row(*row) for row in found], int(count)


def _canaries(world: World, people: People) -> Canaries:
    key = bytes.fromhex((world.options.folder / "secret.key").read_text(encoding="ascii").strip())
    return Canaries(
        {
            "secret.key": key,
            "upstream key": UPSTREAM_KEY.encode(),
            "prompt": PROMPT_CANARY.encode(),
            "answer": ANSWER_CANARY.encode(),
            **people.secrets,
        }
    )


def _search(world: World, leaks: set[str]) -> None:
    """Everything that is left of the run, byte by byte."""
    assert world.canaries is not None
    for wire in world.wires:
        leaks.update(f"to the broker: {name}" for name in wire.found)
        world.journal.note("searched on the wire", wire.seen)
    leaks.update(_leaks_on_disk(world))
    if world.postgres is not None:
        leaks.update(f"database dump: {name}" for name in world.canaries.found_in(world.postgres.dump(DATABASE)))
    homes = [daemon.home for daemon in world.running.daemons]
    allowed = [daemon.config for daemon in world.running.daemons]
    others = list(world.options.folder.glob("gateway.db*"))
    leaks.update(world.canaries.found_below(homes, allowed=allowed))
    for path in others:
        leaks.update(f"{path}: {name}" for name in world.canaries.found_in_file(path))
    if world.postgres is not None:
        leaks.update(world.canaries.found_below([world.postgres.directory]))
    for leak in sorted(leaks):
        world.journal.note("leak", leak)
    world.journal.note("searched", {"forms": len(world.canaries), "bytes": world.canaries.searched})


def _leaks_on_disk(world: World) -> list[str]:
    """Of the broker."""
    if world.broker is None or world.canaries is None:
        return []
    return world.canaries.found_below([world.broker.directory])


def _leaks_in_processes(world: World) -> list[str]:
    assert world.canaries is not None
    return world.canaries.found_in_processes(daemon.pid for daemon in world.running.daemons)


def _now() -> float:
    return asyncio.get_running_loop().time()


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
