"""AgingManager: when a held ticket has to go back to the broker, so that the broker moves it up.

A ticket that the dispatcher holds does not expire. When its time at its level is up it is returned; the broker sees
that it has expired and sends it through the dead-letter exchange to the next line, at once and in order.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from llmgate.config import QueueSettings
from llmgate.daemon.queue.flows import DEAD, LazyHeap
from llmgate.daemon.queue.policy import AGED_LANE
from llmgate.daemon.queue.rabbitmq.wire import TicketMessage

SLACK = 0.005
"""Seconds by which a ticket is returned after its time: the broker's clock for it started that much later."""
BOUNCE = 0.02
"""A ticket that was returned too early comes back to the same line, and is tried again after so many seconds, then
twice that, and so on: the clocks of its owner and of the dispatcher may differ by much."""
FRESH = 0.05
"""A ticket that arrives within this part of ``aging_seconds`` after its time began has just come from the broker's
hand: its time there begins now."""
MOST_RETURNED = 50_000


@dataclass(slots=True, eq=False)
class Held:
    """A ticket in the dispatcher's hands: where it stands, and since when it is held."""

    message: TicketMessage
    tag: int
    line: int
    level: int
    aged: bool
    since: float
    held_since: float
    stamp: int = DEAD

    @property
    def id(self) -> str:
        return self.message.ticket.id


class AgingManager:
    """The times of one pool's tickets, in seconds on the cluster's clock. Pure: it is told what time it is."""

    def __init__(self, settings: QueueSettings) -> None:
        self._aging_seconds = settings.aging_seconds
        self._hold_seconds = settings.hold_seconds
        self._returned: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._bounces: OrderedDict[str, int] = OrderedDict()
        self._holds: LazyHeap[float, Held] = LazyHeap()
        self._stamp = DEAD

    def arrival(self, message: TicketMessage, line: int, now: float) -> float:
        """Since when a ticket counts as standing in the line from which it was handed out."""
        came_from, since = self._returned.pop(message.ticket.id, (None, 0.0))
        if came_from == line:  # its time there goes on; if that seemed to be up, the broker thinks otherwise
            bounces = self._bounces.get(message.ticket.id, 0)
            if since + self._aging_seconds > now:
                return since
            self._bounces[message.ticket.id] = bounces + 1
            if len(self._bounces) > MOST_RETURNED:
                self._bounces.popitem(last=False)
            return now + min(BOUNCE * 2.0**bounces, self._aging_seconds / 4) - self._aging_seconds
        self._bounces.pop(message.ticket.id, None)
        nominal = message.since + self._aging_seconds * hops(message, line)
        is_fresh = now - nominal < FRESH * self._aging_seconds
        return (now if is_fresh else nominal) + SLACK

    def returned(self, held: Held) -> None:
        """A ticket has been given back."""
        self.let_go(held)
        self._returned[held.id] = (held.line, held.since)
        if len(self._returned) > MOST_RETURNED:
            self._returned.popitem(last=False)

    def hold(self, held: Held) -> None:
        """A ticket is being held, and may be given back."""
        self._stamp += 1
        held.stamp = self._stamp
        self._holds.push(held.held_since + self._hold_seconds, held)

    def let_go(self, held: Held) -> None:
        """A ticket is not held any more."""
        held.stamp = DEAD

    def next_hold(self) -> float | None:
        """When ``held_too_long`` will name somebody."""
        top = self._holds.top()
        return top[0] if top else None

    def held_too_long(self, now: float) -> Iterator[Held]:
        """Whom the broker would soon ask back: it closes a channel that keeps a message longer than its
        ``consumer_timeout``."""
        while (top := self._holds.top()) and top[0] <= now:
            self.let_go(top[1])
            yield top[1]


def hops(message: TicketMessage, line: int) -> int:
    """How many lines a ticket has moved up since it was published."""
    if message.aged:
        return 0
    return message.level - (1 if line == AGED_LANE else line)


def remaining_ms(message: TicketMessage, aging_seconds: float, now: float) -> int | None:
    """The rest of a ticket's time at the level to which it is published; None when that is the whole time, or when
    it does not age there."""
    rest = message.since + aging_seconds - now
    if message.aged or message.level < 2 or rest > 0.95 * aging_seconds:
        return None
    return max(1, round(1000 * rest))
