"""One pool at one moment, as people see it: state, positions, figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from llmgate.daemon.queue.figures import Figures
from llmgate.daemon.queue.policy import WaitingLine
from llmgate.daemon.queue.report import PoolReport, figures_of
from llmgate.daemon.queue.slots import UpstreamState
from llmgate.daemon.queue.ticket import Position, Ticket
from llmgate.daemon.queue.wanted import Wanted

DIGEST_SECONDS = 0.25
"""Positions are worked out at most this often."""


class Mode(StrEnum):
    """What an administrator wants a pool to do."""

    OPEN = "open"
    PAUSED = "paused"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Digest:
    """The order of service at one moment: ticket id → how many are ahead of it, in that order."""

    version: int
    made_at: float
    ahead: dict[str, int]


class Pool:
    """A waiting line and what is known about it. ``down_since``: no upstream has been usable since then."""

    def __init__(self, name: str, line: WaitingLine) -> None:
        self.name = name
        self.line = line
        self.mode = Mode.OPEN
        self.down_since: float | None = None
        self.figures = Figures()
        self._models: Counter[str] = Counter()
        self._missing_since: dict[str, float] = {}
        self._digest = Digest(line.version, -DIGEST_SECONDS, {})

    @property
    def is_draining(self) -> bool:
        return self.mode is Mode.DRAINING

    def enter(self, ticket: Ticket, now: float) -> None:
        """Put a ticket in line."""
        self.figures.arrivals.note(now)
        self.line.add(ticket, now)
        self._models[ticket.model] += 1

    def enter_at(self, ticket: Ticket, level: int, since: float, *, aged: bool, moved: bool) -> None:
        """Put a ticket where it has been elsewhere; ``moved``: an administrator has put it at another level."""
        self.line.add_at(ticket, level, aged=aged, since=since)
        if moved:
            self.look_anew()

    def set_level(self, ticket_id: str, level: int, now: float) -> None:
        """Move a waiting ticket. Whoever did it sees at once where it stands now."""
        self.line.set_level(ticket_id, level, now)
        self.look_anew()

    def look_anew(self) -> None:
        """Work the positions out when they are asked for next, however old they are: what an administrator has done
        is seen at once. It costs as much as any look, and only then."""
        self._digest = replace(self._digest, made_at=-math.inf)

    def leave(self, ticket: Ticket) -> None:
        """Take a ticket out, if the line has not handed it out already."""
        self.line.remove(ticket.id)
        self._models[ticket.model] -= 1
        if not self._models[ticket.model]:
            del self._models[ticket.model]
            self._missing_since.pop(ticket.model, None)

    def note_missing(self, is_there: Callable[[str, str], bool], now: float) -> None:
        """Note for which models somebody waits that no usable upstream has. ``is_there`` takes pool and model."""
        for model in self._models:
            if is_there(self.name, model):
                self._missing_since.pop(model, None)
            else:
                self._missing_since.setdefault(model, now)

    def outages(self) -> Iterator[float]:
        """Since when those who wait have had no upstream."""
        if self.down_since is not None and len(self.line):
            yield self.down_since
        yield from self._missing_since.values()

    def is_out(self, model: str, grace: float, now: float) -> bool:
        """Whether no upstream that has this model has been usable for so many seconds."""
        since = (self.down_since, self._missing_since.get(model))
        return any(began is not None and began + grace <= now for began in since)

    def in_order(self, now: float) -> Iterator[str]:
        """The ids of all who wait, in the order of service; newcomers since the last digest at the end."""
        ahead = self._fresh_digest(now).ahead
        yield from (ticket_id for ticket_id in ahead if ticket_id in self.line)
        yield from (ticket_id for ticket_id in self.line if ticket_id not in ahead)

    def put_in_order(self, ticket_ids: Iterable[str], now: float) -> list[str]:
        """Some of those who wait, as ``in_order`` has them, without a look at the others."""
        ahead = self._fresh_digest(now).ahead
        return sorted(ticket_ids, key=lambda ticket_id: ahead.get(ticket_id, len(ahead)))

    def position(self, ticket_id: str, slots: int, now: float) -> Position:
        """Where a waiting ticket stands: up to DIGEST_SECONDS old, and an upper bound for a newcomer."""
        entry = self.line.standing(ticket_id)
        ticket = entry.ticket
        ahead = self._fresh_digest(now).ahead.get(ticket_id)
        if ahead is None:
            ahead = self._ahead_at_most(entry.level)
        return Position(
            ticket_id=ticket_id,
            pool=self.name,
            model=ticket.model,
            owner=ticket.owner,
            submitted_level=ticket.level,
            level=entry.level,
            aged=entry.aged,
            ahead=ahead,
            waited=now - ticket.submitted_at,
            estimated_wait=None if self.mode is Mode.PAUSED else self.figures.estimated_wait(ahead, slots, now),
        )

    def positions(
        self, wanted: Wanted, slots: int, now: float, among: Iterable[str] | None = None
    ) -> Iterator[Position]:
        """Where those stand that are wanted, in the order of service, worked out one by one as they are asked for.
        ``among`` are all that need to be looked at."""
        if wanted.is_of_pools:
            in_order = self.in_order(now) if wanted.pool in (None, self.name) else iter(())
        else:  # to choose, and to put in order who is left, takes less than to go through all in their order
            in_order = iter(self.put_in_order(self._chosen(wanted, self.line if among is None else among), now))
        yield from (self.position(ticket_id, slots, now) for ticket_id in in_order)

    def count(self, wanted: Wanted) -> int:
        """How many of those that are wanted wait."""
        if wanted.is_of_pools:
            return len(self.line) if wanted.pool in (None, self.name) else 0
        return sum(1 for _ in self._chosen(wanted, self.line))

    def _chosen(self, wanted: Wanted, among: Iterable[str]) -> Iterator[str]:
        return (ticket_id for ticket_id in among if wanted.takes(self.line.standing(ticket_id).ticket))

    def report(self, upstreams: Sequence[UpstreamState], running: Mapping[str, int], now: float) -> PoolReport:
        """``upstreams`` are those of this pool, ``running`` is how many of its requests run on which."""
        oldest = self.line.oldest()
        is_offline = self.mode is Mode.OPEN and not any(u.usable for u in upstreams)
        return PoolReport(
            pool=self.name,
            state="offline" if is_offline else self.mode.value,
            waiting_by_level=self.line.waiting_by_level(),
            aged_waiting=self.line.aged_waiting,
            oldest_wait=0.0 if oldest is None else now - oldest,
            running=running,
            slots={u.name: u.slots for u in upstreams},
            usable=any(u.usable for u in upstreams),
            **figures_of(self.figures, now),
        )

    def _fresh_digest(self, now: float) -> Digest:
        digest, version = self._digest, self.line.version
        if digest.version != version and now - digest.made_at >= DIGEST_SECONDS:
            ahead = {ticket_id: n for n, ticket_id in enumerate(self.line.order())}
            digest = self._digest = Digest(version, now, ahead)
        return digest

    def _ahead_at_most(self, level: int) -> int:
        """The aged lane and everyone else at this level or a better one."""
        at_levels = sum(n for at, n in self.line.waiting_by_level().items() if at <= level)
        return at_levels + self.line.aged_waiting - 1
