"""What a system at rest looks like, before everything and after it."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from tests.cluster.harness import Cluster, Daemon
from tests.services.rabbitmq import RabbitServer
from tests.trust.journal import Fault
from tests.trust.upstream import WitnessOllama

REST_SECONDS = 60.0
"""Until everything is back: idle connections to upstreams are kept for 30 s."""
DATABASE_POOL = 10
"""Connections to the database that a daemon may keep open (database.pool_size)."""
SQLITE_POOL = 3 * DATABASE_POOL
"""Each has the database, its write-ahead log and its index open."""
PROBE_CONNECTIONS = 3
"""Of a daemon to an upstream, for asking every few seconds how it is."""
SPARE_TASKS = 3
HEALED_SECONDS = 3.0
"""Longest time after a fault of the broker until a daemon notices it."""


@dataclass(frozen=True, slots=True)
class Process:
    """A daemon's process at one moment. ``tasks`` is by name."""

    descriptors: int
    tasks: dict[str, int]


async def look(daemon: Daemon) -> Process:
    """What the process holds now."""
    told = daemon.home / "tasks"
    told.unlink(missing_ok=True)
    daemon.send(signal.SIGUSR1)
    async with asyncio.timeout(REST_SECONDS):
        while not told.exists():
            await asyncio.sleep(0.02)
    pairs = (line.rpartition(" ") for line in told.read_text(encoding="utf-8").splitlines())
    tasks = {name: int(count) for name, _, count in pairs}
    return Process(_descriptors(daemon.pid), tasks)


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@dataclass(frozen=True, slots=True)
class Processes:
    """All daemons. Tasks are compared in all together: those of the dispatcher move to another one."""

    each: Sequence[Process]

    @property
    def tasks(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for process in self.each:
            total.update(process.tasks)
        return total


async def unsettled(
    running: Cluster,
    broker: RabbitServer | None,
    upstreams: Sequence[WitnessOllama],
    before: Processes,
    *,
    idle_connections: bool,
) -> list[str]:
    """What is not as it was before, once there was time enough. ``idle_connections``: those to upstreams may stay."""
    found = ["nobody has looked"]
    with suppress(TimeoutError):
        async with asyncio.timeout(REST_SECONDS):
            while found:
                await asyncio.sleep(0.5)
                found = await _differences(running, broker, upstreams, before, idle_connections)
    return found


async def _differences(
    running: Cluster,
    broker: RabbitServer | None,
    upstreams: Sequence[WitnessOllama],
    before: Processes,
    idle_connections: bool,
) -> list[str]:
    found = [f"{one.name} still runs {one.running}" for one in upstreams if one.running]
    if not idle_connections:
        most = PROBE_CONNECTIONS * len(running.daemons)
        found += [f"{one.name} has {one.connections} connections" for one in upstreams if one.connections > most]
    if broker is not None:
        queues = await asyncio.to_thread(broker.queues)
        found += [f"the queue {name} holds {count}" for name, count in queues.items() if count]
    spare = (DATABASE_POOL if broker is not None else SQLITE_POOL) + (
        sum(one.connections for one in upstreams) if idle_connections else 0
    )
    tasks: Counter[str] = Counter()
    for daemon, process in zip(running.daemons, before.each, strict=True):
        try:
            stats: dict[str, Any] = await running.stats(daemon)
        except httpx.HTTPError as failure:
            found.append(f"{daemon.name} does not tell: {failure!r}")
            continue
        found += [f"{daemon.name}: {stats[what]} {what}" for what in ("waiting", "running") if stats[what]]
        now = await look(daemon)
        tasks.update(now.tasks)
        if now.descriptors > process.descriptors + spare:
            found.append(f"{daemon.name}: {now.descriptors} descriptors, {process.descriptors} before")
    more = tasks - before.tasks
    if more.total() > SPARE_TASKS:
        found.append(f"tasks that are left over: {dict(more)}")
    return found


def bad_lines(log: Path) -> list[str]:
    """Lines of a daemon's log that tell of a defect."""
    signs = ("request_broke", "Traceback", "Task exception was never retrieved", "never awaited")
    return [
        f"{log.parent.name}: {line[:300]}"
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        if any(sign in line for sign in signs)
    ]


def cut_offs(log: Path, faults: Sequence[Fault], clock: float) -> list[Fault]:
    """When a daemon lost a broker with which nothing was wrong, as its log tells: on a machine that has far more to do
    than it can, a process may stand still for seconds. ``clock`` is by how much the wall clock is ahead of the
    monotonic one."""
    found: list[Fault] = []
    lost: tuple[float, str] | None = None
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if '"queue_degraded"' not in line and '"queue_connected"' not in line:
            continue
        entry = json.loads(line)
        when = datetime.fromisoformat(entry["timestamp"]).timestamp() - clock
        if entry["event"] == "queue_degraded":
            lost = (when, entry["reason"])
        elif lost is not None:
            if not any(_concerns(fault, lost[0]) for fault in faults):
                found.append(Fault("cut_off", log.parent.name, lost[0], when, lost[1]))
            lost = None
    return found


def _concerns(fault: Fault, when: float) -> bool:
    """Whether it was the broker's fault, or that of its recovery."""
    return fault.kind.startswith("broker_") and fault.began <= when <= fault.ended + HEALED_SECONDS
