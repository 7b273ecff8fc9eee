"""How far a pull has come, from the events that the daemon tells of it: figures, without a terminal."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from llmgate import schemas
from llmgate.errors import LLMGateError
from llmgate.text import model_size
from llmgate.tui.twin import twin

WINDOW = 5.0
"""Seconds over which the rate is measured."""
GRAIN = 0.1
"""Seconds between two points of the measurement, at least: however fast the events come, there are few."""
LAYERS = 2000
"""Layers of a model that are counted. It has a dozen, but what an upstream tells is not to be trusted."""
MOST = 2**60
"""Bytes, at most."""


class Share:
    """What happens on one upstream. Bytes are those of all layers that it has told of so far."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.status = ""
        self.error: str | None = None
        self.done = False
        self.completed = self.total = 0
        self._layers: dict[str, tuple[int, int]] = {}
        self._points: deque[tuple[float, int]] = deque()
        self._moved = 0

    def take(self, event: schemas.PullEvent, now: float) -> None:
        """Note what has happened, at ``now`` on a monotonic clock."""
        self.status = event.status or self.status
        self.done, self.error = event.done, event.error
        if event.digest is not None and (event.digest in self._layers or len(self._layers) < LAYERS):
            self._layer(event.digest, event.completed, event.total, now)

    def _layer(self, digest: str, completed: int | None, total: int | None, now: float) -> None:
        whole = min(max(total or 0, 0), MOST)
        there = min(max(completed or 0, 0), whole)
        known = self._layers.get(digest)
        before, known_size = known or (0, 0)
        self._layers[digest] = there, whole
        self.completed += there - before
        self.total += whole - known_size
        if known is not None:  # what was there before this pull was not loaded by it
            self._moved += max(0, there - before)
        if len(self._points) > 1 and now - self._points[-2][0] < GRAIN:
            self._points.pop()
        self._points.append((now, self._moved))
        self._forget(now)

    def _forget(self, now: float) -> None:
        while len(self._points) > 1 and self._points[1][0] <= now - WINDOW:
            self._points.popleft()

    def rate(self, now: float) -> float | None:
        """Bytes per second of late; None while it cannot be told."""
        self._forget(now)
        if self.done or not self._points or now - self._points[0][0] < GRAIN:
            return None
        began, moved = self._points[0]
        return (self._points[-1][1] - moved) / (now - began)

    @property
    def part(self) -> float:
        """0 to 1."""
        if self.done and not self.error:
            return 1.0
        return self.completed / self.total if self.total else 0.0


@dataclass(slots=True, eq=False)
class Pull:
    """A model that is being pulled, or was. ``at`` is the daemon that does it, by its URL."""

    body: schemas.ModelPull
    at: str
    began_at: datetime
    shares: dict[str, Share] = field(default_factory=dict)
    running: bool = True
    stopped: bool = False
    failure: LLMGateError | None = None
    """Why it ended before it was done everywhere."""
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    """The daemon has told something of it, or it has ended."""
    stood: bool = False
    """Whoever began it has been told that it runs; so its end is told as well."""

    @property
    def model(self) -> str:
        return self.body.model

    def take(self, event: schemas.PullEvent, now: float) -> None:
        """Note what has happened, at ``now`` on a monotonic clock."""
        if event.upstream not in self.shares:
            self.shares[event.upstream] = Share(event.upstream)
        self.shares[event.upstream].take(event, now)

    @property
    def part(self) -> float:
        """0 to 1, over all upstreams."""
        return sum(share.part for share in self.shares.values()) / len(self.shares) if self.shares else 0.0

    @property
    def completed(self) -> int:
        return sum(share.completed for share in self.shares.values())

    @property
    def total(self) -> int:
        return sum(share.total for share in self.shares.values())

    def rate(self, now: float) -> float | None:
        """Bytes per second, of all upstreams together."""
        rates = [rate for share in self.shares.values() if (rate := share.rate(now)) is not None]
        return sum(rates) if rates else None

    @property
    def failures(self) -> list[str]:
        """What went wrong, and where."""
        return [f"{share.upstream}: {share.error}" for share in self.shares.values() if share.error]

    @property
    def failed(self) -> bool:
        return self.failure is not None or bool(self.failures)

    @property
    def state(self) -> str:
        """running, stopped, failed or done."""
        if self.running:
            return "running"
        return "stopped" if self.stopped else "failed" if self.failed else "done"

    @property
    def status(self) -> str:
        """What is done at the moment, where the least is there; after the end why it failed."""
        if self.failures:
            return "; ".join(self.failures)
        busy = [share for share in self.shares.values() if not share.done]
        return min(busy, key=lambda share: share.part).status if busy else self.state

    @property
    def twin(self) -> str:
        """The command that would do the same."""
        options = [
            word
            for flag, value in (("--pool", self.body.pool), ("--upstream", self.body.upstream))
            if value
            for word in (flag, value)
        ]
        return twin("models pull", self.model, options=options)


def percent(part: float) -> str:
    """A part as people say it: all of it only when it is all."""
    return f"{int(part * 100):3d}%"


def bar(part: float, width: int) -> str:
    """A part as a bar of so many cells."""
    full = int(part * width)
    return "━" * full + "╌" * (width - full)


def amount(completed: int, total: int) -> str:
    """``0.9 of 2.0 GB``; "" while nothing is known."""
    if not total:
        return ""
    there, every = model_size(completed) or "", model_size(total) or ""
    same = there.rpartition(" ")[2] == every.rpartition(" ")[2]
    return f"{there.rpartition(' ')[0] if same else there} of {every}"


def speed(rate: float | None) -> str:
    """``35 MB/s``; "" while it cannot be told."""
    return "" if rate is None else f"{model_size(int(rate))}/s"
