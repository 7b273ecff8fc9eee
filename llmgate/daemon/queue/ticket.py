"""What waits, what is granted, and how a request ends."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

LEVELS = (1, 2, 3, 4, 5)
"""Level 1 is served first."""


class Outcome(StrEnum):
    """How a request ended. Every request has exactly one."""

    COMPLETED = "completed"
    REJECTED_LIMIT = "rejected_limit"
    REJECTED_FULL = "rejected_full"
    EXPIRED_IN_QUEUE = "expired_in_queue"
    CANCELLED_IN_QUEUE = "cancelled_in_queue"
    CLIENT_DISCONNECTED = "client_disconnected"
    UPSTREAM_FAILED = "upstream_failed"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True)
class Ticket:
    """One request's place in line: everything that the order depends on, and never the prompt.

    ``flow`` is the unit of fairness, the principal at the level it submitted; it never changes, also
    when the ticket ages. ``cost`` is the expected service in weighted tokens (input + 2 × output).
    ``submitted_at`` is in seconds on the queue manager's clock. ``max_waiting`` bounds how many of the owner's may
    wait in the daemon that it comes to, where that is less than everybody's bound.
    """

    id: str
    pool: str
    model: str
    level: int
    flow: str
    owner: str
    submitted_at: float
    cost: float = 1.0
    weight: float = 1.0
    attempt: int = 1
    avoid: frozenset[str] = field(default_factory=frozenset)
    max_waiting: int | None = None

    def retried(self, avoid: str) -> Ticket:
        """The same place in line once more, on another upstream than ``avoid`` while the pool has one."""
        return replace(self, attempt=self.attempt + 1, avoid=self.avoid | {avoid})


@dataclass(frozen=True, slots=True)
class Grant:
    """Your turn, on this upstream. ``epoch`` and ``seq`` make late or repeated grants recognisable."""

    id: str
    ticket: Ticket
    upstream: str
    granted_at: float
    epoch: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True)
class UpstreamSlots:
    """What the queue knows of one upstream. ``loaded`` are the models it holds in memory, ``models`` are all
    it can be granted, by the names that tickets carry; None: any."""

    name: str
    pool: str
    slots: int
    usable: bool = True
    loaded: frozenset[str] = field(default_factory=frozenset)
    models: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a waiting request stands.

    ``ahead`` is how many waiting requests would be served before it if nobody else came.
    ``estimated_wait`` is in seconds, None while there is nothing to estimate from.
    """

    ticket_id: str
    pool: str
    model: str
    owner: str
    submitted_level: int
    level: int
    aged: bool
    ahead: int
    waited: float
    estimated_wait: float | None


@dataclass(frozen=True, slots=True)
class Running:
    """A granted request that holds a slot."""

    ticket_id: str
    pool: str
    model: str
    owner: str
    level: int
    upstream: str
    running_for: float

    @classmethod
    def of(cls, grant: Grant, now: float) -> Running:
        """What a grant looks like from outside."""
        ticket = grant.ticket
        running_for = now - grant.granted_at
        return cls(ticket.id, ticket.pool, ticket.model, ticket.owner, ticket.level, grant.upstream, running_for)


@dataclass(frozen=True, slots=True)
class PoolStats:
    """A pool at one moment, in all daemons together. Waits (by submitted level) and service times are recent ones,
    in seconds."""

    pool: str
    state: str
    slots: int
    running: int
    waiting: int
    waiting_by_level: dict[int, int]
    aged_waiting: int
    oldest_wait: float
    granted: int
    granted_aged: int
    promotions: int
    wait_p50: dict[int, float]
    wait_p95: dict[int, float]
    wait_max: dict[int, float]
    arrivals_per_second: float
    grants_per_second: float
    service_p50: float | None
    service_p95: float | None
    upstreams: dict[str, tuple[int, int]]
    """Running and slots of each upstream."""
    dispatcher: str = ""
    """Name of the daemon that decides who goes next; empty when nobody does at the moment."""
    epoch: int = 0
    """How often that has changed."""
    over_limit_seconds: float = 0.0
    """How long, at most, slots were used twice: a daemon that was cut off went on with what others had been given."""


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """One daemon of the cluster, as the daemon that is asked knows it."""

    name: str
    boot: str
    """Names one run of a daemon: a restarted one has another."""
    state: str
    """``connected``, or ``degraded``: it decides for itself, with the slots it has."""
    reason: str
    """Why it is degraded."""
    dispatches: list[str]
    """The pools in which it decides who goes next."""
    waiting: int
    running: int
    heard: float
    """Seconds since it was heard last."""


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """How the queue itself does, and who takes part in it."""

    backend: str
    state: str
    reason: str
    serves: bool
    """Whether requests that wait here can get a turn."""
    daemons: list[DaemonStatus] = field(default_factory=list)
    broker_version: str = ""
    """Of the broker that this daemon was connected to last."""
