"""Replays the scenario files.

A scenario is a transcript. A line is a command; the lines below it that begin with ``>`` are what must
follow from it, no more and no less, in any order (a real broker may tell of two grants in either). Lines
that begin with ``#`` are remarks. Times are in seconds.

    settings aging_seconds=30 …           first, if at all: settings of the queue
    upstream gpu slots=2 loaded=m1 [down] tell the state of an upstream (pool=… models=…; default: main, any)
    remove gpu                            there is no such upstream any more
    submit a1..a9 b1 level=2 flow=a …     requests come: level flow owner cost weight model pool
    leave a1                              the client hangs up, while it waits
    release a1 tokens=50 [cancelled]      an answer ends
    retry a1                              the upstream refused it: it comes back and avoids that one
    serve 8 each=10 tokens=50             eight times: wait 10 s, end the oldest answer; > the grants, in order
    advance 30                            time passes
    cancel a1 / level a1 3                an administrator acts
    pause / resume / drain [pool]
    position a1 / state
    waiting / running / count             those who do, or of them: owner=a,b pool model level limit
    close                                 the queue shuts down

What can follow: ``granted a1 on gpu``, ``refused a1: queue_full``, ``ended a1: queue_timeout``, or the
answer to a question. A fake upstream counts what runs at any time and allows no request a second start.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from llmgate.config import QueueSettings
from llmgate.daemon.queue.interface import Place
from llmgate.daemon.queue.ticket import Grant, Position, Ticket, UpstreamSlots
from llmgate.daemon.queue.wanted import Wanted
from llmgate.errors import LLMGateError
from tests.queue.backends import Backend

POSITION_LAG = 0.5
"""Positions may be a little old: one that does not match is asked for again after so many seconds."""


@dataclass
class Step:
    """A command, and what must follow from it."""

    where: str
    verb: str
    names: list[str]
    options: dict[str, str]
    expected: list[str] = field(default_factory=list)


def read_steps(path: Path) -> list[Step]:
    """Parse a scenario file."""
    steps: list[Step] = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        text = line.strip()
        if text.startswith(">"):
            steps[-1].expected.append(text[1:].strip())
        elif text and not text.startswith("#"):
            verb, *words = text.split()
            names = [name for word in words if "=" not in word for name in expand(word)]
            options = dict(word.split("=", 1) for word in words if "=" in word)
            steps.append(Step(f"{path.name}:{number}: {text}", verb, names, options))
    return steps


def expand(word: str) -> Iterator[str]:
    """``a1..a3`` means a1 a2 a3."""
    if match := re.fullmatch(r"([a-z-]+)(\d+)\.\.\1(\d+)", word):
        yield from (f"{match[1]}{number}" for number in range(int(match[2]), int(match[3]) + 1))
    else:
        yield word


def wanted(options: Mapping[str, str]) -> Wanted:
    """Whom a question is about."""
    owners, models = (frozenset(options[name].split(",")) if name in options else None for name in ("owner", "model"))
    level = int(options["level"]) if "level" in options else None
    return Wanted(owners, options.get("pool"), models, level)


class FakeUpstreams:
    """The oracle: what really runs, and where."""

    def __init__(self) -> None:
        self.slots: dict[str, int] = {}
        self.running: dict[str, set[str]] = {}
        self._started: set[str] = set()

    def start(self, grant: Grant) -> None:
        running = self.running.setdefault(grant.upstream, set())
        attempt = f"{grant.ticket.id}/{grant.ticket.attempt}"
        assert attempt not in self._started, f"{attempt} was started twice"
        self._started.add(attempt)
        running.add(grant.ticket.id)
        slots = self.slots[grant.upstream]
        assert len(running) <= slots, f"{sorted(running)} run on {grant.upstream}, which has {slots} slots"

    def stop(self, grant: Grant) -> None:
        self.running[grant.upstream].remove(grant.ticket.id)


@dataclass
class Client:
    """Who holds the connection of one request that waits."""

    place: Place
    task: asyncio.Task[None]


class Story:
    """Runs the steps of one scenario against one backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._upstreams = FakeUpstreams()
        self._clients: dict[str, Client] = {}
        self._running: dict[str, Grant] = {}
        self._seen: list[str] = []

    async def play(self, steps: list[Step]) -> None:
        """Replay all steps; in the end everybody leaves, and nothing may be left."""
        settings = steps.pop(0).options if steps[0].verb == "settings" else {}
        await self._backend.start(QueueSettings.model_validate(settings))
        try:
            for step in steps:
                await self._check(step)
            await self._check_that_nothing_stays()
        finally:
            for client in self._clients.values():
                client.task.cancel()
            await asyncio.gather(*(client.task for client in self._clients.values()), return_exceptions=True)
            await self._backend.stop()

    async def _check(self, step: Step) -> None:
        seen = await self._perform(step)
        if seen != sorted(step.expected) and step.verb in ("position", "waiting"):
            await self._backend.advance(POSITION_LAG)
            seen = await self._perform(step)
        assert matches(seen, sorted(step.expected)), f"{step.where}\nexpected {sorted(step.expected)}\n     got {seen}"

    async def _perform(self, step: Step) -> list[str]:
        self._seen = []
        await getattr(self, f"_do_{step.verb}")(step)
        await self._backend.settle()
        return sorted(self._seen)

    async def _check_that_nothing_stays(self) -> None:
        for name in list(self._clients):
            self._leave(name)
        for name in list(self._running):
            self._end(name)
        await self._backend.advance(60)
        queue = self._backend.queue
        assert list(await queue.waiting()) == []
        assert list(await queue.running()) == []
        assert not any(self._upstreams.running.values())

    # Requests

    async def _do_submit(self, step: Step) -> None:
        for name in step.names:
            options = {"level": "2", "pool": "main", "model": "m1", "flow": name.rstrip("0123456789")} | step.options
            ticket = Ticket(
                id=name,
                pool=options["pool"],
                model=options["model"],
                level=int(options["level"]),
                flow=options["flow"],
                owner=options.get("owner", options["flow"]),
                submitted_at=self._backend.queue.now(),
                cost=float(options.get("cost", "100")),
                weight=float(options.get("weight", "1")),
            )
            await self._submit(ticket)

    async def _submit(self, ticket: Ticket) -> None:
        try:
            place = await self._backend.queue.submit(ticket)
        except LLMGateError as error:
            has_retry_after = error.retry_after is not None and 1 <= error.retry_after <= 120
            self._seen.append(f"refused {ticket.id}: {error.code}" if has_retry_after else f"no Retry-After: {error}")
        else:
            task = asyncio.create_task(self._wait(ticket.id, place))
            self._clients[ticket.id] = Client(place, task)

    async def _wait(self, name: str, place: Place) -> None:
        try:
            grant = await place.granted()
        except LLMGateError as error:
            self._seen.append(f"ended {name}: {error.code}")
        else:
            self._upstreams.start(grant)
            self._running[name] = grant
            self._seen.append(f"granted {name} on {grant.upstream}")
        del self._clients[name]

    async def _do_leave(self, step: Step) -> None:
        for name in step.names:
            self._leave(name)

    async def _do_release(self, step: Step) -> None:
        self._end(step.names[0], step.options.get("tokens"), cancelled="cancelled" in step.names)

    async def _do_retry(self, step: Step) -> None:
        """Back in line first, then the slot is given up: so nobody gets between."""
        for name in step.names:
            grant = self._running.pop(name)
            self._upstreams.stop(grant)
            await self._submit(grant.ticket.retried(avoid=grant.upstream))
            await self._backend.settle()
            self._backend.queue.release(grant, 0)

    async def _do_serve(self, step: Step) -> None:
        granted: list[str] = []
        for _ in range(int(step.names[0])):
            await self._backend.advance(float(step.options.get("each", "0")))
            self._end(next(iter(self._running)), step.options.get("tokens"))
            await self._backend.settle()
            granted += [event.split()[1] for event in self._seen if event.startswith("granted ")]
            self._seen = [event for event in self._seen if not event.startswith("granted ")]
        self._seen.append(" ".join(granted))

    def _leave(self, name: str) -> None:
        client = self._clients.pop(name)
        client.task.cancel()
        client.place.leave()

    def _end(self, name: str, tokens: str | None = None, *, cancelled: bool = False) -> None:
        """The fake upstream is done before the queue hears of it."""
        grant = self._running.pop(name)
        self._upstreams.stop(grant)
        self._backend.queue.release(grant, None if tokens is None else float(tokens), cancelled=cancelled)

    # The world and the administrator

    async def _do_upstream(self, step: Step) -> None:
        name, slots = step.names[0], int(step.options.get("slots", "1"))
        self._upstreams.slots[name] = slots
        loaded = frozenset(filter(None, step.options.get("loaded", "").split(",")))
        models = frozenset(step.options["models"].split(",")) if "models" in step.options else None
        pool = step.options.get("pool", "main")
        self._backend.queue.update_upstream(UpstreamSlots(name, pool, slots, "down" not in step.names, loaded, models))

    async def _do_remove(self, step: Step) -> None:
        self._backend.queue.remove_upstream(step.names[0])

    async def _do_advance(self, step: Step) -> None:
        await self._backend.advance(float(step.names[0]))

    async def _do_cancel(self, step: Step) -> None:
        for name in step.names:
            if not await self._backend.queue.cancel(name):
                self._seen.append(f"{name} does not wait")

    async def _do_level(self, step: Step) -> None:
        name, level = step.names
        if not await self._backend.queue.set_level(name, int(level)):
            self._seen.append(f"{name} does not wait")

    async def _do_pause(self, step: Step) -> None:
        await self._backend.queue.pause((step.names or ["main"])[0])

    async def _do_resume(self, step: Step) -> None:
        await self._backend.queue.resume((step.names or ["main"])[0])

    async def _do_drain(self, step: Step) -> None:
        await self._backend.queue.drain((step.names or ["main"])[0])

    async def _do_close(self, _: Step) -> None:
        await self._backend.queue.shut()

    # Questions

    async def _do_position(self, step: Step) -> None:
        position = await self._backend.queue.position(step.names[0])
        self._seen.append(self._describe(position) if position else "does not wait")

    def _describe(self, position: Position) -> str:
        at = "aged lane" if position.aged else f"level {position.level}"
        estimate = position.estimated_wait
        about = "" if estimate is None else f", about {estimate / self._backend.second:.0f} s"
        return f"{at}, {position.ahead} ahead{about}"

    async def _do_waiting(self, step: Step) -> None:
        limit = int(step.options.get("limit", "500"))
        positions = await self._backend.queue.waiting(wanted(step.options), limit)
        self._seen.append(" ".join(position.ticket_id for position in positions) or "nobody")

    async def _do_count(self, step: Step) -> None:
        self._seen.append(str(await self._backend.queue.count(wanted(step.options))))

    async def _do_running(self, step: Step) -> None:
        limit = step.options.get("limit")
        running = await self._backend.queue.running(wanted(step.options), int(limit) if limit else None)
        self._seen += [f"{request.ticket_id} on {request.upstream}" for request in running] or ["nobody"]

    async def _do_state(self, _: Step) -> None:
        self._seen += [f"{pool.pool} {pool.state}" for pool in self._backend.queue.stats()]


def matches(seen: list[str], expected: list[str]) -> bool:
    """Equal, but for times ("about 20 s"), which real clocks tell only to a quarter."""
    return len(seen) == len(expected) and all(
        ABOUT.sub("", s) == ABOUT.sub("", e) and same_time(ABOUT.search(s), ABOUT.search(e))
        for s, e in zip(seen, expected, strict=True)
    )


ABOUT = re.compile(r"about (\d+) s")


def same_time(seen: re.Match[str] | None, expected: re.Match[str] | None) -> bool:
    if seen is None or expected is None:
        return seen is expected
    return abs(int(seen[1]) - int(expected[1])) <= int(expected[1]) / 4
