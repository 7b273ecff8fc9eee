"""What the load client is told to do, and what it tells when it is done."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Job:
    """What to ask, where, and how.

    Without ``rate`` and ``windows``: ``requests`` answers over ``connections``, each asks again when it has its answer,
    but not after so many ``seconds`` (0: however long it takes).
    With ``rate``: as many requests come by chance at so many per second, whether or not earlier ones are answered.
    With ``windows``: all connections ask once, and when all streams run, the time is looked at in so many windows; with
    ``cut`` the streams are left then, and are not read to their ends.
    ``pids``: processes whose CPU time is noted at the same moments.
    """

    url: str
    key: str
    model: str
    connections: int
    requests: int
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    rate: float = 0.0
    windows: int = 0
    cut: bool = False
    window_seconds: float = 1.0
    pids: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Window:
    """What happened between two moments; ``units`` are answers or, of streams, events."""

    units: int
    seconds: float
    cpu: float


@dataclass(slots=True)
class Found:
    """What came back. ``whole`` are the answers that ended with [DONE], ``reasons`` say why others failed."""

    answers: int = 0
    events: int = 0
    tokens: int = 0
    whole: int = 0
    failures: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    first: list[float] = field(default_factory=list)
    """Seconds from sending to the answer's first byte."""

    windows: list[Window] = field(default_factory=list)

    def fail(self, reason: str) -> None:
        self.failures += 1
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
