"""What one daemon knows of a pool, and what all of them know together.

Every daemon counts its own waiting and running requests; the statistics of a cluster are the sum of these reports.
So any daemon can tell them, also while nobody dispatches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from typing import Any

from llmgate.daemon.queue.figures import Figures, quantile
from llmgate.daemon.queue.ticket import LEVELS, PoolStats

REPORTED = 64
"""Recent waits of each level, and service times, that a report carries."""


@dataclass(frozen=True, slots=True)
class PoolReport:
    """One daemon's part of a pool. Waits and service times are recent ones, in seconds, the latest first."""

    pool: str
    state: str
    waiting_by_level: Mapping[int, int]
    aged_waiting: int
    oldest_wait: float
    running: Mapping[str, int]
    """By upstream, the requests of this daemon."""
    slots: Mapping[str, int] = field(default_factory=dict)
    """By upstream of the pool, as this daemon sees it."""
    usable: bool = False
    """Whether any of them can be granted requests."""
    granted: int = 0
    granted_aged: int = 0
    promotions: int = 0
    arrivals_per_second: float = 0.0
    grants_per_second: float = 0.0
    waits: Mapping[int, Sequence[float]] = field(default_factory=dict)
    services: Sequence[float] = ()

    @property
    def waiting(self) -> int:
        return self.aged_waiting + sum(self.waiting_by_level.values())

    def to_wire(self) -> dict[str, Any]:
        """As JSON has it, where keys are strings."""
        wire = asdict(self)
        for name in ("waiting_by_level", "waits"):
            wire[name] = {str(level): value for level, value in wire[name].items()}
        return wire

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> PoolReport:
        """Fields of a newer daemon that are not known here are left out."""
        known = {name: wire[name] for name in cls.__dataclass_fields__ if name in wire}
        for name in ("waiting_by_level", "waits"):
            known[name] = {int(level): value for level, value in wire.get(name, {}).items()}
        return cls(**known)


def figures_of(figures: Figures, now: float) -> dict[str, Any]:
    """The fields of a report that come from a pool's figures."""
    return {
        "granted": figures.granted,
        "granted_aged": figures.granted_aged,
        "promotions": figures.promotions,
        "arrivals_per_second": figures.arrivals.per_second(now),
        "grants_per_second": figures.grants.per_second(now),
        "waits": {level: _latest(waits) for level, waits in figures.waits.items() if waits},
        "services": _latest(figures.services),
    }


def _latest(values: Any) -> list[float]:
    return [round(value, 4) for value in islice(reversed(values), REPORTED)]


def merge(own: PoolReport, others: Iterable[PoolReport] = (), *, dispatcher: str = "", epoch: int = 0) -> PoolStats:
    """The statistics of a pool. ``own`` is the report of the daemon that is asked: its upstreams count."""
    reports = [own, *others]
    by_level = {level: sum(report.waiting_by_level.get(level, 0) for report in reports) for level in LEVELS}
    waits = {
        level: found
        for level in LEVELS
        if (found := list(chain.from_iterable(report.waits.get(level, ()) for report in reports)))
    }
    services = list(chain.from_iterable(report.services for report in reports))
    running: Counter[str] = Counter()
    for report in reports:
        running.update(report.running)
    return PoolStats(
        pool=own.pool,
        state=own.state,
        slots=sum(own.slots.values()),
        running=running.total(),
        waiting=sum(report.waiting for report in reports),
        waiting_by_level=by_level,
        aged_waiting=sum(report.aged_waiting for report in reports),
        oldest_wait=max(report.oldest_wait for report in reports),
        granted=sum(report.granted for report in reports),
        granted_aged=sum(report.granted_aged for report in reports),
        promotions=sum(report.promotions for report in reports),
        wait_p50={level: quantile(found, 0.50) for level, found in waits.items()},
        wait_p95={level: quantile(found, 0.95) for level, found in waits.items()},
        wait_max={level: max(found) for level, found in waits.items()},
        arrivals_per_second=sum(report.arrivals_per_second for report in reports),
        grants_per_second=sum(report.grants_per_second for report in reports),
        service_p50=quantile(services, 0.50) if services else None,
        service_p95=quantile(services, 0.95) if services else None,
        upstreams={name: (running[name], slots) for name, slots in own.slots.items()},
        dispatcher=dispatcher,
        epoch=epoch,
    )
