"""Those who wait at this daemon, and what they run: the authority on which request exists.

Everything that changes the line is synchronous and runs to its end before anyone else looks: no locks.
Where the room grants its own slots, a free one is handed out inside the very call that makes it possible
(``enter``, ``release``, ``update_upstream``); ``run`` acts only when time itself changes something: aging,
deadlines, the end of an outage grace, the end of a slot's rest.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from llmgate.config import QueueSettings
from llmgate.daemon.events import Event, TicketPromoted
from llmgate.daemon.queue.admission import Admission, Crowd
from llmgate.daemon.queue.flows import LazyHeap, Waiting
from llmgate.daemon.queue.place import RoomPlace, Wait, wait_until
from llmgate.daemon.queue.policy import LOOK_AHEAD, Turn, WaitingLine
from llmgate.daemon.queue.pool import Mode, Pool
from llmgate.daemon.queue.report import PoolReport
from llmgate.daemon.queue.slots import SlotBook, UpstreamState
from llmgate.daemon.queue.ticket import Grant, Position, Running, Ticket, UpstreamSlots
from llmgate.daemon.queue.wanted import ALL, Wanted
from llmgate.errors import CancelledByAdmin, Conflict, LLMGateError, QueueTimeout


class WaitingRoom:
    """All pools of one daemon. ``clock`` gives seconds and never goes back; ``emit`` hears of promotions.

    ``wait`` waits on that clock (tests bring both); ``chance`` gives random numbers of [0, 1); ``left`` hears of
    every place that is given up without a grant. Where somebody else hands out the slots (``share``, ``hand_over``),
    ``about_to_go`` tells how many of those who wait in a pool will have their turn at once.
    """

    def __init__(
        self,
        settings: QueueSettings,
        *,
        emit: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
        wait: Wait = wait_until,
        chance: Callable[[], float] = random.random,
        left: Callable[[RoomPlace], None] = lambda _: None,
        abandoned: Callable[[Grant], None] = lambda _: None,
        about_to_go: Callable[[str], int] = lambda _: 0,
    ) -> None:
        self._settings = settings
        self._emit = emit
        self._clock = clock
        self.wait = wait
        self._left = left
        self._abandoned = abandoned
        self._about_to_go = about_to_go
        self._pools: dict[str, Pool] = {}
        self._slots = SlotBook()
        self._admission = Admission(settings, self._slots.capacity, chance)
        self._places: dict[str, RoomPlace] = {}
        self._deadlines: LazyHeap[float, RoomPlace] = LazyHeap()
        self._places_of: defaultdict[str, dict[str, RoomPlace]] = defaultdict(dict)
        self._running: dict[str, tuple[Grant, Turn]] = {}
        self._numbers = itertools.count(1)
        self._closed = False
        self._alarm: asyncio.Future[None] | None = None
        self._alarm_at = -math.inf

    # The daemon's life

    def now(self) -> float:
        return self._clock()

    async def run(self) -> None:
        """Do what time brings, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._alarm_at = -math.inf  # awake: no alarm needed
            now = self.now()
            self._tend_all(now)
            self._alarm_at = self._next_due()
            self._alarm = loop.create_future()
            await self.wait(self._alarm, None if math.isinf(self._alarm_at) else max(0.0, self._alarm_at - now))

    def close(self) -> None:
        """End every wait with Draining, and let nobody in any more."""
        self._closed = True
        for place in list(self._places.values()):
            self._end(place, self._admission.draining())

    def apply(self, settings: QueueSettings) -> None:
        """From now on these settings hold, also for who waits."""
        self._settings = settings
        self._admission.apply(settings)
        for pool in self._pools.values():
            pool.line.reshape(aging_seconds=settings.aging_seconds, aged_share=settings.aged_share)
        self._tend_all(self.now())

    # Upstreams

    def update_upstream(self, upstream: UpstreamSlots) -> None:
        """Learn what an upstream can do now."""
        self._pool(upstream.pool)
        self._slots.update(upstream)
        self._tend_all(self.now())

    def remove_upstream(self, name: str) -> None:
        """Grant nothing on it any more."""
        self._slots.remove(name)
        self._tend_all(self.now())

    def share(self, shares: Mapping[str, int] | None) -> None:
        """From now on hand out only so many slots of each upstream (others: none); None: all of them."""
        self._slots.share(shares)
        self._tend_all(self.now())

    # One request

    def enter(self, ticket: Ticket) -> RoomPlace:
        """Put a ticket in line. Raises what ``QueueManagerInterface.submit`` documents."""
        now = self.now()
        pool = self._pool(ticket.pool)
        self._admit(pool, ticket, now)
        place = RoomPlace(self, ticket, next(self._numbers))
        self._places[ticket.id] = place
        self._places_of[ticket.owner][ticket.id] = place
        self._deadlines.push(ticket.submitted_at, place)
        pool.enter(ticket, now)
        self._tend(pool, now)
        return place

    def place(self, ticket_id: str) -> RoomPlace | None:
        """The place of a ticket that waits here."""
        return self._places.get(ticket_id)

    def places(self) -> Sequence[RoomPlace]:
        """All of them, those who came first first."""
        return list(self._places.values())

    def entry(self, ticket_id: str) -> Waiting:
        """Where a waiting ticket stands: to be read, not to be changed."""
        return self._pools[self._places[ticket_id].ticket.pool].line.standing(ticket_id)

    def hand_over(self, ticket_id: str, grant_id: str, upstream: str, *, epoch: int, seq: int) -> Grant | None:
        """Somebody else has decided that it is this ticket's turn. None when it does not wait here, or not as
        ``seq`` any more: whoever gets a grant has won it against everything else that can end a wait."""
        place = self._places.get(ticket_id)
        if place is None or place.seq != seq or not self._slots.occupy(upstream):
            return None
        pool, now = self._pools[place.ticket.pool], self.now()
        turn = pool.line.withdraw(ticket_id)
        if turn is None:
            return None
        return self._start(pool, turn, Grant(grant_id, turn.ticket, upstream, granted_at=now, epoch=epoch, seq=seq))

    def release(self, grant: Grant, tokens: float | None, *, cancelled: bool = False) -> bool:
        """Give a slot back; False when that was done before."""
        _, turn = self._running.pop(grant.id, (None, None))
        if turn is None:
            return False
        pool, now = self._pools[turn.ticket.pool], self.now()
        if tokens is not None:
            pool.line.correct(turn, tokens)
        if not cancelled and tokens != 0:  # what was cut short or refused does not tell how long one takes
            pool.figures.note_service(now - grant.granted_at)
        rest = self._settings.settle_ms / 1000 if cancelled else 0.0
        self._slots.give_back(grant.upstream, now + rest if rest else None)
        self._tend_all(now)
        return True

    def abandon(self, grant: Grant) -> None:
        """Nobody has taken a grant, and nobody will."""
        if self.release(grant, 0.0):
            self._abandoned(grant)

    def give_up(self, place: RoomPlace) -> None:
        """Somebody does not wait any more."""
        self._forget(place.ticket)
        self._left(place)

    def _forget(self, ticket: Ticket) -> None:
        """Take a waiting ticket out of everything here."""
        self._pools[ticket.pool].leave(ticket)
        del self._places[ticket.id]
        own = self._places_of[ticket.owner]
        del own[ticket.id]
        if not own:
            del self._places_of[ticket.owner]

    # Administration

    def cancel(self, ticket_id: str) -> bool:
        """Take a waiting request out. False when it does not wait here."""
        place = self._places.get(ticket_id)
        if place is not None:
            self._end(place, CancelledByAdmin())
            self._pools[place.ticket.pool].look_anew()
        return place is not None

    def set_level(self, ticket_id: str, level: int) -> bool:
        """Move a waiting request to another level. False when it does not wait here."""
        place = self._places.get(ticket_id)
        if place is None:
            return False
        pool, now = self._pools[place.ticket.pool], self.now()
        pool.set_level(ticket_id, level, now)
        self._tend(pool, now)
        return True

    def set_mode(self, name: str, mode: Mode) -> None:
        """What an administrator wants a pool to do."""
        pool = self._pool(name)
        pool.mode = mode
        self._tend(pool, self.now())

    def mode(self, name: str) -> Mode:
        """What a pool does."""
        return self._pool(name).mode

    # What one can see

    def position(self, ticket_id: str) -> Position | None:
        """Where one request stands among those who wait here."""
        place = self._places.get(ticket_id)
        if place is None:
            return None
        pool = self._pools[place.ticket.pool]
        return pool.position(ticket_id, self._slots.capacity(pool.name), self.now())

    def waiting(self, wanted: Wanted = ALL, limit: int = 500) -> Sequence[Position]:
        """Who waits here of those, in the order of service."""
        return list(itertools.islice(self._positions(wanted), limit))

    def count(self, wanted: Wanted = ALL) -> int:
        """How many of those wait here."""
        if wanted.owners is None:
            return sum(pool.count(wanted) for pool in self._pools.values())
        return sum(wanted.takes(place.ticket) for place in self._places_of_owners(wanted.owners))

    def grants(self) -> Sequence[tuple[Grant, Turn]]:
        """What runs here."""
        return list(self._running.values())

    def running(self, wanted: Wanted = ALL, limit: int | None = None) -> Sequence[Running]:
        """Who holds a slot here of those."""
        now = self.now()
        found = (Running.of(grant, now) for grant, _ in self._running.values() if wanted.takes(grant.ticket))
        return list(itertools.islice(found, limit))

    def reports(self) -> Sequence[PoolReport]:
        """Every pool that has upstreams, or requests."""
        now = self.now()
        running: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for grant, _ in self._running.values():
            running[grant.ticket.pool][grant.upstream] += 1
        everything = [
            pool.report(self._slots.of(pool.name), dict(running[pool.name]), now) for pool in self._pools.values()
        ]
        return [report for report in everything if report.slots or report.running or report.waiting]

    def upstreams(self, pool: str) -> Sequence[UpstreamState]:
        """The upstreams of a pool and what of them is used here: to be read, not to be changed."""
        return self._slots.of(pool)

    def pools(self) -> Sequence[str]:
        """The names of all pools."""
        return list(self._pools)

    def capacity(self, pool: str) -> int:
        """Slots of a pool's usable upstreams."""
        return self._slots.capacity(pool)

    def crowding(self, pool: str) -> float:
        """Waiting requests per slot; below zero while a slot can be handed out here."""
        known = self._pools.get(pool)
        waiting = len(known.line) if known else 0
        if not waiting and self._slots.has_free(pool):
            return -1.0
        return waiting / max(1, self._slots.capacity(pool))

    # Inside

    def _pool(self, name: str) -> Pool:
        pool = self._pools.get(name)
        if pool is None:
            line = WaitingLine(aging_seconds=self._settings.aging_seconds, aged_share=self._settings.aged_share)
            pool = self._pools[name] = Pool(name, line)
        return pool

    def _positions(self, wanted: Wanted) -> Iterator[Position]:
        """Whose owners are named, they are found without a look at all the others."""
        now = self.now()
        own: defaultdict[str, list[str]] = defaultdict(list)
        for place in self._places_of_owners(wanted.owners or ()):
            own[place.ticket.pool].append(place.ticket.id)
        for name, pool in self._pools.items():
            if wanted.owners is None or name in own:
                yield from pool.positions(wanted, self._slots.capacity(name), now, own.get(name))

    def _places_of_owners(self, owners: Iterable[str]) -> Iterator[RoomPlace]:
        return itertools.chain.from_iterable(self._places_of.get(owner, {}).values() for owner in sorted(owners))

    def _admit(self, pool: Pool, ticket: Ticket, now: float) -> None:
        """Raises what ``enter`` documents. A retry was admitted before, and is few: as many as slots."""
        if ticket.id in self._places:
            raise Conflict("A request with this id waits already.")
        if self._closed:
            raise self._admission.draining()
        is_retry = ticket.attempt > 1
        self._admission.check_open(pool, ticket.model, now, is_retry=is_retry)
        going = min(len(pool.line), self._about_to_go(pool.name))
        if is_retry or self._goes_at_once(pool, ticket) or self._about_to_go(pool.name) > len(pool.line):
            return
        own = len(self._places_of.get(ticket.owner, ()))
        self._admission.check_room(pool, Crowd(len(self._places) - going, max(0, own - going)), ticket.max_waiting)

    def _goes_at_once(self, pool: Pool, ticket: Ticket) -> bool:
        """A slot that fits is free only while nobody who is looked at fits it."""
        return pool.mode is not Mode.PAUSED and len(pool.line) < LOOK_AHEAD and self._slots.fits(ticket)

    def _end(self, place: RoomPlace, error: LLMGateError) -> None:
        self.give_up(place)
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
        while (place := self._deadlines.first()) and self._deadline_of(place) <= now:
            waited = now - place.ticket.submitted_at
            self._end(place, QueueTimeout(f"The request waited {waited:.0f} s for its turn; that is the limit."))

    def _deadline_of(self, place: RoomPlace) -> float:
        return place.ticket.submitted_at + self._settings.deadline_seconds

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
                    self._end(place, self._admission.unavailable(pool))

    def _grant(self, pool: Pool, now: float) -> None:
        while self._slots.has_free(pool.name) and (turn := pool.line.take(self._slots.fits)):
            upstream = self._slots.take(turn.ticket)
            self._start(pool, turn, Grant(f"{turn.ticket.id}.{next(self._numbers)}", turn.ticket, upstream, now))

    def _start(self, pool: Pool, turn: Turn, grant: Grant) -> Grant:
        self._running[grant.id] = (grant, turn)
        place = self._places[turn.ticket.id]
        self._forget(turn.ticket)
        pool.figures.note_grant(turn, grant.granted_at)
        place.end(grant)
        return grant

    def _next_due(self) -> float:
        """When time will change something next."""
        oldest = self._deadlines.first()
        dues = [self._deadline_of(oldest) if oldest else None, self._slots.next_due()]
        for pool in self._pools.values():
            dues.append(pool.line.next_due())
            dues += [began + self._settings.outage_grace for began in pool.outages()]
        return min((due for due in dues if due is not None), default=math.inf)
