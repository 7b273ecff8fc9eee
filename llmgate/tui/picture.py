"""What the live stream has told, kept for the screens: the latest figures, their history, and what happened last."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from llmgate import schemas

SECONDS = 300
"""How far the history goes back: a figure for each second."""
RECENT = 200
"""Events that are kept."""
GAP = 2
"""Seconds in a row without figures that are more than an unsteady beat: they are told, and leave a gap."""
SILENCES = 20
"""Times without news that are kept."""


@dataclass(slots=True)
class Picture:
    """Everything that the screens show of the live stream. It is bounded, however long it runs."""

    stats: schemas.StatsEvent | None = None
    recent: deque[schemas.FeedEvent] = field(default_factory=lambda: deque(maxlen=RECENT))
    lost: int = 0
    count: int = 0
    """How many seconds there have been, with figures or without, kept or not."""
    silences: deque[tuple[datetime, datetime]] = field(default_factory=lambda: deque(maxlen=SILENCES))
    """Between which figures there were none, by the daemon's clock."""
    _history: dict[str, deque[float | None]] = field(default_factory=dict)

    def fold(self, stats: schemas.StatsEvent) -> None:
        """Take the figures of one more second."""
        missed = 0 if self.stats is None else seconds_between(self.stats.at, stats.at) - 1
        if self.stats is not None and missed >= GAP:
            self.silences.append((self.stats.at, stats.at))
            self.count += missed
        self.stats = stats
        self.count += 1
        figures = {
            "waiting": stats.waiting,
            "running": stats.running,
            "requests": stats.requests_per_second,
            "errors": stats.errors_per_second,
            "refused": stats.refused_per_second,
            "output_tokens": stats.output_tokens_per_second,
            "input_tokens": stats.input_tokens_per_second,
            "first_token": stats.first_token_p50 or 0.0,
            "first_token_p95": stats.first_token_p95 or 0.0,
            "aged": sum(pool.aged_waiting for pool in stats.pools),
        }
        for level in range(1, 6):
            figures[f"level{level}"] = sum(pool.waiting_by_level.get(level, 0) for pool in stats.pools)
        for name, value in figures.items():
            kept = self._history.setdefault(name, deque(maxlen=SECONDS))
            if missed >= GAP:
                kept.extend([None] * min(missed, SECONDS))
            kept.append(finite(value))

    def note(self, events: Iterable[schemas.FeedEvent], lost: int) -> None:
        """Take what happened since the last time."""
        self.recent.extend(events)
        self.lost += lost

    def history(self, name: str) -> list[float | None]:
        """A figure of the last seconds, oldest first, None where there was none: waiting, running, requests, errors,
        refused, output_tokens, input_tokens, first_token, first_token_p95, aged, level1 … level5."""
        return list(self._history.get(name, ()))

    def still(self) -> Picture:
        """The figures as they are now, which do not change any more."""
        history = {name: deque(values) for name, values in self._history.items()}
        return Picture(self.stats, lost=self.lost, count=self.count, silences=deque(self.silences), _history=history)


def seconds_between(before: datetime, after: datetime) -> int:
    """Whole seconds from one to the other. Where only one of them tells its zone, nobody knows: 0."""
    try:
        return round((after - before).total_seconds())
    except TypeError:
        return 0


def finite(value: float) -> float | None:
    """A figure that can be drawn; None where it is none, or greater than any."""
    try:
        figure = float(value)
    except OverflowError:
        return None
    return figure if math.isfinite(figure) else None
