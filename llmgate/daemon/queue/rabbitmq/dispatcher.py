"""Dispatcher: matches the tickets of one pool to free slots, in the one daemon whose connection holds the lock.

A standby waits until the dispatcher falls silent, takes the lock, learns from all daemons what runs (the census),
fetches the tickets, and only then decides. What it grants goes through the connection that holds the lock: a
dispatcher that has lost it can grant nothing. Only to the daemon that it is itself part of it grants directly, and
only while the broker has just shown that the lock is still there (``OWN_SECONDS``).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import structlog
from aiormq.abc import AbstractChannel, DeliveredMessage

from llmgate.config import QueueSettings
from llmgate.daemon.queue.rabbitmq.connection import CALL_SECONDS
from llmgate.daemon.queue.rabbitmq.exchanges import CONTROL, DAEMONS
from llmgate.daemon.queue.rabbitmq.ledger import Ledger
from llmgate.daemon.queue.rabbitmq.link import Link
from llmgate.daemon.queue.rabbitmq.members import judge, may_free
from llmgate.daemon.queue.rabbitmq.publisher import Publisher
from llmgate.daemon.queue.rabbitmq.queues import LINES, queue_of
from llmgate.daemon.queue.rabbitmq.wire import Item, TicketMessage
from llmgate.daemon.queue.slots import SlotBook
from llmgate.daemon.queue.ticket import Position, UpstreamSlots
from llmgate.daemon.queue.wanted import Wanted

PING_SECONDS = 0.2
CENSUS_PING_SECONDS = 0.1
SILENCE_SECONDS = 0.45
"""A dispatcher that has not pinged for so long may be gone: whoever gets its lock is the next one."""
TRY_SECONDS = 0.25
"""Pause between two attempts to get the lock."""
CENSUS_SECONDS = 1.0
"""Longest wait for what the other daemons have to tell."""
OUTAGE_SECONDS = 5.0
"""After the broker itself was away all daemons have so long to come back."""
SWEEP_SECONDS = 0.1
TICK_SECONDS = 0.025
"""How late a ticket may be that has arrived after the last look at what is due next."""
WATCH_SECONDS = 5.0
STEP_DOWN_SECONDS = 2.0
"""A dispatcher that reaches no upstream of its pool for so long, while another daemon does, gives the lock up."""
STUCK_SECONDS = 0.5
STALL_SECONDS = 0.4
"""If we ourselves stood still for longer than this, the time did not pass for the others' answers either."""
OWN_SECONDS = 0.4
"""What the broker has confirmed shows for so long that nobody else dispatches: less than SILENCE_SECONDS, which pass
before anybody tries to. Who has been frozen meanwhile finds that the proof is too old."""
LEASE_SECONDS = 3.0
"""The dispatcher keeps its free slots in an outage of the broker only if it was at work so shortly before."""


@dataclass(slots=True)
class Head:
    """Who dispatches a pool, as its pings say. ``heard_at`` is on the cluster's clock."""

    boot: str = ""
    epoch: int = 0
    heard_at: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A daemon that should be there, and by upstream the slots that it was last said to use."""

    boot: str
    heard_at: float
    used: Mapping[str, int]


class Dispatcher:
    """One pool's, on one link. ``head`` is kept by the daemon's inbox; ``neighbours`` tells who should be there;
    ``upstreams`` what this daemon knows of the pool's, ``others_serve`` whether another daemon reaches one of them,
    ``prepare`` hands over what is known of the pool, ``tell_own`` tells the owner of this daemon's tickets something.
    ``since_outage`` tells for how many seconds the broker has been there for all of them again, and
    ``knows_others`` that this daemon had met the others before."""

    def __init__(
        self,
        pool: str,
        boot: str,
        settings: QueueSettings,
        link: Link,
        head: Head,
        *,
        clock: Callable[[], float],
        neighbours: Callable[[], Sequence[Neighbour]],
        upstreams: Callable[[], Sequence[UpstreamSlots]],
        prepare: Callable[[Ledger], None],
        tell_own: Callable[[Item], None],
        others_serve: Callable[[], bool],
        since_outage: Callable[[], float],
        knows_others: bool,
    ) -> None:
        self.pool = pool
        self.ledger: Ledger | None = None
        self._boot = boot
        self._settings = settings
        self._link = link
        self._head = head
        self._clock = clock
        self._neighbours = neighbours
        self._upstreams = upstreams
        self._prepare = prepare
        self._tell_own = tell_own
        self._own: deque[Item] = deque()
        self._others_serve = others_serve
        self._since_outage = since_outage
        self._knows_others = knows_others
        self._idle_since: float | None = None
        self._channel: AbstractChannel
        self._publisher: Publisher
        self._replies: deque[tuple[int, bool]] = deque()
        self._to_reply = asyncio.Event()
        self._swept_at = 0.0
        self._log = structlog.get_logger("llmgate.dispatcher").bind(pool=pool)

    # -- becoming it -------------------------------------------------------------------------

    async def run(self) -> None:
        """Stand by, then dispatch, as long as the link lives."""
        while not await self._become():
            await asyncio.sleep(TRY_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load, guards nothing
        ledger = await self._take_over()
        await self._census(ledger)
        await self._prime()
        ledger.granting = True
        self._log.info("dispatching", epoch=ledger.epoch, held=ledger.held, daemons=len(ledger.members))
        await self._dispatch(ledger)

    async def _become(self) -> bool:
        while (rest := self._head.heard_at + self._patience() - self._clock()) > 0:
            await asyncio.sleep(min(rest, TRY_SECONDS))
        return await self._link.queues.lock(self._link.dispatch, self.pool)

    def _patience(self) -> float:
        """How long the dispatcher may be silent; whoever reaches an upstream goes first."""
        reaches_one = any(upstream.usable for upstream in self._upstreams())
        return SILENCE_SECONDS if reaches_one or not self._others_serve() else SILENCE_SECONDS + STEP_DOWN_SECONDS

    async def _take_over(self) -> Ledger:
        """Open the books: with nothing granted, but with everything that was said to run."""
        self._channel = await self._link.dispatch.channel()
        await self._channel.basic_qos(prefetch_count=self._link.queues.window, timeout=CALL_SECONDS)
        # No await until the ledger is known: what changes from then on is written into it.
        slots = SlotBook()
        for upstream in self._upstreams():
            slots.update(upstream)
        ledger = Ledger(self.pool, self._head.epoch + 1, self._settings, self, slots)
        self._prepare(ledger)
        now = self._clock()
        for neighbour in self._neighbours():
            ledger.suspect(neighbour.boot, dict(neighbour.used), neighbour.heard_at)
        ledger.meet(self._boot, now)
        self._publisher = self._link.start_publisher(self._channel, self._returned)
        self.ledger = ledger
        self._publisher.tell(CONTROL, "", ["census", self.pool, ledger.epoch])
        self._link.start(self._reply())
        for line in LINES:
            await self._channel.basic_consume(
                queue_of(self.pool, line), partial(self._delivered, line), timeout=CALL_SECONDS
            )
        return ledger

    async def _census(self, ledger: Ledger) -> None:
        """Wait until every daemon has told what runs there, or is known to be gone."""
        began = self._clock()
        patience = max(CENSUS_SECONDS, OUTAGE_SECONDS - self._since_outage())
        while self._clock() - began < patience:
            self._ping(ledger)
            await asyncio.sleep(CENSUS_PING_SECONDS)
            self._sweep(ledger, self._clock())
            if self._knows_others and all(member.counted or member.is_gone for member in ledger.members.values()):
                return

    async def _prime(self) -> None:
        """A queue hands out its heads before it answers on the same channel: then the first grant is a fair one."""
        for line in LINES:
            await self._link.queues.depth(self._channel, self.pool, line)

    # -- being it ----------------------------------------------------------------------------

    async def _dispatch(self, ledger: Ledger) -> None:
        self._link.start(self._watch_lines())
        next_ping = next_sweep = 0.0
        while True:
            now = self._clock()
            if now >= next_ping:
                self._ping(ledger)
                next_ping = now + PING_SECONDS
            if now >= next_sweep:
                self._sweep(ledger, now)
                self._ask_for_audits(ledger)
                self._mind_the_upstreams(ledger, now)
                next_sweep = now + SWEEP_SECONDS
            self.step()
            due = ledger.next_due()
            tick = SWEEP_SECONDS if due is None else min(TICK_SECONDS, max(0.001, due - now))
            await asyncio.sleep(tick)

    def _mind_the_upstreams(self, ledger: Ledger, now: float) -> None:
        """Who reaches no upstream must not hold up those who do."""
        if ledger.slots.has_usable(self.pool) or not self._others_serve():
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since > STEP_DOWN_SECONDS:
            self._link.lose(f"no upstream of the pool {self.pool} is usable here, but others reach one")

    async def _watch_lines(self) -> None:
        """A queue that somebody deletes takes its consumer along without a word on this connection."""
        channel = await self._link.dispatch.channel()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            for line in LINES:
                if not (await self._link.queues.depth(channel, self.pool, line)).consumers:
                    self._link.lose(f"the queue {queue_of(self.pool, line)} is not consumed any more")

    def step(self) -> None:
        """Bring everything to where this moment wants it."""
        if self.ledger is not None:
            now = self._clock()
            self.ledger.age(now)
            self.ledger.grant(now)

    def _ping(self, ledger: Ledger) -> None:
        now = self._clock()
        for member in list(ledger.members.values()):
            if not member.is_gone:
                member.pinged += 1
                self.tell(member.boot, ["ping", self.pool, ledger.epoch, member.pinged, round(now, 4)])

    def _sweep(self, ledger: Ledger, now: float) -> None:
        """Judge every daemon, and take back what is not answered."""
        stalled = now - self._swept_at - SWEEP_SECONDS if self._swept_at else 0.0
        self._swept_at = now
        if stalled > STALL_SECONDS:
            ledger.forgive(stalled)
        trust = self._since_outage() > OUTAGE_SECONDS
        members = list(ledger.members.values())
        for member in members:
            presence = judge(member, now, trust_returns=trust)
            if presence is not member.presence:
                self._log.info("daemon_" + presence.name.lower(), daemon=member.boot, slots=ledger.slots_of(member))
                ledger.settle(member, presence, now)
        only_suspects = ledger.granting and ledger.only_suspects()
        for member in members:
            if ledger.slots_of(member) and may_free(member, now, only_suspects=only_suspects):
                ledger.free(member, now)
            if member.is_gone and not ledger.slots_of(member) and not member.announced:
                member.announced = True  # nobody needs to wait for it in a census any more
                self._publisher.tell(CONTROL, "", ["dead", member.boot])
        if self._publisher.unconfirmed_for() < STUCK_SECONDS:  # else it is the broker who keeps the answers
            ledger.take_back(now)
        ledger.note_over_limit(now)
        ledger.forget_gone(now)

    # -- what it is told ---------------------------------------------------------------------

    async def _delivered(self, line: int, message: DeliveredMessage) -> None:
        tag = message.delivery_tag
        if self.ledger is None or tag is None:
            return
        try:
            ticket = TicketMessage.decode(message.body)
        except (ValueError, LookupError, TypeError):
            self._log.warning("unreadable_ticket", line=line)
            self.acknowledge(tag)
            return
        self.ledger.arrive(ticket, tag, line, self._clock())
        self.step()

    def heard(self, boot: str, item: Sequence[Any]) -> None:
        """An item for the dispatcher: its name and what follows the pool's name."""
        ledger, now = self.ledger, self._clock()
        if ledger is None:
            return
        name, rest = item[0], item[2:]
        if name == "accepted":
            ledger.accepted(boot, rest[0], rest[1], now)
        elif name == "refused":
            ledger.refused(rest[0], rest[1])
        elif name == "released":
            ledger.released(rest[0], rest[1], now, cancelled=bool(rest[2]))
        elif name == "left":
            ledger.leave(rest[0], rest[1])
        elif name == "pong" and rest[0] == ledger.epoch:
            ledger.pong(boot, rest[1], [(one[0], one[1]) for one in rest[2]], now)
            ledger.note_clock(boot, now - float(rest[3]))
        elif name == "outdated":
            ledger.epoch = max(ledger.epoch, int(rest[0]) + 1)
        elif name == "waiting" and ledger.granting:
            self._audit(ledger, boot, rest[0])

    def apply(self, settings: QueueSettings) -> None:
        """From now on these settings hold; the times of the lines are those of the link."""
        self._settings = settings
        if self.ledger is not None:
            self.ledger.apply(settings)
            self.step()

    def alive(self, boot: str) -> None:
        """A daemon has been heard of: if it was taken for gone it is asked again."""
        if self.ledger is not None:
            self.ledger.revive(boot, self._clock())

    def update_upstream(self, upstream: UpstreamSlots) -> None:
        if self.ledger is not None:
            if upstream.pool == self.pool:
                self.ledger.slots.update(upstream)
            else:
                self.ledger.slots.remove(upstream.name)
            self.step()

    def remove_upstream(self, name: str) -> None:
        if self.ledger is not None:
            self.ledger.slots.remove(name)

    def _ask_for_audits(self, ledger: Ledger) -> None:
        for member in ledger.unaudited():
            member.audited = True
            self.tell(member.boot, ["audit", self.pool])

    def _audit(self, ledger: Ledger, boot: str, waiting: Sequence[Sequence[Any]]) -> None:
        """What an owner has waiting, and neither the broker nor we have, must be published again."""
        told = ((str(one[0]), int(one[1]), int(one[2]), bool(one[3])) for one in waiting)
        if missing := ledger.missing(told, self._link.queues.window):
            self.tell(boot, ["missing", self.pool, missing])

    # -- effects -----------------------------------------------------------------------------

    def acknowledge(self, tag: int) -> None:
        self._replies.append((tag, True))
        self._to_reply.set()

    def give_back(self, tag: int) -> None:
        self._replies.append((tag, False))
        self._to_reply.set()

    def tell(self, boot: str, item: Item) -> None:
        if boot != self._boot or item[0] != "grant" or self._publisher.since_taken() > OWN_SECONDS:
            self._publisher.tell(DAEMONS, boot, item)
            return
        if not self._own:
            asyncio.get_running_loop().call_soon(self._tell_all_own)  # the ledger is at work
        self._own.append(item)

    def _tell_all_own(self) -> None:
        while self._own and not self._link.lost.done():
            self._tell_own(self._own.popleft())

    async def _reply(self) -> None:
        """Tell the broker what to forget and what to take back."""
        while True:
            await self._to_reply.wait()
            self._to_reply.clear()
            while self._replies:
                tag, done = self._replies.popleft()
                if done:
                    await self._channel.basic_ack(tag, wait=False)
                else:
                    await self._channel.basic_nack(tag, requeue=True, wait=False)

    def _returned(self, boot: str) -> None:
        if self.ledger is not None:
            self.ledger.ping_returned(boot, self._clock())

    # -- what others want to know ------------------------------------------------------------

    @property
    def dispatches(self) -> bool:
        return self.ledger is not None and self.ledger.granting

    def waiting(self, wanted: Wanted, limit: int) -> list[Position]:
        """Who waits in the pool of those, in the order of service, as far as the tickets are here."""
        if self.ledger is None:
            return []
        slots = self.ledger.slots.capacity(self.pool)
        return list(islice(self.ledger.pool.positions(wanted, slots, self._clock()), limit))

    def position(self, ticket_id: str) -> Position | None:
        """Where a ticket stands that is here."""
        if self.ledger is None or ticket_id not in self.ledger.pool.line:
            return None
        return self.ledger.pool.position(ticket_id, self.ledger.slots.capacity(self.pool), self._clock())

    def used_by_others(self, now: float) -> dict[str, int] | None:
        """By upstream, the slots that are not free and not this daemon's; None when it did not dispatch lately."""
        if not self.dispatches or self.ledger is None or self._publisher.since_taken() > LEASE_SECONDS:
            return None
        return self.ledger.used_by_others(self._boot)
