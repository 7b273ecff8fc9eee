"""The waiting line in this process: the embedded default, for one daemon on one event loop.

Everything that changes the line is synchronous and runs to its end before anyone else looks: no locks.
A free slot is handed out inside the very call that makes it possible (``submit``, ``release``,
``update_upstream``); ``run`` acts only when time itself changes something: aging, deadlines, the end
of an outage grace, the end of a slot's rest.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence

from llmgate.config import QueueSettings
from llmgate.daemon.events import Event, TicketPromoted
from llmgate.daemon.queue.figures import spread
from llmgate.daemon.queue.flows import LazyHeap
from llmgate.daemon.queue.interface import Place, QueueManagerInterface
from llmgate.daemon.queue.place import MemoryPlace
from llmgate.daemon.queue.policy import LOOK_AHEAD, Turn, WaitingLine
from llmgate.daemon.queue.pool import Mode, Pool
from llmgate.daemon.queue.slots import SlotBook
from llmgate.daemon.queue.ticket import Grant, PoolStats, Position, Running, Ticket, UpstreamSlots
from llmgate.errors import (
    CancelledByAdmin,
    Conflict,
    Draining,
    LimitExceeded,
    LLMGateError,
    PoolDraining,
    QueueFull,
    QueueTimeout,
    UpstreamUnavailable,
)

DRAINING_RETRY = 15.0
"""Seconds after which someone whom a drain refused may ask again: a restart is over by then."""

Wait = Callable[["asyncio.Future[None]", float | None], Awaitable[object]]


async def wait_until(done: asyncio.Future[None], timeout: float | None) -> None:
    """Wait until ``done`` has a result, at most ``timeout`` seconds. Cancelling this leaves ``done`` alone."""
    await asyncio.wait([done], timeout=timeout)


class MemoryQueueManager(QueueManagerInterface):
    """All pools of one daemon. ``clock`` gives seconds and never goes back; ``emit`` hears of promotions.

    ``wait`` waits on that clock (tests bring both); ``chance`` gives random numbers of [0, 1).
    """

    def __init__(
        self,
        settings: QueueSettings,
        *,
        emit: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
        wait: Wait = wait_until,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._emit = emit
        self._clock = clock
        self.wait = wait
        self._chance = chance
        self._pools: dict[str, Pool] = {}
        self._slots = SlotBook()
        self._places: dict[str, MemoryPlace] = {}
        self._deadlines: LazyHeap[float, MemoryPlace] = LazyHeap()
        self._places_of: defaultdict[str, dict[str, MemoryPlace]] = defaultdict(dict)
        self._running: dict[str, tuple[Grant, Turn]] = {}
        self._numbers = itertools.count(1)
        self._closed = False
        self._alarm: asyncio.Future[None] | None = None
        self._alarm_at = -math.inf

    # The daemon's life

    def now(self) -> float:
        return self._clock()

    async def start(self) -> None:
        """There is nothing to connect to."""

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._alarm_at = -math.inf  # awake: no alarm needed
            now = self.now()
            self._tend_all(now)
            self._alarm_at = self._next_due()
            self._alarm = loop.create_future()
            await self.wait(self._alarm, None if math.isinf(self._alarm_at) else max(0.0, self._alarm_at - now))

    async def close(self) -> None:
        self._closed = True
        for place in list(self._places.values()):
            self._end(place, self._draining())

    # Upstreams

    def update_upstream(self, upstream: UpstreamSlots) -> None:
        self._pool(upstream.pool)
        self._slots.update(upstream)
        self._tend_all(self.now())

    def remove_upstream(self, name: str) -> None:
        self._slots.remove(name)
        self._tend_all(self.now())

    # One request

    async def submit(self, ticket: Ticket) -> Place:
        now = self.now()
        pool = self._pool(ticket.pool)
        self._admit(pool, ticket, now)
        place = MemoryPlace(self, ticket, next(self._numbers))
        self._places[ticket.id] = place
        self._places_of[ticket.owner][ticket.id] = place
        self._deadlines.push(ticket.submitted_at + self._settings.deadline_seconds, place)
        pool.enter(ticket, now)
        self._tend(pool, now)
        return place

    def release(self, grant: Grant, tokens: float | None, *, cancelled: bool = False) -> None:
        _, turn = self._running.pop(grant.id, (None, None))
        if turn is None:
            return
        now = self.now()
        pool = self._pools[turn.ticket.pool]
        if tokens is not None:
            pool.line.correct(turn, tokens)
        if not cancelled and tokens != 0:  # what was cut short or refused does not tell how long one takes
            pool.figures.note_service(now - grant.granted_at)
        rest = self._settings.settle_ms / 1000 if cancelled else 0.0
        self._slots.give_back(grant.upstream, now + rest if rest else None)
        self._tend_all(now)

    def forget(self, ticket: Ticket) -> None:
        """Take a waiting ticket out of everything here."""
        self._pools[ticket.pool].leave(ticket)
        del self._places[ticket.id]
        own = self._places_of[ticket.owner]
        del own[ticket.id]
        if not own:
            del self._places_of[ticket.owner]

    # Administration

    async def cancel(self, ticket_id: str) -> bool:
        place = self._places.get(ticket_id)
        if place is None:
            return False
        self._end(place, CancelledByAdmin())
        return True

    async def set_level(self, ticket_id: str, level: int) -> bool:
        place = self._places.get(ticket_id)
        if place is None:
            return False
        pool = self._pools[place.ticket.pool]
        now = self.now()
        pool.line.set_level(ticket_id, level, now)
        self._tend(pool, now)
        return True

    async def pause(self, pool: str) -> None:
        self._set_mode(pool, Mode.PAUSED)

    async def resume(self, pool: str) -> None:
        self._set_mode(pool, Mode.OPEN)

    async def drain(self, pool: str) -> None:
        self._set_mode(pool, Mode.DRAINING)

    # What one can see

    def position(self, ticket_id: str) -> Position | None:
        place = self._places.get(ticket_id)
        if place is None:
            return None
        pool = self._pools[place.ticket.pool]
        return pool.position(ticket_id, self._slots.capacity(pool.name), self.now())

    def waiting(self, owner: str | None = None, limit: int = 500) -> Sequence[Position]:
        positions = self._all_positions() if owner is None else self._positions_of(owner)
        return list(itertools.islice(positions, limit))

    def running(self) -> Sequence[Running]:
        now = self.now()
        return [
            Running(
                ticket_id=grant.ticket.id,
                pool=grant.ticket.pool,
                model=grant.ticket.model,
                owner=grant.ticket.owner,
                level=grant.ticket.level,
                upstream=grant.upstream,
                running_for=now - grant.granted_at,
            )
            for grant, _ in self._running.values()
        ]

    def stats(self) -> Sequence[PoolStats]:
        now = self.now()
        running = Counter(grant.ticket.pool for grant, _ in self._running.values())
        everything = [pool.stats(self._slots.of(pool.name), running[pool.name], now) for pool in self._pools.values()]
        return [stats for stats in everything if stats.upstreams or stats.running or stats.waiting]

    def crowding(self, pool: str) -> float:
        known = self._pools.get(pool)
        waiting = len(known.line) if known else 0
        if not waiting and self._slots.has_free(pool):
            return -1.0
        return waiting / max(1, self._slots.capacity(pool))

    # Inside

    def _pool(self, name: str) -> Pool:
        pool = self._pools.get(name)
        if pool is None:
            settings = self._settings
            line = WaitingLine(aging_seconds=settings.aging_seconds, aged_share=settings.aged_share)
            pool = self._pools[name] = Pool(name, line)
        return pool

    def _set_mode(self, name: str, mode: Mode) -> None:
        pool = self._pool(name)
        pool.mode = mode
        self._tend(pool, self.now())

    def _all_positions(self) -> Iterator[Position]:
        now = self.now()
        for pool in self._pools.values():
            capacity = self._slots.capacity(pool.name)
            yield from (pool.position(ticket_id, capacity, now) for ticket_id in pool.in_order(now))

    def _positions_of(self, owner: str) -> Iterator[Position]:
        now = self.now()
        own: defaultdict[str, list[str]] = defaultdict(list)
        for place in self._places_of.get(owner, {}).values():
            own[place.ticket.pool].append(place.ticket.id)
        for name, ticket_ids in own.items():
            pool, capacity = self._pools[name], self._slots.capacity(name)
            yield from (pool.position(ticket_id, capacity, now) for ticket_id in pool.put_in_order(ticket_ids, now))

    def _admit(self, pool: Pool, ticket: Ticket, now: float) -> None:
        """Raises what ``submit`` documents. A retry was admitted before, and is few: as many as slots."""
        if ticket.id in self._places:
            raise Conflict("A request with this id waits already.")
        is_retry = ticket.attempt > 1
        if self._closed or (pool.mode is Mode.DRAINING and not is_retry):
            raise (
                self._draining() if self._closed else PoolDraining(retry_after=self._retry_after(pool, len(pool.line)))
            )
        if pool.is_out(ticket.model, self._settings.outage_grace, now):
            raise self._unavailable(pool)
        if is_retry or self._goes_at_once(pool, ticket):
            return
        own = len(self._places_of.get(ticket.owner, ()))
        if own >= self._settings.max_waiting_per_principal:
            message, hint = f"{own} of your requests wait already: that is the limit.", "Let some of them finish."
            raise LimitExceeded(message, hint=hint, retry_after=self._retry_after(pool, own))
        if len(self._places) >= self._settings.max_waiting:
            message, hint = f"{len(self._places)} requests wait already: that is the limit.", "Try again later."
            raise QueueFull(message, hint=hint, retry_after=self._retry_after(pool, len(pool.line)))

    def _goes_at_once(self, pool: Pool, ticket: Ticket) -> bool:
        """A slot that fits is free only while nobody who is looked at fits it."""
        return pool.mode is not Mode.PAUSED and len(pool.line) < LOOK_AHEAD and self._slots.fits(ticket)

    def _retry_after(self, pool: Pool, depth: int) -> float:
        return pool.figures.retry_after(depth, self._slots.capacity(pool.name), self._chance())

    def _draining(self) -> Draining:
        return Draining(hint="Try again shortly.", retry_after=spread(DRAINING_RETRY, self._chance()))

    def _unavailable(self, pool: Pool) -> UpstreamUnavailable:
        return UpstreamUnavailable(
            f"No upstream of the pool {pool.name} that has this model is usable at the moment.",
            hint="Try again later; the operator should look whether they run.",
            retry_after=spread(self._settings.outage_grace, self._chance()),
        )

    def _end(self, place: MemoryPlace, error: LLMGateError) -> None:
        self.forget(place.ticket)
        place.end(error)

    # The heart: bring everything to where this moment wants it

    def _tend_all(self, now: float) -> None:
        self._slots.wake(now)
        self._expire(now)
        for pool in self._pools.values():
            self._tend(pool, now)

    def _tend(self, pool: Pool, now: float) -> None:
        self._promote(pool, now)
        self._watch_outage(pool, now)
        if pool.mode is not Mode.PAUSED:
            self._grant(pool, now)
        if not self._places and self._slots.next_due() is None:
            return  # nothing that time could change
        due = self._next_due()
        if due < self._alarm_at and self._alarm is not None and not self._alarm.done():
            self._alarm.set_result(None)

    def _expire(self, now: float) -> None:
        while (top := self._deadlines.top()) and top[0] <= now:
            place = top[1]
            waited = now - place.ticket.submitted_at
            self._end(place, QueueTimeout(f"The request waited {waited:.0f} s for its turn; that is the limit."))

    def _promote(self, pool: Pool, now: float) -> None:
        for promotion in pool.line.age(now):
            pool.figures.promotions += 1
            self._emit(TicketPromoted(promotion.ticket.id, pool.name, promotion.came_from, promotion.to))

    def _watch_outage(self, pool: Pool, now: float) -> None:
        if self._slots.has_usable(pool.name):
            pool.down_since = None
        elif pool.down_since is None:
            pool.down_since = now
        pool.note_missing(self._slots.can_run, now)
        grace = self._settings.outage_grace
        if any(began + grace <= now for began in pool.outages()):
            for place in [self._places[ticket_id] for ticket_id in pool.line]:
                if pool.is_out(place.ticket.model, grace, now):
                    self._end(place, self._unavailable(pool))

    def _grant(self, pool: Pool, now: float) -> None:
        while self._slots.has_free(pool.name) and (turn := pool.line.take(self._slots.fits)):
            ticket = turn.ticket
            upstream = self._slots.take(ticket)
            grant = Grant(f"{ticket.id}.{next(self._numbers)}", ticket, upstream, granted_at=now)
            self._running[grant.id] = (grant, turn)
            place = self._places[ticket.id]
            self.forget(ticket)
            pool.figures.note_grant(turn, now)
            place.end(grant)

    def _next_due(self) -> float:
        """When time will change something next."""
        deadline = self._deadlines.top()
        dues = [deadline[0] if deadline else None, self._slots.next_due()]
        for pool in self._pools.values():
            dues.append(pool.line.next_due())
            dues += [began + self._settings.outage_grace for began in pool.outages()]
        return min((due for due in dues if due is not None), default=math.inf)
