"""What the live stream has told, kept for the screens: the latest figures, their history, and what happened last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from llmgate import schemas

SECONDS = 300
"""How far the history goes back: a figure for each second."""
RECENT = 200
"""Events that are kept."""


@dataclass(slots=True)
class Picture:
    """Everything that the screens show of the live stream. It is bounded, however long it runs."""

    stats: schemas.StatsEvent | None = None
    recent: deque[schemas.FeedEvent] = field(default_factory=lambda: deque(maxlen=RECENT))
    lost: int = 0
    count: int = 0
    """How many figures there have been of each name, kept or not."""
    _history: dict[str, deque[float]] = field(default_factory=dict)

    def fold(self, stats: schemas.StatsEvent) -> None:
        """Take the figures of one more second."""
        self.stats = stats
        self.count += 1
        figures = {
            "waiting": float(stats.waiting),
            "running": float(stats.running),
            "requests": stats.requests_per_second,
            "errors": stats.errors_per_second,
            "refused": stats.refused_per_second,
            "output_tokens": stats.output_tokens_per_second,
            "input_tokens": stats.input_tokens_per_second,
            "first_token": stats.first_token_p50 or 0.0,
            "first_token_p95": stats.first_token_p95 or 0.0,
            "aged": float(sum(pool.aged_waiting for pool in stats.pools)),
        }
        for level in range(1, 6):
            figures[f"level{level}"] = float(sum(pool.waiting_by_level.get(level, 0) for pool in stats.pools))
        for name, value in figures.items():
            self._history.setdefault(name, deque(maxlen=SECONDS)).append(value)

    def note(self, events: Iterable[schemas.FeedEvent], lost: int) -> None:
        """Take what happened since the last time."""
        self.recent.extend(events)
        self.lost += lost

    def history(self, name: str) -> list[float]:
        """A figure of the last seconds, oldest first: waiting, running, requests, errors, refused, output_tokens,
        input_tokens, first_token, first_token_p95, aged, level1 … level5."""
        return list(self._history.get(name, ()))

    def still(self) -> Picture:
        """The figures as they are now, which do not change any more."""
        history = {name: deque(values) for name, values in self._history.items()}
        return Picture(self.stats, lost=self.lost, count=self.count, _history=history)
