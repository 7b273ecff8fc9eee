"""What happened, for whoever wants to know: metrics, usage, log.

Events are facts in the past tense. The bus calls its subscribers at once and in order; a subscriber
must not block and must not raise. One that does raise is logged and the others are still called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from llmgate.daemon.queue.ticket import Outcome

CLIENT_GONE = "client_gone"
"""The code of a request whose client has hung up before it had a ticket: no error, since nobody is told one."""


@dataclass(frozen=True, slots=True)
class RequestFinished:
    """A request has ended, in exactly one way. Times are in seconds, ``finished_at`` is UTC."""

    request_id: str
    finished_at: datetime
    principal_kind: str
    principal_id: str
    principal_name: str
    user_id: str | None
    protocol: str
    route: str
    model: str
    pool: str | None
    upstream: str | None
    submitted_level: int
    stream: bool
    outcome: Outcome
    status: int
    error_code: str | None
    wait: float
    first_byte: float | None
    """From the arrival of the request to the answer's first byte."""
    duration: float
    input_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """A request never became a ticket: no valid credential, body, route or model."""

    request_id: str
    protocol: str
    route: str
    error_code: str
    status: int


@dataclass(frozen=True, slots=True)
class RequestWaiting:
    """A request was admitted and stands in line now. Published only while ``EventBus.watched``."""

    request_id: str
    owner: str
    owner_name: str
    """What people call it, see ``Principal.owner_name``."""
    pool: str
    model: str
    level: int
    attempt: int
    """From 2 on it was granted before, to an upstream that refused it."""


@dataclass(frozen=True, slots=True)
class RequestStarted:
    """A request has got its turn, on this upstream, after ``wait`` seconds. Published only while ``watched``."""

    request_id: str
    owner: str
    owner_name: str
    pool: str
    model: str
    level: int
    upstream: str
    wait: float


@dataclass(frozen=True, slots=True)
class TicketPromoted:
    """A waiting ticket aged into another line; ``to`` is 0 for the aged lane."""

    ticket_id: str
    pool: str
    came_from: int
    to: int


@dataclass(frozen=True, slots=True)
class UpstreamChanged:
    """An upstream's health has changed. ``usable``: it may be granted requests now."""

    upstream: str
    before: str
    after: str
    usable: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ActivityRecorded:
    """Somebody has changed something, or logged in: one entry of the activity log.

    ``action`` is written like ``key.create``. ``detail`` is JSON, for a change of each field its value before and
    after, and never holds a secret. ``hash`` chains the entry to the one before, see ``store/activity.py``.
    """

    seq: int
    at: datetime
    actor_kind: str
    actor_id: str
    actor_name: str
    address: str
    request_id: str
    action: str
    target_id: str
    target_name: str
    detail: str
    hash: str


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """Other settings hold in this daemon from now on: those of these keys (``section.name``)."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoginFailed:
    """Somebody did not get in. These are counted and never written down: a password may stand where a name should.

    ``throttled``: the name and the password were not even looked at, after too many failures.
    """

    throttled: bool


@dataclass(frozen=True, slots=True)
class ConnectionRefused:
    """A connection, or what came over it, was not served before anybody looked at who asks. ``reason`` is one of a few
    words."""

    reason: str


Event = (
    RequestWaiting
    | RequestStarted
    | RequestFinished
    | RequestRefused
    | TicketPromoted
    | UpstreamChanged
    | ActivityRecorded
    | SettingsChanged
    | LoginFailed
    | ConnectionRefused
)
Subscriber = Callable[[Event], None]


class EventBus:
    """Passes events on within one daemon."""

    def __init__(self) -> None:
        self.watched = False
        """Somebody follows single requests. What only such a one wants to know is not even made otherwise."""
        self._subscribers: list[Subscriber] = []
        self._log = structlog.get_logger("llmgate.events")

    def subscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.append(subscriber)

    def publish(self, event: Event) -> None:
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:  # one broken observer must not end somebody's request
                self._log.exception("subscriber_failed", event_type=type(event).__name__)
