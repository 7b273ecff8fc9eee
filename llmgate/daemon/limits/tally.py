"""What one principal uses, in this daemon and in the others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from llmgate.daemon.limits.window import Window

FAR = 1e18
"""No count is as large: what another daemon tells is bounded by it."""


@dataclass(slots=True)
class Spent:
    """Tokens of a UTC day and its month: what the database held when it was asked, and what this daemon has added
    since. ``others`` is, by daemon, its count of ended tokens that the database's answer holds already."""

    day: date
    today: int
    this_month: int
    read_at: float
    others: dict[str, int] = field(default_factory=dict)

    def is_of(self, moment: datetime) -> bool:
        return self.day == moment.date()


@dataclass(slots=True)
class Tally:
    """What this daemon knows of its own requests of one principal.

    ``reserved`` are the tokens that requests which are not settled are expected to use; ``ended`` counts the tokens
    of all that have ended here, since the tally began.
    """

    requests: Window = field(default_factory=Window)
    tokens: Window = field(default_factory=Window)
    running: int = 0
    waiting: int = 0
    unsettled: int = 0
    reserved: float = 0.0
    ended: int = 0
    used_at: float = 0.0
    spent: Spent | None = None

    @property
    def in_flight(self) -> int:
        return self.running + self.waiting

    def is_active(self, now: float, seconds: float) -> bool:
        """Whether it counts for others: something is in flight, or was lately."""
        return self.unsettled > 0 or now - self.used_at < seconds

    def told(self, unwritten: int) -> list[float]:
        """For other daemons. ``unwritten`` are ended tokens that the database does not hold yet."""
        return [
            self.requests.minute, self.requests.current, self.requests.previous,
            self.tokens.minute, round(self.tokens.current), round(self.tokens.previous),
            self.running, self.waiting, round(self.reserved), self.ended, unwritten,
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """What another daemon has told of its requests of one principal."""

    requests: Window
    tokens: Window
    running: int
    waiting: int
    reserved: float
    ended: int
    unwritten: int

    @property
    def written(self) -> int:
        """Of the ended tokens, those that the database holds."""
        return max(0, self.ended - self.unwritten)

    def at_rest(self) -> Told:
        """Of a daemon that was not heard for too long: nothing is in flight there, and all is written or lost."""
        return replace(self, running=0, waiting=0, reserved=0.0, unwritten=0)

    @classmethod
    def read(cls, told: Any) -> Told:
        """Raises ValueError or TypeError when it is no such thing."""
        values = [min(max(float(value), 0.0), FAR) for value in told]
        if len(values) != 11 or any(map(math.isnan, values)):
            raise ValueError("not a tally")
        requests = Window(int(values[0]), values[1], values[2])
        tokens = Window(int(values[3]), values[4], values[5])
        return cls(requests, tokens, int(values[6]), int(values[7]), values[8], int(values[9]), int(values[10]))


@dataclass(slots=True)
class Peer:
    """Another daemon, as it has told last. Whom it does not name uses nothing there."""

    heard_at: float
    tallies: Mapping[str, Told]
