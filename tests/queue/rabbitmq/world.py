"""A small world in which a ledger lives: a broker with lines, daemons that hold requests, messages under way.

Time goes on in ticks. Every message takes its time and those of one sender to one receiver keep their order; a
message may be lost, the broker, a daemon or the dispatcher may stand still, a daemon may crash, and a new dispatcher
may take over. ``check`` is the oracle: it knows what really runs.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llmgate.config import QueueSettings
from llmgate.daemon.queue.policy import AGED_LANE, LAST_AGING_LEVEL, WaitingLine
from llmgate.daemon.queue.rabbitmq.aging import remaining_ms
from llmgate.daemon.queue.rabbitmq.ledger import Ledger
from llmgate.daemon.queue.rabbitmq.owner import AUDIT_SECONDS, LATE_SECONDS, SETTLED_SECONDS, Delay
from llmgate.daemon.queue.rabbitmq.queues import LINES
from llmgate.daemon.queue.rabbitmq.wire import Item, TicketMessage
from llmgate.daemon.queue.slots import SlotBook
from llmgate.daemon.queue.ticket import Ticket, UpstreamSlots
from tests.queue.factory import a_ticket
from tests.queue.rabbitmq.desk import PING_SECONDS, SWEEP_SECONDS, sweep

TICK = 0.05
LONGEST_FREEZE = 4.0
CENSUS_SECONDS = 1.0
STALL_SECONDS = 0.4
"""As in the dispatcher: a pause between two sweeps that is longer than this has stopped itself, not the others."""

Way = tuple[str, str]
"""Of a message: who sends it, who receives it."""


class Post:
    """Messages under way."""

    def __init__(self) -> None:
        self.under_way: defaultdict[Way, deque[tuple[float, Any]]] = defaultdict(deque)
        self.seconds: dict[str, float] = {}
        """By sender, how long its messages take."""

    def send(self, way: Way, message: Any, now: float) -> None:
        queue = self.under_way[way]
        arrives = now + self.seconds.get(way[0], 0.001)
        queue.append((max(arrives, queue[-1][0]) if queue else arrives, message))

    def receive(self, way: Way, now: float) -> list[Any]:
        """What has arrived."""
        queue, arrived = self.under_way[way], []
        while queue and queue[0][0] <= now:
            arrived.append(queue.popleft()[1])
        return arrived

    def drop(self, place: str) -> None:
        """Nobody is there any more who could send to it, or receive: what is under way to it is lost."""
        for way in [way for way in self.under_way if way[1] == place]:
            del self.under_way[way]


@dataclass(slots=True)
class Stored:
    """A ticket in a line of the broker."""

    message: TicketMessage
    line: int
    position: int
    expires: float | None


class Broker:
    """The lines of a pool. What expires at the head of a line goes to the next one; what is held does not expire, and
    is at its old place when it comes back."""

    def __init__(self, settings: QueueSettings, window: int) -> None:
        self._aging = settings.aging_seconds
        self._window = window
        self._positions = itertools.count(1)
        self._tags = itertools.count(1)
        self.ready: dict[int, list[Stored]] = {line: [] for line in LINES}
        self.held: dict[int, Stored] = {}

    def publish(self, message: TicketMessage, line: int, now: float, expires_ms: int | None = None) -> None:
        ages = line >= LAST_AGING_LEVEL
        lives = min(self._aging, expires_ms / 1000 if expires_ms is not None else self._aging)
        self.ready[line].append(Stored(message, line, next(self._positions), now + lives if ages else None))

    def age(self, now: float) -> None:
        for line in LINES:
            waiting = self.ready[line]
            while waiting and waiting[0].expires is not None and waiting[0].expires <= now:
                onward = AGED_LANE if line == LAST_AGING_LEVEL else line - 1
                self.publish(waiting.pop(0).message, onward, now)

    def hand_out(self) -> list[tuple[int, Stored]]:
        """What the consumer's windows have room for."""
        found = []
        held = Counter(stored.line for stored in self.held.values())
        for line in LINES:
            while self.ready[line] and held[line] < self._window:
                held[line] += 1
                tag = next(self._tags)
                self.held[tag] = self.ready[line].pop(0)
                found.append((tag, self.held[tag]))
        return found

    def settle(self, tag: int, *, done: bool) -> None:
        """The consumer has acknowledged a ticket, or gives it back."""
        stored = self.held.pop(tag)
        if not done:
            self.ready[stored.line].append(stored)
            self.ready[stored.line].sort(key=lambda one: one.position)

    def consumer_is_gone(self) -> None:
        for tag in list(self.held):
            self.settle(tag, done=False)

    @property
    def tickets(self) -> int:
        return len(self.held) + sum(len(waiting) for waiting in self.ready.values())


class Owner:
    """A daemon, as far as it concerns the dispatcher: it holds requests, and decides what becomes of a grant."""

    def __init__(self, boot: str, world: World) -> None:
        self.boot = boot
        self.sleeps_until = 0.0
        self.line = WaitingLine(aging_seconds=world.settings.aging_seconds, aged_share=0.25)
        self.seqs: dict[str, int] = {}
        self.published: dict[str, float] = {}
        self.running: dict[str, tuple[Ticket, str]] = {}
        self._world = world
        self._head = ("", 0)
        self._delays: defaultdict[str, Delay] = defaultdict(Delay)
        self._audited = 0.0

    # What its clients do

    def submit(self, ticket: Ticket) -> None:
        self.line.add(ticket, self._world.now)
        self.seqs[ticket.id] = 0
        self.publish(ticket.id)

    def leave(self, ticket_id: str) -> None:
        self.line.remove(ticket_id)
        self._tell(["left", "main", ticket_id, self.seqs.pop(ticket_id)])

    def set_level(self, ticket_id: str, level: int) -> None:
        self.line.set_level(ticket_id, level, self._world.now)
        self.seqs[ticket_id] += 1
        self.publish(ticket_id)

    def release(self, grant_id: str, tokens: float | None, *, cancelled: bool = False) -> None:
        del self.running[grant_id]
        self._tell(["released", "main", grant_id, tokens, cancelled])

    def retry(self, grant_id: str) -> None:
        ticket, upstream = self.running[grant_id]
        self.submit(ticket.retried(upstream))
        self.release(grant_id, 0.0)

    def publish(self, ticket_id: str) -> None:
        now, entry = self._world.now, self.line.standing(ticket_id)
        self.published[ticket_id] = now
        message = TicketMessage(
            entry.ticket, self.boot, self.seqs[ticket_id], entry.level, entry.aged, round(entry.since, 4)
        )
        self._world.post.send((self.boot, "lines"), message, now)

    # What the dispatcher tells it

    def hear(self, sender: str, item: Item) -> None:
        match item[0]:
            case "ping":
                self._pinged(sender, item[2], item[3], item[4])
            case "grant":
                self._granted(sender, item)
            case "missing":
                for ticket_id in item[2]:
                    if ticket_id in self.seqs:
                        self.publish(ticket_id)
            case "audit":
                self._audit()

    def _pinged(self, sender: str, epoch: int, number: int, sent_at: float) -> None:
        if epoch < self._head[1]:
            return
        self._head = (sender, epoch)
        self._delays[sender].beyond(sent_at, self._world.now)
        running = [[grant_id, upstream] for grant_id, (_, upstream) in self.running.items()]
        self._tell(["pong", "main", epoch, number, running])
        if self._world.now - self._audited >= AUDIT_SECONDS:
            self._audit()

    def _granted(self, sender: str, item: Item) -> None:
        _, _, epoch, grant_id, ticket_id, seq, upstream, sent_at = item
        if epoch < self._head[1] or (epoch == self._head[1] and self._head[0] not in ("", sender)):
            refusal = "epoch"
        elif self._delays[sender].beyond(sent_at, self._world.now) > LATE_SECONDS:
            refusal = "late"
        elif self.seqs.get(ticket_id) != seq:
            refusal = "gone"
        else:
            turn = self.line.withdraw(ticket_id)
            assert turn is not None
            del self.seqs[ticket_id]
            self.running[grant_id] = (turn.ticket, upstream)
            self._world.started(turn.ticket)
            self._tell(["accepted", "main", grant_id, upstream])
            return
        self._world.post.send((self.boot, sender), ["refused", "main", grant_id, refusal], self._world.now)

    def _audit(self) -> None:
        now = self._audited = self._world.now
        settled = [
            [one, seq, AGED_LANE if (entry := self.line.standing(one)).aged else entry.level, False]
            for one, seq in self.seqs.items()
            if now - self.published[one] >= SETTLED_SECONDS
        ]
        if settled:
            self._tell(["waiting", "main", settled])

    def _tell(self, item: Item) -> None:
        if self._head[0]:
            self._world.post.send((self.boot, self._head[0]), item, self._world.now)


class Desk:
    """Who dispatches, in one epoch."""

    def __init__(self, boot: str, epoch: int, world: World) -> None:
        book = SlotBook()
        for name, slots in world.slots.items():
            book.update(UpstreamSlots(name, "main", slots))
        self.boot = boot
        self.ledger = Ledger("main", epoch, world.settings, self, book)
        self.sleeps_until = 0.0
        self.began = world.now
        self._world = world
        self._next_ping = 0.0
        self._swept_at = world.now
        for owner in world.owners.values():
            used = Counter(upstream for _, upstream in owner.running.values())
            self.ledger.suspect(owner.boot, dict(used), world.now - 0.1)

    def work(self, now: float) -> None:
        """What it does in every round."""
        if now >= self._next_ping:
            self._next_ping = now + PING_SECONDS
            self._ping(now)
        if now - self._swept_at >= SWEEP_SECONDS - 1e-9:
            stalled = now - self._swept_at - SWEEP_SECONDS
            self._swept_at = now
            if stalled > STALL_SECONDS:
                self.ledger.forgive(stalled)
            sweep(self.ledger, now)
            self._look_after(now)
        self.ledger.age(now)
        self.ledger.grant(now)

    def _ping(self, now: float) -> None:
        for member in list(self.ledger.members.values()):
            if not member.is_gone:
                member.pinged += 1
                self.tell(member.boot, ["ping", "main", self.ledger.epoch, member.pinged, round(now, 4)])

    def _look_after(self, now: float) -> None:
        members = self.ledger.members.values()
        if all(member.counted or member.is_gone for member in members) or now - self.began >= CENSUS_SECONDS:
            self.ledger.granting = True
        for member in self.ledger.unaudited() if self.ledger.granting else ():
            member.audited = True
            self.tell(member.boot, ["audit", "main"])

    def hear(self, boot: str, item: Item, now: float) -> None:
        ledger, rest = self.ledger, item[2:]
        match item[0]:
            case "accepted":
                ledger.accepted(boot, rest[0], rest[1], now)
            case "refused":
                ledger.refused(rest[0], rest[1])
            case "released":
                ledger.released(rest[0], rest[1], now, cancelled=rest[2])
            case "left":
                ledger.leave(rest[0], rest[1])
            case "pong" if rest[0] == ledger.epoch:
                ledger.pong(boot, rest[1], [(one[0], one[1]) for one in rest[2]], now)
            case "waiting" if ledger.granting:
                if missing := ledger.missing(rest[0], self._world.window):
                    self.tell(boot, ["missing", "main", missing])

    # What its ledger makes happen

    def acknowledge(self, tag: int) -> None:
        self._world.post.send((self.boot, "broker"), (tag, True), self._world.now)

    def give_back(self, tag: int) -> None:
        self._world.post.send((self.boot, "broker"), (tag, False), self._world.now)

    def tell(self, boot: str, item: Item) -> None:
        if boot in self._world.owners:
            self._world.post.send((self.boot, boot), item, self._world.now)
        else:
            self.ledger.ping_returned(boot, self._world.now)


class World:
    """See the module."""

    def __init__(self, settings: QueueSettings, slots: Mapping[str, int], boots: str, window: int) -> None:
        self.settings = settings
        self.slots = dict(slots)
        self.window = window
        self.now = 1000.0
        self.post = Post()
        self.broker = Broker(settings, window)
        self.frozen_until = 0.0
        self.owners: dict[str, Owner] = {}
        self._numbers = itertools.count(1)
        self._starts: Counter[str] = Counter()
        self._left: set[str] = set()
        for boot in boots:
            self.owners[boot] = Owner(boot, self)
        self.desk = Desk("desk1", 1, self)

    # What happens

    def submit(self, boot: str, level: int, flow: str) -> None:
        ticket = a_ticket(f"t{next(self._numbers)}", level=level, flow=flow, at=self.now)
        self.owners[boot].submit(ticket)

    def leave(self, boot: str, ticket_id: str) -> None:
        self._left.add(ticket_id)
        self.owners[boot].leave(ticket_id)

    def crash(self, boot: str) -> None:
        """A daemon, with what it ran: its connections to the upstream are closed."""
        del self.owners[boot]
        self.post.drop(boot)

    def take_over(self) -> None:
        """The dispatcher is gone; another one has the lock. What it had sent is in the broker."""
        self.post.drop(self.desk.boot)
        self.post.drop("broker")
        self.broker.consumer_is_gone()
        epoch = self.desk.ledger.epoch + 1
        self.desk = Desk(f"desk{epoch}", epoch, self)

    def lose(self, way: Way) -> None:
        """The next message on this way."""
        self.post.under_way[way].popleft()

    def losable(self) -> list[Way]:
        """Ways with something under way that the protocol can do without: all but the dispatcher's own connection."""
        return [way for way, queue in self.post.under_way.items() if queue and "broker" not in way]

    def started(self, ticket: Ticket) -> None:
        name = f"{ticket.id}/{ticket.attempt}"
        self._starts[name] += 1
        assert self._starts[name] == 1, f"{name} was started twice"
        assert ticket.id not in self._left, f"{ticket.id} was started after it had left"

    # Time

    def advance(self, seconds: float, each: Callable[[], None] = lambda: None) -> None:
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now = round(self.now + TICK, 6)
            self._tick()
            self.check()
            each()

    def _tick(self) -> None:
        now = self.now
        if now >= self.frozen_until:
            self._move_tickets(now)
            self._deliver_items(now)
        if now >= self.desk.sleeps_until:
            self.desk.work(now)
        for owner in self.owners.values():
            if now >= owner.sleeps_until:
                owner.line.age(now)

    def _move_tickets(self, now: float) -> None:
        for way in [way for way in self.post.under_way if way[1] == "lines"]:
            for message in self.post.receive(way, now):
                line = AGED_LANE if message.aged else message.level
                self.broker.publish(message, line, now, remaining_ms(message, self.settings.aging_seconds, now))
        for tag, done in self.post.receive((self.desk.boot, "broker"), now):
            self.broker.settle(tag, done=done)
        self.broker.age(now)
        for tag, stored in self.broker.hand_out():
            self.post.send(("broker", self.desk.boot), (tag, stored), now)

    def _deliver_items(self, now: float) -> None:
        for way in list(self.post.under_way):
            sender, receiver = way
            if receiver == self.desk.boot and now >= self.desk.sleeps_until:
                for message in self.post.receive(way, now):
                    if sender == "broker":
                        self.desk.ledger.arrive(message[1].message, message[0], message[1].line, now)
                    else:
                        self.desk.hear(sender, message, now)
            elif (owner := self.owners.get(receiver)) is not None and now >= owner.sleeps_until:
                for message in self.post.receive(way, now):
                    owner.hear(sender, message)

    # The oracle

    def running(self) -> Counter[str]:
        return Counter(upstream for owner in self.owners.values() for _, upstream in owner.running.values())

    def waiting(self) -> dict[str, str]:
        """Every ticket that waits, and where."""
        return {ticket_id: owner.boot for owner in self.owners.values() for ticket_id in owner.seqs}

    def check(self) -> None:
        for upstream, count in self.running().items():
            assert count <= self.slots[upstream], f"{count} requests run on {upstream}"

    def drain(self, seconds: float) -> None:
        """From now on all goes well, and answers are short: everybody who waits must be served, and nothing may be
        left anywhere."""
        self.post.seconds.clear()
        ends: dict[str, float] = {}

        def end_answers() -> None:
            for owner in self.owners.values():
                for grant_id in list(owner.running):
                    if self.now >= ends.setdefault(grant_id, self.now + 2 * TICK):
                        owner.release(grant_id, 10.0)

        end = self.now + seconds
        self.advance(LONGEST_FREEZE, end_answers)
        while not self._is_quiet() and self.now < end:
            self.advance(0.5, end_answers)
        assert not self.waiting(), f"lost: {self.waiting()}"
        assert self._is_quiet()

    def _is_quiet(self) -> bool:
        """Nothing is left anywhere."""
        sent = any(queue for way, queue in self.post.under_way.items() if way[1] == "lines")
        used = any(self.desk.ledger.slots.used().values())
        return not (self.waiting() or self.running() or self.broker.tickets or self.desk.ledger.offers or sent or used)
