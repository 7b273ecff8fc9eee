"""What comes of a soak."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from bench.soak_life import Counts
from bench.soak_looks import Look


@dataclass(slots=True)
class Found:
    """What came of it. ``place``: where the queue and the accounts were; ``minutes`` and ``requests`` were wanted;
    ``rows`` and ``total`` are the gateway's single rows and the requests in its hourly sums; ``beats``: how often
    somebody logged in and looked around; ``grown``: where memory went, if that was traced."""

    place: str
    minutes: float
    requests: int
    looks: list[Look] = field(default_factory=list)
    counts: Counts | None = None
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    most_at_work: int = 0
    rows: int = 0
    total: int = 0
    beats: int = 0
    interrupted: bool = False
    grown: list[str] = field(default_factory=list)
