"""What a pool's recent past says about how long one has to wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from llmgate.daemon.queue.policy import Turn
from llmgate.daemon.queue.ticket import LEVELS

RECENT_WAITS = 512
RECENT_SERVICES = 256
RATE_SECONDS = 10
"""Rates are averages over so many seconds."""

SMOOTHING = 0.2
"""Weight of the latest service time in the moving average."""

SERVICE_GUESS = 5.0
"""Seconds of service assumed for ``retry_after`` until a first answer has ended."""

RETRY_AFTER_RANGE = (1.0, 120.0)


class Rate:
    """How often something happens per second, over the last RATE_SECONDS."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int]] = deque(maxlen=RATE_SECONDS + 1)

    def note(self, now: float) -> None:
        second = int(now)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1] = (second, self._seconds[-1][1] + 1)
        else:
            self._seconds.append((second, 1))

    def per_second(self, now: float) -> float:
        """Of the whole seconds before this one and the present one."""
        since = int(now) - RATE_SECONDS
        return sum(count for second, count in self._seconds if second > since) / RATE_SECONDS


class Figures:
    """Counts and times of one pool since the start. Times are in seconds."""

    def __init__(self) -> None:
        self.granted = 0
        self.granted_aged = 0
        self.promotions = 0
        self.last_grant_at = 0.0
        self.mean_service: float | None = None
        """Exponentially weighted; None until an answer has ended."""
        self.arrivals = Rate()
        self.grants = Rate()
        self.services: deque[float] = deque(maxlen=RECENT_SERVICES)
        self.waits: dict[int, deque[float]] = {level: deque(maxlen=RECENT_WAITS) for level in LEVELS}
        """Recent waits, by the level of submission."""

    def note_grant(self, turn: Turn, now: float) -> None:
        waited = now - turn.ticket.submitted_at
        self.last_grant_at = now
        self.granted += 1
        self.granted_aged += turn.aged
        self.grants.note(now)
        self.waits[turn.ticket.level].append(waited)

    def note_service(self, seconds: float) -> None:
        self.services.append(seconds)
        if self.mean_service is None:
            self.mean_service = seconds
        else:
            self.mean_service += SMOOTHING * (seconds - self.mean_service)

    def estimated_wait(self, ahead: int, slots: int, now: float) -> float | None:
        """How long until its turn for someone with ``ahead`` tickets before it, all slots being busy: a slot
        becomes free every mean service time / slots, and the last time was at the last grant."""
        if self.mean_service is None or not slots:
            return None
        between = self.mean_service / slots
        return ahead * between + max(0.0, between - (now - self.last_grant_at))

    def retry_after(self, depth: int, slots: int, chance: float) -> float:
        """When to come again: the time to serve ``depth`` tickets, spread so that not all come at once.

        ``chance`` is a random number of [0, 1).
        """
        mean = SERVICE_GUESS if self.mean_service is None else self.mean_service
        return spread(depth * mean / max(1, slots), chance)


def spread(seconds: float, chance: float) -> float:
    """A ``Retry-After`` within ±20 % of ``seconds``, and within reason."""
    shortest, longest = RETRY_AFTER_RANGE
    return min(longest, max(shortest, seconds * (0.8 + 0.4 * chance)))


def quantile(values: Iterable[float], share: float) -> float:
    """Nearest rank: the value that ``share`` of them do not exceed; 0 when there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
