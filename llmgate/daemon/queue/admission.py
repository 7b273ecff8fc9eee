"""Who may join the line, and what those are told who may not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llmgate.config import QueueSettings
from llmgate.daemon.queue.figures import spread
from llmgate.daemon.queue.pool import Pool
from llmgate.errors import Draining, LimitExceeded, PoolDraining, QueueFull, UpstreamUnavailable

DRAINING_RETRY = 15.0
"""Seconds after which someone whom a drain refused may ask again: a restart is over by then."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many wait here: in all, and of one owner. Those who are about to be granted do not count."""

    all: int
    own: int


class Admission:
    """The bounds of the line. ``capacity`` tells the slots of a pool; ``chance`` gives random numbers of [0, 1)."""

    def __init__(self, settings: QueueSettings, capacity: Callable[[str], int], chance: Callable[[], float]) -> None:
        self._settings = settings
        self._capacity = capacity
        self._chance = chance

    def apply(self, settings: QueueSettings) -> None:
        """From now on these bounds hold, for who comes."""
        self._settings = settings

    def check_open(self, pool: Pool, model: str, now: float, *, is_retry: bool) -> None:
        """Raises PoolDraining, or UpstreamUnavailable. A retry was admitted before a drain began."""
        if pool.is_draining and not is_retry:
            raise PoolDraining(retry_after=self._retry_after(pool, len(pool.line)))
        if pool.is_out(model, self._settings.outage_grace, now):
            raise self.unavailable(pool)

    def check_room(self, pool: Pool, crowd: Crowd, max_own: int | None = None) -> None:
        """Raises LimitExceeded when the owner's places, which ``max_own`` may make fewer, are taken, QueueFull when
        all are."""
        places = self._settings.max_waiting_per_principal
        if crowd.own >= (places if max_own is None else min(places, max_own)):
            message, hint = f"{crowd.own} of your requests wait already: that is the limit.", "Let some of them finish."
            raise LimitExceeded(message, hint=hint, retry_after=self._retry_after(pool, crowd.own))
        if crowd.all >= self._settings.max_waiting:
            message, hint = f"{crowd.all} requests wait already: that is the limit.", "Try again later."
            raise QueueFull(message, hint=hint, retry_after=self._retry_after(pool, len(pool.line)))

    def draining(self) -> Draining:
        """The daemon is going away."""
        return Draining(hint="Try again shortly.", retry_after=spread(DRAINING_RETRY, self._chance()))

    def unavailable(self, pool: Pool) -> UpstreamUnavailable:
        """Nobody serves this model, for longer than one waits for."""
        return UpstreamUnavailable(
            f"No upstream of the pool {pool.name} that has this model is usable at the moment.",
            hint="Try again later; the operator should look whether they run.",
            retry_after=spread(self._settings.outage_grace, self._chance()),
        )

    def _retry_after(self, pool: Pool, depth: int) -> float:
        return pool.figures.retry_after(depth, self._capacity(pool.name), self._chance())
