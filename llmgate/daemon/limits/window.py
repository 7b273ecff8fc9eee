"""A sliding window of one minute, from two counters.

The count of the aligned minute that is running, and that of the minute before, weighted by how much of it the window
still covers. It takes the requests of a minute as evenly spread; measured at Cloudflare, 0.003 % of requests were
judged wrongly by that. Source: J. Desgats, "How we built rate limiting capable of scaling to millions of domains",
Cloudflare, 2017. Two numbers can be added over daemons, which a log of times or a bucket cannot.

Times are seconds on a clock that never goes back; all daemons of a cluster count the same minutes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted in the running minute and in the one before."""

    current: float = 0.0
    previous: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.current + other.current, self.previous + other.previous)

    def used(self, now: float) -> float:
        """What the last sixty seconds hold."""
        return self.current + self.previous * (1.0 - _elapsed(now) / MINUTE)

    def seconds_until_fits(self, amount: float, limit: float, now: float) -> float:
        """How long until ``amount``, which is at most ``limit``, fits into the window if nobody else comes."""
        elapsed, room = _elapsed(now), limit - amount
        if self.current <= room:
            fades = self.previous * (1.0 - elapsed / MINUTE) - (room - self.current)
            return max(0.0, fades * MINUTE / self.previous) if self.previous > 0 else 0.0
        return (MINUTE - elapsed) + MINUTE * (1.0 - max(0.0, room) / self.current)

    def seconds_until_empty(self, now: float) -> float:
        rest = MINUTE - _elapsed(now)
        if self.current > 0:
            return rest + MINUTE
        return rest if self.previous > 0 else 0.0


@dataclass(slots=True)
class Window:
    """The counters of one daemon. ``minute`` is the number of the running one."""

    minute: int = 0
    current: float = 0.0
    previous: float = 0.0

    def add(self, amount: float, now: float) -> int:
        """Count something; returns the number of the minute in which it was counted."""
        self._turn(minute_of(now))
        self.current += amount
        return self.minute

    def take_back(self, amount: float, minute: int, now: float) -> None:
        """What was counted in that minute has turned out to be so much less."""
        self._turn(minute_of(now))
        if minute == self.minute:
            self.current = max(0.0, self.current - amount)
        elif minute == self.minute - 1:
            self.previous = max(0.0, self.previous - amount)

    def counts(self, now: float) -> Counts:
        minute = minute_of(now)
        if minute < self.minute:  # told by a daemon whose clock is a little ahead
            return Counts(self.current + self.previous, 0.0)
        if minute == self.minute:
            return Counts(self.current, self.previous)
        return Counts(0.0, self.current if minute == self.minute + 1 else 0.0)

    def _turn(self, minute: int) -> None:
        if minute > self.minute:
            self.previous = self.current if minute == self.minute + 1 else 0.0
            self.current = 0.0
            self.minute = minute


def minute_of(now: float) -> int:
    return math.floor(now / MINUTE)


def _elapsed(now: float) -> float:
    return now % MINUTE
