"""A ledger under a hand-driven clock, and what a dispatcher does with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmgate.config import QueueSettings
from llmgate.daemon.queue.policy import AGED_LANE
from llmgate.daemon.queue.rabbitmq.ledger import Ledger
from llmgate.daemon.queue.rabbitmq.members import Presence, judge, may_free
from llmgate.daemon.queue.rabbitmq.wire import Item, TicketMessage
from llmgate.daemon.queue.slots import SlotBook
from llmgate.daemon.queue.ticket import UpstreamSlots
from tests.queue.factory import a_ticket

BEGIN = 1000.0
SWEEP_SECONDS = 0.1
PING_SECONDS = 0.2
INSTANT = 1e-4
UPSTREAM = "gpu"


def sweep(ledger: Ledger, now: float, *, trust_returns: bool = True) -> None:
    """Judge every daemon, and take back what is not answered: as the dispatcher does ten times a second."""
    for member in list(ledger.members.values()):
        presence = judge(member, now, trust_returns=trust_returns)
        if presence is not member.presence:
            ledger.settle(member, presence, now)
    only_suspects = ledger.granting and ledger.only_suspects()
    for member in list(ledger.members.values()):
        if ledger.slots_of(member) and may_free(member, now, only_suspects=only_suspects):
            ledger.free(member, now)
    ledger.take_back(now)
    ledger.forget_gone(now)


@dataclass(frozen=True, slots=True)
class Offered:
    """A grant that was told to a daemon."""

    boot: str
    id: str
    ticket: str
    seq: int
    upstream: str


class Desk:
    """A ledger of the pool ``main``. It notes what the ledger tells the broker and the daemons."""

    def __init__(
        self, *, slots: int = 1, upstreams: Mapping[str, int] | None = None, epoch: int = 1, **settings: Any
    ) -> None:
        book = SlotBook()
        for name, count in (upstreams or {UPSTREAM: slots}).items():
            book.update(UpstreamSlots(name, "main", count))
        self.now = BEGIN
        self.ledger = Ledger("main", epoch, QueueSettings.model_validate(settings), self, book)
        self.ledger.granting = True
        self.acknowledged: list[int] = []
        self.given_back: list[int] = []
        self.tags: dict[str, int] = {}
        """By ticket, the last delivery."""
        self._told: list[tuple[str, Item]] = []
        self._tag = 0

    # What the ledger makes happen

    def acknowledge(self, tag: int) -> None:
        self.acknowledged.append(tag)

    def give_back(self, tag: int) -> None:
        self.given_back.append(tag)

    def tell(self, boot: str, item: Item) -> None:
        self._told.append((boot, item))

    def offered(self) -> list[Offered]:
        """The grants that were told since this was asked last."""
        told, self._told = self._told, []
        return [Offered(boot, item[3], item[4], item[5], item[6]) for boot, item in told if item[0] == "grant"]

    def granted(self) -> list[str]:
        """The tickets of these grants."""
        return [offered.ticket for offered in self.offered()]

    # Daemons

    def present(self, *boots: str, running: Sequence[Offered] = ()) -> None:
        """Daemons that answer."""
        for boot in boots:
            self.ledger.meet(boot, self.now)
            self.pong(boot, self.ping(boot), *(one for one in running if one.boot == boot))
        self.sweep()

    def ping(self, boot: str) -> int:
        member = self.ledger.members[boot]
        member.pinged += 1
        return member.pinged

    def pong(self, boot: str, number: int, *running: Offered) -> None:
        self.ledger.pong(boot, number, [(one.id, one.upstream) for one in running], self.now)
        self.step()

    def ping_comes_back(self, boot: str, times: int = 1) -> None:
        """The broker has no inbox for this daemon."""
        for _ in range(times):
            self.ping(boot)
            self.ledger.ping_returned(boot, self.now)

    def presence(self, boot: str) -> Presence:
        return self.ledger.members[boot].presence

    # Tickets

    def arrive(self, ticket_id: str, boot: str = "a", *, level: int = 2, line: int | None = None, **more: Any) -> int:
        """The broker hands out a ticket, which was published at ``level``; the delivery's tag."""
        fields = {"seq": 0, "aged": False, "since": self.now, "at": self.now} | more
        seq, aged, since = fields.pop("seq"), fields.pop("aged"), fields.pop("since")
        ticket = a_ticket(ticket_id, level=fields.pop("submitted_level", level), **fields)
        message = TicketMessage(ticket, boot, seq, level, aged, since)
        self._tag += 1
        self.tags[ticket_id] = self._tag
        where = line if line is not None else AGED_LANE if aged else level
        self.ledger.arrive(message, self._tag, where, self.now)
        self.step()
        self.now += INSTANT  # no two come at the same moment
        return self._tag

    def accept(self, offered: Offered) -> None:
        self.ledger.accepted(offered.boot, offered.id, offered.upstream, self.now)
        self.step()

    def refuse(self, offered: Offered, reason: str) -> None:
        self.ledger.refused(offered.id, reason)
        self.step()

    def release(self, offered: Offered, tokens: float | None = None, *, cancelled: bool = False) -> None:
        self.ledger.released(offered.id, tokens, self.now, cancelled=cancelled)
        self.step()

    def run(self, ticket_id: str, boot: str = "a", **more: Any) -> Offered:
        """A ticket comes, is offered a slot at once and starts."""
        self.arrive(ticket_id, boot, **more)
        (offered,) = self.offered()
        assert offered.ticket == ticket_id
        self.accept(offered)
        return offered

    # Time

    def step(self) -> None:
        self.ledger.age(self.now)
        self.ledger.grant(self.now)

    def sweep(self) -> None:
        sweep(self.ledger, self.now)
        self.step()

    def advance(self, seconds: float, answering: Sequence[str] = (), running: Sequence[Offered] = ()) -> None:
        """Let time pass, with sweeps. Meanwhile some daemons answer their pings, with what runs there."""
        end = self.now + seconds
        next_ping = self.now
        while self.now < end - 1e-9:
            if self.now >= next_ping:
                next_ping += PING_SECONDS
                for boot in answering:
                    self.pong(boot, self.ping(boot), *(one for one in running if one.boot == boot))
            self.now = min(end, self.now + SWEEP_SECONDS / 2)
            self.sweep()

    # Slots

    def used(self, upstream: str = UPSTREAM) -> int:
        """Slots in use, the resting ones included."""
        return self.ledger.slots.used()[upstream]
