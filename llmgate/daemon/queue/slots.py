"""Who may run where: the slots of all upstreams. Pure, like the policy."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from llmgate.daemon.queue.ticket import Ticket, UpstreamSlots


@dataclass(slots=True)
class UpstreamState:
    """An upstream and what runs on it. ``resting`` slots settle after a cancelled answer."""

    name: str
    pool: str
    slots: int
    usable: bool
    loaded: frozenset[str] = field(default_factory=frozenset)
    running: int = 0
    resting: int = 0
    removed: bool = False
    models: frozenset[str] | None = None
    share: int | None = None
    """Of its slots, only so many are ours to grant; None: all."""

    @property
    def used(self) -> int:
        return self.running + self.resting

    @property
    def is_free(self) -> bool:
        return self.usable and self.used < (self.slots if self.share is None else min(self.slots, self.share))

    def can_run(self, model: str) -> bool:
        """Whether it may be granted requests for a model, be it busy or not."""
        return self.usable and (self.models is None or model in self.models)


def choose_upstream(candidates: Iterable[UpstreamState], ticket: Ticket) -> UpstreamState | None:
    """The upstream that runs this ticket; None when it has to wait for one.

    Only usable ones that have the model are considered, and of these the ticket's ``avoid`` only while there is
    nothing else: one that is merely busy is worth the wait. Preferred are, in this order: one that has the model
    loaded, the one with the smallest share of its slots in use, the first by name.
    """
    able = [upstream for upstream in candidates if upstream.can_run(ticket.model)]
    if ticket.avoid:
        able = [upstream for upstream in able if upstream.name not in ticket.avoid] or able
    free = [upstream for upstream in able if upstream.is_free]
    if len(free) < 2:
        return free[0] if free else None
    return min(free, key=lambda u: (ticket.model not in u.loaded, u.used / u.slots, u.name))


class SlotBook:
    """Counts what runs on every upstream, so that none ever gets more requests at once than its slots."""

    def __init__(self) -> None:
        self._upstreams: dict[str, UpstreamState] = {}
        self._rests: list[tuple[float, str]] = []
        self._shares: Mapping[str, int] | None = None

    def update(self, told: UpstreamSlots) -> None:
        """Learn of an upstream or of its change. What runs on it stays counted, whatever pool it is in."""
        known = self._upstreams.get(told.name)
        if known is None:
            known = self._upstreams[told.name] = UpstreamState(told.name, told.pool, told.slots, told.usable)
            known.share = None if self._shares is None else self._shares.get(told.name, 0)
        known.pool, known.slots, known.usable = told.pool, told.slots, told.usable
        known.loaded, known.models = told.loaded, told.models
        known.removed = False

    def remove(self, name: str) -> None:
        """Use an upstream no more; it is forgotten when nothing runs on it."""
        if known := self._upstreams.get(name):
            known.usable, known.removed = False, True
            self._forget_if_done(known)

    def share(self, shares: Mapping[str, int] | None) -> None:
        """From now on only so many slots of each upstream are ours to grant; None: all of them."""
        for upstream in self._upstreams.values():
            upstream.share = None if shares is None else shares.get(upstream.name, 0)
        self._shares = shares

    def expect(self, name: str, pool: str) -> None:
        """Something runs on an upstream that is perhaps not known here yet."""
        self._upstreams.setdefault(name, UpstreamState(name, pool, slots=0, usable=False))

    def occupy(self, name: str) -> bool:
        """Count a slot that somebody else has granted. False when there is no such upstream here."""
        known = self._upstreams.get(name)
        if known is None:
            return False
        known.running += 1
        return True

    def used(self) -> dict[str, int]:
        """How many slots of each upstream are in use, the resting ones included."""
        return {upstream.name: upstream.used for upstream in self._upstreams.values()}

    def take(self, ticket: Ticket) -> str:
        """Occupy a slot for a ticket that ``fits``. The upstream's name."""
        chosen = choose_upstream(self.of(ticket.pool), ticket)
        if chosen is None:
            raise LookupError(f"no slot of {ticket.pool} is free for {ticket.id}")
        chosen.running += 1
        return chosen.name

    def give_back(self, name: str, rests_until: float | None = None) -> None:
        """Free a slot, at once or after it has rested."""
        upstream = self._upstreams[name]
        upstream.running -= 1
        if rests_until is not None:
            upstream.resting += 1
            heapq.heappush(self._rests, (rests_until, name))
        self._forget_if_done(upstream)

    def next_due(self) -> float | None:
        """When the next resting slot is free again."""
        return self._rests[0][0] if self._rests else None

    def wake(self, now: float) -> None:
        """Free the slots that have rested long enough."""
        while self._rests and self._rests[0][0] <= now:
            upstream = self._upstreams[heapq.heappop(self._rests)[1]]
            upstream.resting -= 1
            self._forget_if_done(upstream)

    def pool_of(self, name: str) -> str | None:
        """The pool of an upstream that is in use."""
        known = self._upstreams.get(name)
        return known.pool if known and not known.removed else None

    def of(self, pool: str) -> list[UpstreamState]:
        """The upstreams of a pool."""
        return [u for u in self._upstreams.values() if u.pool == pool and not u.removed]

    def fits(self, ticket: Ticket) -> bool:
        """Is there a slot that can be granted to this ticket?"""
        return choose_upstream(self.of(ticket.pool), ticket) is not None

    def has_free(self, pool: str) -> bool:
        """Is there a slot that can be granted to anyone?"""
        return any(u.is_free and u.pool == pool for u in self._upstreams.values())

    def has_usable(self, pool: str) -> bool:
        """Is there an upstream that can be granted requests, be it busy or not?"""
        return any(u.usable and u.pool == pool for u in self._upstreams.values())

    def can_run(self, pool: str, model: str) -> bool:
        """Is there an upstream that can be granted requests for this model, be it busy or not?"""
        return any(u.can_run(model) and u.pool == pool for u in self._upstreams.values())

    def capacity(self, pool: str) -> int:
        """Slots of the usable upstreams."""
        return sum(u.slots for u in self.of(pool) if u.usable)

    def _forget_if_done(self, upstream: UpstreamState) -> None:
        if upstream.removed and not upstream.used:
            del self._upstreams[upstream.name]
