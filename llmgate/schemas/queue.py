"""The waiting lines: who waits, who runs, the pools, and the daemons that share them."""

from __future__ import annotations

from llmgate.schemas.base import Answer, Level, Page, Request


class Waiting(Answer):
    """A waiting request. ``ahead`` are the waiting requests that would be served before it.

    ``owner`` is exact: ``key:``, ``session:`` or ``address:`` and an id. ``owner_name`` is what people call it:
    ``ann`` for a session of Ann's, ``ann/editor`` for a key of hers, ``editor`` for a key that is no person's, the
    whitelist's label or else the address for an address; the same as ``owner`` when no name is known (any more).
    """

    ticket_id: str
    pool: str
    model: str
    owner: str
    owner_name: str = ""
    submitted_level: int
    level: int
    aged: bool
    ahead: int
    waited: float
    estimated_wait: float | None


class WaitingPage(Page[Waiting]):
    """The first of those who wait; ``total`` is how many there are of them, as of about a second ago in a cluster."""

    total: int


class Running(Answer):
    """A request that holds a slot. ``owner_name`` as in Waiting."""

    ticket_id: str
    pool: str
    model: str
    owner: str
    owner_name: str = ""
    level: int
    upstream: str
    running_for: float


class PoolStats(Answer):
    """A pool at one moment, in all daemons together. Waits, by submitted level, and service times are recent ones.

    ``dispatcher`` is the daemon that decides who goes next, empty when nobody does; ``epoch`` counts how often that
    has changed. ``upstreams`` holds running and slots of each; ``over_limit_seconds`` is how long, at most, slots were
    used twice, by a daemon that was cut off.
    """

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
    dispatcher: str
    epoch: int
    over_limit_seconds: float = 0.0


class QueueDaemon(Answer):
    """A daemon of the cluster, as the daemon that was asked knows it.

    ``dispatches`` are the pools in which it decides who goes next, ``heard`` is how long ago it was heard last.
    """

    name: str
    boot: str
    state: str
    reason: str
    dispatches: list[str]
    waiting: int
    running: int
    heard: float


class QueueStatus(Answer):
    """How the queue itself does in the daemon that was asked, which is the first of ``daemons``.

    ``serves`` says whether requests that wait there can get a turn. A queue in memory names no daemons, and has no
    broker.
    """

    backend: str
    state: str
    reason: str
    serves: bool
    daemons: list[QueueDaemon]
    broker_version: str = ""


class LevelChange(Request):
    level: Level
