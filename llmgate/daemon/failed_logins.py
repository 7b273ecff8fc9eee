"""How many logins failed, hour by hour. Who it was is not kept: a password may stand where a name should."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from llmgate.daemon.clock import utc_now
from llmgate.daemon.events import Event, LoginFailed

HOURS = 24


@dataclass(slots=True)
class Hour:
    """What failed within the hour that begins at ``hour``."""

    hour: datetime
    failed: int = 0
    throttled: int = 0


class FailedLogins:
    """A subscriber of the event bus that keeps two numbers for each of the last 24 hours in which it has heard any."""

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._hours: deque[Hour] = deque(maxlen=HOURS)

    def __call__(self, event: Event) -> None:
        if not isinstance(event, LoginFailed):
            return
        hour = self._clock().replace(minute=0, second=0, microsecond=0)
        if not self._hours or self._hours[-1].hour != hour:
            self._hours.append(Hour(hour))
        if event.throttled:
            self._hours[-1].throttled += 1
        else:
            self._hours[-1].failed += 1

    def hours(self) -> list[Hour]:
        """Those of the last day, oldest first."""
        since = self._clock() - timedelta(hours=HOURS)
        return [one for one in self._hours if one.hour > since]
