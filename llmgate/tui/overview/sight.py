"""What is known at one moment of everything that the first screen shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from llmgate import schemas
from llmgate.tui.overview.log import Log
from llmgate.tui.picture import Picture

LEVELS = range(1, 6)


@dataclass(slots=True)
class Sight:
    """None: the daemon has not told it yet. ``waiting`` are the first of those who wait. ``stale``: it is not known
    whether it still is like this."""

    picture: Picture
    now: datetime
    log: Log
    upstreams: Sequence[schemas.Upstream] | None = None
    running: Sequence[schemas.Running] | None = None
    waiting: schemas.WaitingPage | None = None
    usage: schemas.UsageReport | None = None
    status: schemas.QueueStatus | None = None
    stale: bool = False
    faults: Mapping[str, str] = field(default_factory=dict)
    """What was asked for and is not known, and why."""

    @property
    def stats(self) -> schemas.StatsEvent | None:
        return self.picture.stats

    @property
    def pools(self) -> Sequence[schemas.PoolStats]:
        return self.stats.pools if self.stats else ()


def longest(waits: Sequence[dict[int, float]], level: int) -> float | None:
    """Of the waits that several pools tell of a level, the longest: there is no percentile of percentiles."""
    return max((wait[level] for wait in waits if level in wait), default=None)
