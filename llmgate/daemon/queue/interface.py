"""The queue as the gateway sees it.

A backend decides only who goes next. It never sees a prompt and never serves a request: the
coroutine that holds the client's connection waits on its ``Place`` and then serves itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmgate.config import QueueSettings
from llmgate.daemon.queue.ticket import (
    Grant,
    PoolStats,
    Position,
    QueueStatus,
    Running,
    Ticket,
    UpstreamSlots,
)
from llmgate.daemon.queue.wanted import ALL, Wanted


class Place(ABC):
    """One waiting request, in the daemon that holds its client's connection."""

    @property
    @abstractmethod
    def ticket(self) -> Ticket:
        """The ticket that waits here."""

    @abstractmethod
    async def granted(self, timeout: float | None = None) -> Grant:
        """Wait for the turn, at most ``timeout`` seconds.

        Raises TimeoutError when the timeout is over (the place is kept and can be waited on again),
        QueueTimeout at the queue's deadline, CancelledByAdmin, Draining, or UpstreamUnavailable when
        no upstream of the pool came back in time. After one of the latter the place is gone.
        """

    @abstractmethod
    def leave(self) -> None:
        """Give the place up, at once and from anywhere. If a grant has been handed out but not taken
        by ``granted``, its slot is freed. Harmless when the place is gone already."""


class QueueManagerInterface(ABC):
    """The waiting lines of all pools. All times are seconds on ``now()``."""

    @abstractmethod
    def now(self) -> float:
        """The clock that tickets are stamped with."""

    @abstractmethod
    async def start(self) -> None:
        """Connect, and take part in the dispatching."""

    @abstractmethod
    async def run(self) -> None:
        """The background work (aging, deadlines, outages), until cancelled. Supervised by the daemon."""

    @abstractmethod
    async def shut(self) -> None:
        """End every wait with Draining, and let nobody in any more. What runs may end."""

    @abstractmethod
    async def close(self) -> None:
        """``shut``, and let go of everything."""

    @abstractmethod
    def apply(self, settings: QueueSettings, shape: Mapping[str, Any]) -> None:
        """From now on these settings hold, also for who waits already; nobody loses a place. Only what can be changed
        at run time may differ from before. ``shape`` is what must be the same in all daemons."""

    @abstractmethod
    def update_upstream(self, upstream: UpstreamSlots) -> None:
        """Tell what an upstream can do now; new ones become known by this. Fewer slots than are
        running take effect as answers end. An upstream belongs to exactly one pool."""

    @abstractmethod
    def remove_upstream(self, name: str) -> None:
        """Grant nothing on this upstream any more. What runs there may end."""

    @abstractmethod
    async def submit(self, ticket: Ticket) -> Place:
        """Put a ticket in line. A retried ticket keeps ``submitted_at`` and the level it has earned.

        Raises QueueFull (all places taken), LimitExceeded (this owner's places are taken), Draining
        (the daemon is shutting down), PoolDraining or UpstreamUnavailable (no upstream of the pool has
        been usable for the outage grace), each with ``retry_after`` in seconds.
        """

    @abstractmethod
    def release(self, grant: Grant, tokens: float | None, *, cancelled: bool = False) -> None:
        """Give the slot back. ``tokens`` is the service really rendered (input + 2 × output; None when
        unknown: the estimate stands). After ``cancelled`` the slot rests for the settle time. Releasing
        twice is harmless."""

    @abstractmethod
    async def cancel(self, ticket_id: str) -> bool:
        """Take a waiting request out, by an administrator. False when it does not wait."""

    @abstractmethod
    async def set_level(self, ticket_id: str, level: int) -> bool:
        """Move a waiting request to another level; its aging starts anew, its flow stays."""

    @abstractmethod
    async def pause(self, pool: str) -> None:
        """Grant nothing in this pool until ``resume``; requests may still come and wait."""

    @abstractmethod
    async def resume(self, pool: str) -> None:
        """End ``pause`` and ``drain``."""

    @abstractmethod
    async def drain(self, pool: str) -> None:
        """Accept nothing new in this pool; what waits is still served."""

    @abstractmethod
    async def position(self, ticket_id: str) -> Position | None:
        """Where one request stands; None when it does not wait."""

    @abstractmethod
    async def waiting(self, wanted: Wanted = ALL, limit: int = 500) -> Sequence[Position]:
        """The first of those who wait and are wanted, in the order of service."""

    @abstractmethod
    async def count(self, wanted: Wanted = ALL) -> int:
        """How many wait that are wanted. Nothing is made of each of them: it may be asked for once a second."""

    @abstractmethod
    async def running(self, wanted: Wanted = ALL, limit: int | None = None) -> Sequence[Running]:
        """Those who hold a slot and are wanted, or the first of them."""

    @abstractmethod
    def stats(self) -> Sequence[PoolStats]:
        """Every pool at this moment. Of other daemons, what they told last: about a second ago."""

    @abstractmethod
    def status(self) -> QueueStatus:
        """How the queue itself does, and which daemons take part in it."""

    @abstractmethod
    def tell_revoked(self) -> None:
        """Somebody's rights have changed: all other daemons must look again."""

    @abstractmethod
    def tell(self, topic: str, body: Any, to: str | None = None) -> None:
        """Tell all other daemons something (JSON values, small), or the one of this boot id. What is told while a
        daemon cannot be reached is lost to it. A queue in one process has nobody to tell."""

    @abstractmethod
    def listen(self, topic: str, told: Callable[[str, Any], None]) -> None:
        """``told`` gets the boot id of another daemon and what it tells of this topic. It must not block; what it
        raises of ValueError, LookupError and TypeError is logged: the other daemon may be of another version."""

    @abstractmethod
    def crowding(self, pool: str) -> float:
        """How full a pool is: waiting requests per slot, below zero while a slot is free. Cheap enough to be
        asked for every request."""
