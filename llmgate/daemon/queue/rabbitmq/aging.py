"""AgingManager: when a held ticket has to go back to the broker, so that the broker moves it up.

A ticket that the dispatcher holds does not expire. When its time at its level is up it is returned; the broker sees
that it has expired and sends it through the dead-letter exchange to the next line, at once and in order.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator

from llmgate.config import QueueSettings
from llmgate.daemon.queue.policy import AGED_LANE
from llmgate.daemon.queue.rabbitmq.wire import TicketMessage

SLACK = 0.005
"""Seconds by which a ticket is returned after its time: the broker's clock for it started that much later."""
BOUNCE = 0.02
"""A ticket that was returned too early comes back to the same line, and is tried again after so many seconds."""
FRESH = 0.05
"""A ticket that arrives within this part of ``aging_seconds`` after its time began has just come from the broker's
hand: its time there begins now."""
MOST_RETURNED = 50_000


class AgingManager:
    """The times of one pool's tickets, in seconds on the cluster's clock. Pure: it is told what time it is."""

    def __init__(self, settings: QueueSettings) -> None:
        self._aging_seconds = settings.aging_seconds
        self._hold_seconds = settings.hold_seconds
        self._returned: OrderedDict[str, int] = OrderedDict()
        self._holds: deque[tuple[float, str]] = deque()

    def arrival(self, message: TicketMessage, line: int, now: float) -> float:
        """Since when a ticket counts as standing in the line from which it was handed out."""
        bounced = self._returned.pop(message.ticket.id, None) == line
        nominal = message.since + self._aging_seconds * hops(message, line)
        if bounced and nominal + self._aging_seconds <= now + BOUNCE:
            return now + BOUNCE - self._aging_seconds
        is_fresh = now - nominal < FRESH * self._aging_seconds
        return (max(now, nominal) if is_fresh else nominal) + SLACK

    def returned(self, ticket_id: str, line: int) -> None:
        """A ticket has been given back."""
        self._returned[ticket_id] = line
        if len(self._returned) > MOST_RETURNED:
            self._returned.popitem(last=False)

    def hold(self, ticket_id: str, since: float) -> None:
        """A ticket is being held since then."""
        self._holds.append((since + self._hold_seconds, ticket_id))

    def next_hold(self) -> float | None:
        """When ``held_too_long`` will name somebody."""
        return self._holds[0][0] if self._holds else None

    def held_too_long(self, now: float) -> Iterator[tuple[str, float]]:
        """Whom the broker would soon ask back, with the time since when it has been held. The broker closes a channel
        that keeps a message longer than its ``consumer_timeout``."""
        while self._holds and self._holds[0][0] <= now:
            until, ticket_id = self._holds.popleft()
            yield ticket_id, until - self._hold_seconds


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
