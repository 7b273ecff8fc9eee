"""Clients that ask, and some that hang up; and the three journals that tell what became of every request."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import httpx
import psycopg

from tests.cluster.harness import Cluster, Daemon
from tests.fakes.script import Seen

CANCELLED_SHARE = 0.15
UNWRITTEN_SECONDS = 2.0
"""What ended so shortly before its daemon was killed may be missing in the gateway's journal: it is written once a
second (usage.flush_seconds)."""
LOOK_SECONDS = 0.5
PATIENCE = (0.0, 1.5)
"""Seconds after which those who hang up do so."""


@dataclass(slots=True)
class Attempt:
    """One request as its client saw it. Times on the clock of the event loop."""

    nonce: str
    daemon: str
    pid: int
    started_at: float
    ended_at: float = 0.0
    result: str = "unfinished"


class Load:
    """Keeps so many requests in flight, spread over the daemons that answer, until it is told to stop."""

    def __init__(self, cluster: Cluster, clients: int, seed: int) -> None:
        self.attempts: list[Attempt] = []
        self._cluster = cluster
        self._clients = clients
        self._random = random.Random(seed)  # noqa: S311 - a test's load
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._ready: dict[str, bool] = {}

    def start(self) -> None:
        self._watch = asyncio.create_task(self._look_who_is_ready())
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(self._clients)]

    async def stop(self, seconds: float) -> None:
        """Let everything that was begun come to its end. Raises TimeoutError when something is stuck."""
        self._stopping = True
        async with asyncio.timeout(seconds):
            await asyncio.gather(*self._tasks)
        self._watch.cancel()

    async def _look_who_is_ready(self) -> None:
        """As a load balancer does: a daemon without any slot says so, and gets nothing new."""
        while True:
            await asyncio.gather(*(self._look(daemon) for daemon in self._cluster.daemons))
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, daemon: Daemon) -> None:
        try:
            answer = await self._cluster.client.get(f"{daemon.url}/health/ready", timeout=LOOK_SECONDS)
            self._ready[daemon.name] = answer.status_code == 200
        except httpx.HTTPError:
            self._ready[daemon.name] = False

    async def _client(self, number: int) -> None:
        turn = 0
        while not self._stopping:
            alive = [daemon for daemon in self._cluster.daemons if daemon.answers]
            able = [daemon for daemon in alive if self._ready.get(daemon.name, True)] or alive
            turn += 1
            await self._ask(self._random.choice(able), f"nonce-{number:02}x{turn:04}")

    async def _ask(self, daemon: Daemon, nonce: str) -> None:
        loop = asyncio.get_running_loop()
        attempt = Attempt(nonce, daemon.name, daemon.pid, loop.time())
        self.attempts.append(attempt)
        leaves = self._random.random() < CANCELLED_SHARE
        patience = self._random.uniform(*PATIENCE) if leaves else 300.0
        level = str(self._random.randint(2, 5))
        try:
            async with asyncio.timeout(patience):
                attempt.result = await self._answer(daemon, nonce, level)
        except TimeoutError:
            attempt.result = "cancelled" if leaves else "stuck"
        except httpx.HTTPError as failure:
            attempt.result = f"reset: {type(failure).__name__}"
            await asyncio.sleep(0.05)
        attempt.ended_at = loop.time()

    async def _answer(self, daemon: Daemon, nonce: str, level: str) -> str:
        body = {"model": "llama3.2", "messages": [{"role": "user", "content": nonce}]}
        headers = {
            "authorization": f"Bearer {self._cluster.key}",
            "x-request-id": nonce,
            "x-llmgate-priority": level,
        }
        async with self._cluster.client.stream("POST", f"{daemon.url}/api/chat", json=body, headers=headers) as answer:
            lines = [json.loads(line) async for line in answer.aiter_lines() if line]
        last = lines[-1] if lines else {}
        if answer.status_code == 200 and last.get("done") and "error" not in last:
            return "answered"
        return f"error {answer.status_code}: {last.get('error')}"


@dataclass(slots=True)
class Phase:
    """One fault: from when it struck until it was over."""

    name: str
    began: float
    ended: float = 0.0
    struck: float = 0.0
    """When things should go on again: the fault itself, on the clock of the event loop."""


@dataclass(slots=True)
class Verdict:
    """What the joined journals say."""

    attempted: int
    results: Counter[str]
    lost: list[Attempt] = field(default_factory=list)
    run_twice: list[str] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)
    """Requests that left while they waited, and were started all the same."""
    misjudged: list[str] = field(default_factory=list)
    """Answered requests whose row in the gateway's journal says something else, or that have none, or two."""


def judge(attempts: Sequence[Attempt], seen: Iterable[Seen], rows: dict[str, list[str]], cluster: Cluster) -> Verdict:
    """Join the journals by the nonces. A request is lost when its client neither left nor got a whole answer, and
    its daemon was not killed meanwhile."""
    killed = {pid: when for daemon in cluster.daemons for pid, when in daemon.killed}
    starts = Counter(one.nonce for one in seen if one.nonce)
    verdict = Verdict(len(attempts), Counter(attempt.result.partition(":")[0] for attempt in attempts))
    verdict.run_twice = [nonce for nonce, count in starts.items() if count > 1]
    for attempt in attempts:
        outcomes = rows.get(attempt.nonce, [])
        since_death = attempt.ended_at - killed.get(attempt.pid, float("inf"))
        if attempt.result not in ("answered", "cancelled") and since_death < 0:
            verdict.lost.append(attempt)
        if attempt.result == "answered" and since_death < -UNWRITTEN_SECONDS and outcomes != ["completed"]:
            verdict.misjudged.append(f"{attempt.nonce} {outcomes}")
        if len(outcomes) > 1:
            verdict.misjudged.append(f"{attempt.nonce} {outcomes}")
        if outcomes == ["cancelled_in_queue"] and starts[attempt.nonce]:
            verdict.ghosts.append(attempt.nonce)
    return verdict


def gateway_journal(database_url: str) -> dict[str, list[str]]:
    """The outcomes in the gateway's log of requests, by nonce."""
    rows: dict[str, list[str]] = {}
    with psycopg.connect(database_url) as connection:
        for request_id, outcome in connection.execute("SELECT request_id, outcome FROM requests"):
            rows.setdefault(request_id.rpartition("-")[0], []).append(outcome)
    return rows


def over_limit_seconds(seen: Iterable[Seen], slots: int, since: float, until: float) -> float:
    """How long, within a span of time, more than ``slots`` requests ran at once, weighted by how many more."""
    changes: list[tuple[float, int]] = []
    for one in seen:
        changes += [(one.started_at, 1), (one.ended_at if one.ended_at is not None else until, -1)]
    total, running, before = 0.0, 0, since
    for when, change in sorted(changes):
        clipped = min(max(when, since), until)
        total += max(0, running - slots) * (clipped - before)
        running, before = running + change, clipped
    return total


def first_start(seen: Iterable[Seen], since: float) -> float:
    """How long after a moment the first request was started."""
    return min((one.started_at for one in seen if one.started_at > since), default=float("inf")) - since


def longest_gap(seen: Iterable[Seen], since: float, until: float) -> float:
    """The longest time without a start at the upstream, within a span of time."""
    starts = sorted(one.started_at for one in seen if since <= one.started_at <= until)
    marks = [since, *starts, until]
    return max(after - before for before, after in itertools.pairwise(marks))
