"""What the dispatcher of one pool knows, and what it decides. No clock, no I/O: effects are injected.

It holds tickets unacknowledged, so that the broker keeps them if it dies. It offers a slot to the owner of the ticket
whose turn it is; the ticket is acknowledged when the owner has accepted. The owner's word counts: who is refused
(the client is gone, the offer was late) did not start, and who runs is what the owners say in their pongs.
"""

from __future__ import annotations

import itertools
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Sequence

from llmgate.config import QueueSettings
from llmgate.daemon.queue.policy import AGED_LANE, LAST_AGING_LEVEL, Turn, WaitingLine
from llmgate.daemon.queue.pool import Mode, Pool
from llmgate.daemon.queue.rabbitmq.aging import AgingManager, Held
from llmgate.daemon.queue.rabbitmq.members import Member, Presence
from llmgate.daemon.queue.rabbitmq.offers import Effects, Offer
from llmgate.daemon.queue.rabbitmq.wire import TicketMessage
from llmgate.daemon.queue.slots import SlotBook

ANSWER_SECONDS = 1.5
"""An offer that is not answered for so long is taken back; the owner refuses it when it comes half as late."""
APART_SECONDS = 0.5
FORGET_SECONDS = 120.0
TOMBS = 50_000
"""Tickets that left before they arrived here, remembered until they do."""


class Ledger:
    """One pool, in one epoch. All times are seconds on the cluster's clock."""

    def __init__(self, pool: str, epoch: int, settings: QueueSettings, effects: Effects, slots: SlotBook) -> None:
        self.pool = Pool(pool, WaitingLine(aging_seconds=settings.aging_seconds, aged_share=settings.aged_share))
        self.epoch = epoch
        self.slots = slots
        self.members: dict[str, Member] = {}
        self.offers: dict[str, Offer] = {}
        self.granting = False
        """Not before it is known what runs."""
        self.counts: Counter[str] = Counter()
        self.over_limit: dict[str, float] = defaultdict(float)
        """Seconds by pool, see PoolStats; whoever makes the ledger may put one that lives longer in its place."""
        self._most: dict[str, int] = {}
        self._looked_at: float | None = None
        self._settings = settings
        self._effects = effects
        self._aging = AgingManager(settings)
        self._held: dict[str, Held] = {}
        self._parked: dict[str, dict[str, Held]] = {}
        self._tombs: OrderedDict[str, int] = OrderedDict()
        self._numbers = itertools.count(1)

    def apply(self, settings: QueueSettings) -> None:
        """From now on these settings hold."""
        self._settings = settings
        self.pool.line.reshape(aging_seconds=settings.aging_seconds, aged_share=settings.aged_share)

    # -- tickets -----------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """Tickets in its hands."""
        return len(self._held)

    def arrive(self, message: TicketMessage, tag: int, line: int, now: float) -> None:
        """The broker has handed a ticket out, from this line."""
        ticket_id, seq = message.ticket.id, message.seq
        known = self._held.get(ticket_id)
        if self._tombs.get(ticket_id, -1) >= seq or (known is not None and known.message.version >= message.version):
            self.counts["duplicates"] += known is not None
            self._effects.acknowledge(tag)
            return
        member = self.meet(message.daemon, now)
        if member.is_gone:
            self.counts["lost_daemon"] += 1
            self._effects.acknowledge(tag)
            return
        if known is not None:
            self._drop(known)
        message = message.later(member.clock_ahead)
        since = self._aging.arrival(message, line, now)
        level = LAST_AGING_LEVEL if line == AGED_LANE else line
        held = Held(message, tag, line, level, line == AGED_LANE, since, now)
        self._held[ticket_id] = held
        if member.presence is Presence.PRESENT:
            self._enter(held)
        else:
            self._parked.setdefault(member.boot, {})[ticket_id] = held

    def leave(self, ticket_id: str, seq: int) -> None:
        """The owner says that it does not wait any more."""
        held = self._held.get(ticket_id)
        if held is not None and held.message.seq <= seq and not self._is_offered(held):
            self._drop(held)
            return
        if held is None:
            self._tombs[ticket_id] = seq
            if len(self._tombs) > TOMBS:
                self._tombs.popitem(last=False)

    def age(self, now: float) -> None:
        """Give back whose time is up, so that the broker moves it on, and whom we have held for very long."""
        for entry in self.pool.line.take_due(now):
            self._return(self._held[entry.ticket.id])
        for held in self._aging.held_too_long(now):
            if self.pool.line.remove(held.id):
                self._return(held)

    def next_due(self) -> float | None:
        """When ``age`` has something to do."""
        dues = (self.pool.line.next_due(), self._aging.next_hold(), self.slots.next_due())
        return min((due for due in dues if due is not None), default=None)

    def missing(self, waiting: Iterable[tuple[str, int, int, bool]], window: int) -> list[str]:
        """Which of an owner's waiting tickets (id, seq, line, lost for all that it knows) are not here. While a line's
        window is full the broker has more tickets of it than we can see."""
        unknown = [
            (ticket_id, line, is_lost)
            for ticket_id, seq, line, is_lost in waiting
            if (held := self._held.get(ticket_id)) is None or held.message.seq < seq
        ]
        in_line = Counter(held.line for held in self._held.values()) if unknown else Counter()
        return [ticket_id for ticket_id, line, is_lost in unknown if is_lost or in_line[line] < window]

    def _enter(self, held: Held) -> None:
        self.pool.enter_at(held.message.ticket, held.level, held.since, aged=held.aged, moved=held.message.seq > 0)
        self._aging.hold(held)

    def _return(self, held: Held) -> None:
        del self._held[held.id]
        self._aging.returned(held)
        self._effects.give_back(held.tag)

    def _drop(self, held: Held) -> None:
        self.pool.line.remove(held.id)
        self._parked.get(held.message.daemon, {}).pop(held.id, None)
        self._aging.let_go(held)
        del self._held[held.id]
        self._effects.acknowledge(held.tag)

    def _is_offered(self, held: Held) -> bool:
        return held.id not in self.pool.line and held.id not in self._parked.get(held.message.daemon, {})

    # -- slots -------------------------------------------------------------------------------

    def grant(self, now: float) -> None:
        """Offer every free slot to whose turn it is."""
        self.slots.wake(now)
        if not self.granting or self.pool.mode is Mode.PAUSED:
            return
        while self.slots.has_free(self.pool.name) and (turn := self.pool.line.take(self.slots.fits)):
            self._offer(turn, now)

    def _offer(self, turn: Turn, now: float) -> None:
        held = self._held[turn.ticket.id]
        member = self.members[held.message.daemon]
        upstream = self.slots.take(turn.ticket)
        offer_id = f"{held.id}.{self.epoch}.{next(self._numbers)}"
        offer = Offer(offer_id, member.boot, upstream, member.pinged, held, turn, now)
        self.offers[offer_id] = offer
        member.grants.add(offer_id)
        self.pool.figures.note_grant(turn, now)
        told = ["grant", self.pool.name, self.epoch, offer_id, held.id, held.message.seq, upstream, round(now, 4)]
        self._effects.tell(member.boot, told)

    def accepted(self, boot: str, offer_id: str, upstream: str, now: float) -> None:
        """The owner has started it: now it is its own, and the broker may forget the ticket."""
        offer = self.offers.get(offer_id)
        if offer is None:  # taken back too early: it runs all the same
            self._adopt(self.meet(boot, now), offer_id, upstream)
        elif not offer.accepted:
            offer.accepted = True
            self._forget_ticket(offer)

    def refused(self, offer_id: str, reason: str) -> None:
        """The owner did not start it. Only one that is ``gone`` does not wait any more."""
        offer = self.offers.get(offer_id)
        if offer is None or offer.accepted:
            return
        self.counts[f"refused_{reason}"] += 1
        self._withdraw(offer)
        if reason == "gone":
            self._forget_ticket(offer)
        elif (held := offer.held) is not None and self._held.get(held.id) is held:
            # Not again before its owner has answered the next ping: what was the reason may last.
            self._parked.setdefault(offer.boot, {})[held.id] = held

    def released(self, offer_id: str, tokens: float | None, now: float, *, cancelled: bool) -> None:
        """An answer has ended. ``tokens`` as in ``QueueManagerInterface.release``."""
        offer = self.offers.pop(offer_id, None)
        if offer is None:
            return
        self.members[offer.boot].grants.discard(offer_id)
        self._forget_ticket(offer)
        if offer.turn is not None:
            if tokens is not None:
                self.pool.line.correct(offer.turn, tokens)
            if not cancelled and tokens != 0:
                self.pool.figures.note_service(now - offer.offered_at)
        rest = self._settings.settle_ms / 1000 if cancelled else 0.0
        self.slots.give_back(offer.upstream, now + rest if rest else None)

    def take_back(self, now: float) -> None:
        """Offers that nobody has answered in time."""
        for offer in list(self.offers.values()):
            is_silent = self.members[offer.boot].presence is not Presence.PRESENT  # else its next pong tells
            if is_silent and not offer.accepted and now - offer.offered_at >= ANSWER_SECONDS:
                self.counts["taken_back"] += 1
                self._withdraw(offer)
                self._wait_again(offer)

    def _withdraw(self, offer: Offer, rests_until: float | None = None) -> None:
        del self.offers[offer.id]
        self.members[offer.boot].grants.discard(offer.id)
        self.slots.give_back(offer.upstream, rests_until)
        if offer.turn is not None and not offer.accepted:
            self.pool.line.correct(offer.turn, 0.0)

    def _forget_ticket(self, offer: Offer) -> None:
        held = offer.held
        if held is not None and self._held.get(held.id) is held:
            self._drop(held)

    def _wait_again(self, offer: Offer) -> None:
        held = offer.held
        if held is None or self._held.get(held.id) is not held:
            return  # written anew meanwhile
        member = self.members[offer.boot]
        if member.presence is Presence.PRESENT:
            self._enter(held)
        elif member.is_gone:
            self._drop(held)
        else:
            self._parked.setdefault(member.boot, {})[held.id] = held

    # -- daemons -----------------------------------------------------------------------------

    def meet(self, boot: str, now: float) -> Member:
        """The member of this boot id, perhaps a new one."""
        return self.members.get(boot) or self.members.setdefault(boot, Member(boot, heard_at=now))

    def suspect(self, boot: str, used: dict[str, int], heard_at: float) -> None:
        """At the takeover: a daemon that should be there, and what it was last said to use."""
        member = self.meet(boot, heard_at)
        member.heard_at = heard_at
        member.has_answered = True
        for upstream, count in used.items():
            self.slots.expect(upstream, self.pool.name)
            if occupied := sum(self.slots.occupy(upstream) for _ in range(count)):
                member.ghosts[upstream] = occupied

    def pong(self, boot: str, number: int, running: Sequence[tuple[str, str]], now: float) -> None:
        """A daemon has answered a ping, and told what runs there: grants and their upstreams."""
        member = self.meet(boot, now)
        member.heard_at, member.has_answered, member.counted, member.returned = now, True, True, 0
        self._lay_ghosts(member)
        told = dict(running)
        for offer_id in [one for one in member.grants if one not in told]:
            self._not_running(member, offer_id, number)
        for offer_id, upstream in told.items():
            if offer_id not in member.grants:
                self._count_over_limit(member, now)
                self._adopt(member, offer_id, upstream)
            else:
                self.accepted(boot, offer_id, upstream, now)
        member.freed = 0
        if member.presence is Presence.PRESENT:  # whom it refused may be offered again
            for held in self._parked.pop(boot, {}).values():
                self._enter(held)

    def note_clock(self, boot: str, ahead: float) -> None:
        """By how much our clock is ahead of a daemon's: what the quickest messages say, less small differences."""
        member = self.members[boot]
        member.least_ahead = min(ahead, member.least_ahead + 0.001)
        member.clock_ahead = member.least_ahead if abs(member.least_ahead) > APART_SECONDS else 0.0

    def ping_returned(self, boot: str, now: float) -> None:
        """The broker has no inbox for it."""
        member = self.members.get(boot)
        if member is not None and member.returned_ping != member.pinged:
            if not member.returned:
                member.returned_since = now
            member.returned += 1
            member.returned_ping = member.pinged

    def settle(self, member: Member, presence: Presence, now: float) -> None:
        """Act on a daemon's new state."""
        before, member.presence = member.presence, presence
        if presence is Presence.PRESENT:
            for held in self._parked.pop(member.boot, {}).values():
                self._enter(held)
        elif before is Presence.PRESENT or member.is_gone:
            self._take_out(member)
        if member.is_gone:
            for held in list(self._parked.pop(member.boot, {}).values()):
                self.counts["lost_daemon"] += 1
                self._drop(held)

    def free(self, member: Member, now: float) -> None:
        """Its slots go to others, after they have rested: its connections to the upstream are closing, at best."""
        until = now + self._settings.settle_ms / 1000
        member.freed, member.freed_at = self.slots_of(member), now
        for offer_id in list(member.grants):
            offer = self.offers[offer_id]
            self._withdraw(offer, until)
            self._forget_ticket(offer)
        self._lay_ghosts(member, until)

    def revive(self, boot: str, now: float) -> None:
        """A daemon that was taken for gone, or was not known, has been heard of."""
        member = self.meet(boot, now)
        if member.is_gone:
            member.presence, member.returned, member.counted = Presence.SILENT, 0, False
            member.audited = member.announced = False

    def unaudited(self) -> list[Member]:
        """Daemons that have told what runs there, and were not yet asked what waits."""
        return [member for member in self.members.values() if member.counted and not member.audited]

    def forgive(self, seconds: float) -> None:
        """We ourselves stood still for so long: nobody could be heard."""
        for member in self.members.values():
            member.heard_at += seconds
        for offer in self.offers.values():
            offer.offered_at += seconds

    def forget_gone(self, now: float) -> None:
        """Daemons that ended long ago."""
        for member in list(self.members.values()):
            if member.is_gone and not self.slots_of(member) and now - member.heard_at > FORGET_SECONDS:
                del self.members[member.boot]
                self._parked.pop(member.boot, None)

    def only_suspects(self) -> bool:
        """Whether every slot that this pool could grant is held by daemons that do not answer."""
        capacity = self.slots.capacity(self.pool.name)
        suspects = sum(self.slots_of(m) for m in self.members.values() if m.presence is not Presence.PRESENT)
        return 0 < capacity <= suspects

    def used_by_others(self, boot: str) -> dict[str, int]:
        """By upstream, the slots that other daemons use or were offered."""
        used: Counter[str] = Counter(offer.upstream for offer in self.offers.values() if offer.boot != boot)
        for member in self.members.values():
            used.update(member.ghosts if member.boot != boot else {})
        return dict(used)

    def note_over_limit(self, now: float) -> None:
        """Count the time in which more runs than an upstream has slots. Fewer slots than before are not meant: they
        take effect as answers end."""
        since, self._looked_at = self._looked_at, now
        for upstream in self.slots.of(self.pool.name):
            most = self._most[upstream.name] = max(self._most.get(upstream.name, 0), upstream.slots)
            if since is not None and most and upstream.running > most:
                self.over_limit[self.pool.name] += (upstream.running - most) * (now - since)

    def busy(self) -> dict[str, int]:
        """By upstream, the requests that run, as far as their owners have said so."""
        return dict(Counter(offer.upstream for offer in self.offers.values() if offer.accepted))

    def slots_of(self, member: Member) -> int:
        """Slots that count as used by it."""
        return len(member.grants) + sum(member.ghosts.values())

    def _take_out(self, member: Member) -> None:
        """Nothing may be granted to a daemon that does not answer: its tickets wait aside."""
        aside = self._parked.setdefault(member.boot, {})
        for held in [one for one in self._held.values() if one.message.daemon == member.boot]:
            if self.pool.line.remove(held.id):
                aside[held.id] = held

    def _lay_ghosts(self, member: Member, rests_until: float | None = None) -> None:
        """What it was said to use does not count any more."""
        for upstream, count in member.ghosts.items():
            for _ in range(count):
                self.slots.give_back(upstream, rests_until)
        member.ghosts.clear()

    def _not_running(self, member: Member, offer_id: str, number: int) -> None:
        offer = self.offers[offer_id]
        if offer.mark >= number:
            return
        self._withdraw(offer)
        if not offer.accepted:  # neither accepted nor refused: the offer was lost
            self._wait_again(offer)

    def _adopt(self, member: Member, offer_id: str, upstream: str) -> None:
        """It runs there, granted in another epoch or by the daemon itself."""
        if offer_id not in member.grants:
            self.slots.expect(upstream, self.pool.name)
            self.slots.occupy(upstream)
            member.grants.add(offer_id)
            self.offers[offer_id] = Offer(offer_id, member.boot, upstream, member.pinged, accepted=True)

    def _count_over_limit(self, member: Member, now: float) -> None:
        """It runs what its slots were taken from: so long there may have been one request too many."""
        if member.freed:
            member.freed -= 1
            self.over_limit[self.pool.name] += now - member.freed_at
