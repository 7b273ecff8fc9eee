"""TicketOwner: this daemon's side of the grants, for the requests whose connections it holds.

It publishes their tickets and decides what becomes of an offered grant: only one that finds the request still waiting
is accepted. What is late, of an older epoch or for an older form of the ticket is refused, so that messages that were
stuck somewhere do no harm.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmgate.config import QueueSettings
from llmgate.daemon.queue.place import RoomPlace
from llmgate.daemon.queue.policy import AGED_LANE
from llmgate.daemon.queue.rabbitmq.aging import remaining_ms
from llmgate.daemon.queue.rabbitmq.dispatcher import Head
from llmgate.daemon.queue.rabbitmq.exchanges import DAEMONS, TICKETS
from llmgate.daemon.queue.rabbitmq.link import Link
from llmgate.daemon.queue.rabbitmq.publisher import Message
from llmgate.daemon.queue.rabbitmq.queues import key_of
from llmgate.daemon.queue.rabbitmq.wire import Item, TicketMessage
from llmgate.daemon.queue.room import WaitingRoom
from llmgate.daemon.queue.ticket import Grant

LATE_SECONDS = 0.7
"""A grant that has been under way for longer may have been taken back (ANSWER_SECONDS)."""
DELAY_WINDOW = 30.0
AUDIT_SECONDS = 5.0
SETTLED_SECONDS = 1.0
"""A ticket published more recently than this may still be under way, and is not audited."""
STUCK_SECONDS = 0.5
"""A broker that has not confirmed for so long what it was sent has not passed it on either. On a busy machine one that
works takes a fifth of a second now and then."""
REMEMBERED_RELEASES = 4096
AUDIT_PART = 1000
"""Tickets in one item of an audit."""


class Delay:
    """How long messages of one sender are under way, beyond the shortest time seen lately: clocks that differ by a
    constant do not matter. Times in seconds."""

    def __init__(self) -> None:
        self._windows: deque[tuple[float, float]] = deque(maxlen=2)

    def beyond(self, sent_at: float, now: float) -> float:
        delay = now - sent_at
        if not self._windows or now - self._windows[-1][0] > DELAY_WINDOW:
            self._windows.append((now, delay))
        elif delay < self._windows[-1][1]:
            self._windows[-1] = (self._windows[-1][0], delay)
        return delay - min(shortest for _, shortest in self._windows)


class TicketOwner:
    """See the module. ``room`` is the authority; ``heads`` are kept here, as the pings tell them. ``tell_own`` says
    something to the dispatcher in this very process, for which the broker is not needed: only what the dispatcher
    says has to go through the connection that holds its lock."""

    def __init__(
        self,
        boot: str,
        settings: QueueSettings,
        room: WaitingRoom,
        clock: Callable[[], float],
        tell_own: Callable[[Item], None],
    ) -> None:
        self._boot = boot
        self._settings = settings
        self._room = room
        self._clock = clock
        self._tell_own = tell_own
        self._link: Link | None = None
        self._heads: dict[str, Head] = {}
        self._delays: dict[str, Delay] = {}
        self._published: dict[str, float] = {}
        self._audited: dict[str, float] = {}
        self._to_audit: dict[str, deque[RoomPlace]] = {}
        self._released: deque[tuple[float, str]] = deque(maxlen=REMEMBERED_RELEASES)
        self.counts: Counter[str] = Counter()

    def apply(self, settings: QueueSettings) -> None:
        """From now on tickets are published with these times."""
        self._settings = settings

    def head(self, pool: str) -> Head:
        """Who dispatches a pool, as far as is known."""
        return self._heads.setdefault(pool, Head())

    def epochs(self) -> dict[str, int]:
        """The latest epoch of each pool that is known here."""
        return {pool: head.epoch for pool, head in self._heads.items()}

    def heard_epochs(self, epochs: Mapping[str, int]) -> None:
        """What another daemon knows: whoever dispatches next must come after that."""
        for pool, epoch in epochs.items():
            head = self.head(pool)
            if epoch > head.epoch:
                head.boot, head.epoch = "", epoch

    def join(self, link: Link) -> None:
        """The broker is there (again). What waits is published if the audit finds it missing."""
        self._link = link
        self._published = dict.fromkeys(self._published, float("-inf"))
        self._audited.clear()
        for head in self._heads.values():
            head.heard_at = self._clock()  # a dispatcher gets the usual time to be heard

    def part(self) -> None:
        """The broker is gone."""
        self._link = None

    # -- tickets -----------------------------------------------------------------------------

    def publish(self, place: RoomPlace) -> None:
        """Write a ticket to the line where it stands."""
        now = self._clock()
        self._published[place.ticket.id] = now
        if self._link is None:
            self._published[place.ticket.id] = float("-inf")
            return
        entry = self._room.entry(place.ticket.id)
        message = TicketMessage(place.ticket, self._boot, place.seq, entry.level, entry.aged, entry.since)
        key = key_of(place.ticket.pool, AGED_LANE if entry.aged else entry.level)
        expires = remaining_ms(message, self._settings.aging_seconds, now)
        self._link.publisher.send(Message(TICKETS, key, message.encode(), expires))

    def left(self, place: RoomPlace) -> None:
        """A place was given up without a grant."""
        self._published.pop(place.ticket.id, None)
        self._tell(place.ticket.pool, ["left", place.ticket.pool, place.ticket.id, place.seq])

    def released(self, grant: Grant, tokens: float | None, *, cancelled: bool) -> None:
        """An answer has ended."""
        pool = grant.ticket.pool
        if self._room.place(grant.ticket.id) is None:  # else it is in line again
            self._published.pop(grant.ticket.id, None)
        if self.head(pool).boot != self._boot:
            self._released.append((asyncio.get_running_loop().time(), grant.upstream))
        self._tell(pool, ["released", pool, grant.id, tokens, cancelled])

    def undelivered(self) -> Counter[str]:
        """By upstream, slots that were given back without the dispatcher knowing it: they are still ours. What was
        under way when the broker died does not count, because perhaps it was passed on."""
        if self._link is None:
            return Counter()
        since = self._link.publisher.unheard_since(STUCK_SECONDS)
        return Counter(upstream for when, upstream in self._released if when > since)

    # -- what the dispatcher says ------------------------------------------------------------

    def pinged(self, sender: str, item: Sequence[Any]) -> None:
        """``ping, pool, epoch, number, sent at``: answer with what runs here."""
        _, pool, epoch, number, sent_at = item
        head, now = self.head(pool), self._clock()
        if epoch < head.epoch:  # it cannot know what came before it
            self._link_tell(sender, ["outdated", pool, head.epoch])
            return
        head.boot, head.epoch, head.heard_at = sender, epoch, now
        self._delays.setdefault(sender, Delay()).beyond(sent_at, now)
        running = [[grant.id, grant.upstream] for grant, _ in self._room.grants() if grant.ticket.pool == pool]
        self._tell(pool, ["pong", pool, epoch, number, running, round(now, 4)])
        if now - self._audited.get(pool, float("-inf")) >= AUDIT_SECONDS:
            self.audit(pool)
        else:
            self._audit_part(pool)

    def granted(self, sender: str, item: Sequence[Any]) -> None:
        """``grant, pool, epoch, id, ticket, seq, upstream, sent at``: your turn."""
        _, pool, epoch, grant_id, ticket_id, seq, upstream, sent_at = item
        refusal = self._refusal(pool, epoch, sender, sent_at)
        if refusal is None:
            place = self._room.place(ticket_id)
            grant = self._room.hand_over(ticket_id, grant_id, upstream, epoch=epoch, seq=seq)
            if grant is not None:
                self._published.pop(ticket_id, None)
                self._tell(pool, ["accepted", pool, grant_id, upstream])
                return
            refusal = "gone" if place is None or place.seq > seq else "unknown_upstream"
        self.counts[f"refused_{refusal}"] += 1
        self._link_tell(sender, ["refused", pool, grant_id, refusal])

    def missing(self, item: Sequence[Any]) -> None:
        """``missing, pool, ids``: tickets that neither the broker nor the dispatcher has. Oldest first."""
        places = [place for one in item[2] if (place := self._room.place(one)) is not None]
        for place in sorted(places, key=lambda place: place.ticket.submitted_at):
            self.counts["republished"] += 1
            self.publish(place)

    def _refusal(self, pool: str, epoch: int, sender: str, sent_at: float) -> str | None:
        head = self.head(pool)
        if epoch < head.epoch or (epoch == head.epoch and head.boot not in ("", sender)):
            return "epoch"
        if self._delays.setdefault(sender, Delay()).beyond(sent_at, self._clock()) > LATE_SECONDS:
            return "late"
        return None

    def audit(self, pool: str) -> None:
        """Begin to tell the dispatcher what waits here: the first part at once, another one with every ping."""
        self._audited[pool] = self._clock()
        self._to_audit[pool] = deque(place for place in self._room.places() if place.ticket.pool == pool)
        self._audit_part(pool)

    def _audit_part(self, pool: str) -> None:
        """Of some more tickets: id, seq, line, and whether it is not in the broker for all that is known here."""
        now, places = self._clock(), self._to_audit.get(pool)
        waiting: list[Item] = []
        while places and len(waiting) < AUDIT_PART:
            place = places.popleft()
            published = self._published.get(place.ticket.id, 0.0)
            if self._room.place(place.ticket.id) is place and now - published >= SETTLED_SECONDS:
                entry = self._room.entry(place.ticket.id)
                line = AGED_LANE if entry.aged else entry.level
                waiting.append([place.ticket.id, place.seq, line, published == float("-inf")])
        if waiting:
            self._tell(pool, ["waiting", pool, waiting])

    def _tell(self, pool: str, item: Item) -> None:
        """To whoever dispatches. Nobody: then a census comes, which asks for what matters."""
        head = self._heads.get(pool)
        if head is not None and head.boot:
            self._link_tell(head.boot, item)

    def _link_tell(self, boot: str, item: Item) -> None:
        if self._link is None:
            return
        if boot == self._boot:
            self._tell_own(item)
        else:
            self._link.publisher.tell(DAEMONS, boot, item)
