"""How large the daemon of a soak is, from time to time, and whether it grows."""

from __future__ import annotations

import json
import os
import signal
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MEMORY_GROWTH: Final = 10_000_000
"""Bytes that it may grow after the first tenth of the time."""

FLAT: Final = {"descriptors": 3.0, "threads": 2.0, "tasks": 10.0}
"""How many more there may be, as the median of the end: the clients come and go all the time."""

BEGIN: Final = (0.10, 0.20)
END: Final = (0.95, 1.0)
"""Parts of the time that are compared, by their medians."""


@dataclass(frozen=True, slots=True)
class Look:
    """The daemon at one moment: seconds since the load began, bytes of memory (its share of what is shared, and all of
    what is resident), open files, threads, asyncio tasks, bytes of its database, requests asked so far."""

    at: float
    pss: int
    rss: int
    descriptors: int
    threads: int
    tasks: int
    stored: int
    requests: int


@dataclass(slots=True)
class Watcher:
    """Looks at one daemon; ``answers`` is the file into which it writes when it gets SIGUSR2."""

    pid: int
    state: Path
    answers: Path
    began: float = field(default_factory=time.monotonic)

    def look(self, requests: int) -> Look:
        """Raises OSError when it is not there any more."""
        process = Path(f"/proc/{self.pid}")
        sizes = _kilobytes(process / "smaps_rollup", "Pss", "Rss")
        (threads,) = _kilobytes(process / "status", "Threads")
        descriptors = len(list((process / "fd").iterdir()))
        stored = sum(file.stat().st_size for file in self.state.glob("*.db*"))
        told = self._told()
        os.kill(self.pid, signal.SIGUSR2)  # what it says is read the next time
        at = time.monotonic() - self.began
        return Look(at, 1024 * sizes[0], 1024 * sizes[1], descriptors, threads, told, stored, requests)

    def grown(self) -> list[str]:
        """Where its memory went, if it was asked to trace that."""
        try:
            found: list[str] = json.loads(self.answers.read_text(encoding="utf-8"))["grown"]
        except (OSError, ValueError):
            return []
        return found

    def _told(self) -> int:
        try:
            return int(json.loads(self.answers.read_text(encoding="utf-8"))["tasks"])
        except (OSError, ValueError):
            return 0


def _kilobytes(file: Path, *names: str) -> list[int]:
    """Numbers of a file of /proc that has one to a line."""
    lines = dict(line.split(":", 1) for line in file.read_text(encoding="ascii").splitlines() if ":" in line)
    return [int(lines[name].split()[0]) for name in names]


def median(looks: Sequence[Look], part: tuple[float, float], value: Callable[[Look], float]) -> float:
    """The median in a part of the time."""
    whole = looks[-1].at
    found = [value(one) for one in looks if part[0] * whole <= one.at <= part[1] * whole]
    return statistics.median(found or [value(looks[-1])])


def growth(looks: Sequence[Look], value: Callable[[Look], float]) -> float:
    """From the end of the first tenth of the time to its end."""
    return median(looks, END, value) - median(looks, BEGIN, value)


def grown_too_much(looks: Sequence[Look]) -> list[str]:
    """What is larger at the end than it may be, in words."""
    found = []
    for what, value in (("PSS", lambda look: look.pss), ("RSS", lambda look: look.rss)):
        if (grown := growth(looks, value)) >= MEMORY_GROWTH:
            found.append(f"grown: {what} by {grown / 1e6:.1f} MB after the first tenth of the time")
    counted: dict[str, Callable[[Look], float]] = {
        "descriptors": lambda look: look.descriptors,
        "threads": lambda look: look.threads,
        "tasks": lambda look: look.tasks,
    }
    for what, count in counted.items():
        if (more := growth(looks, count)) > FLAT[what]:
            found.append(f"grown: {more:.0f} more {what} than after the first tenth of the time")
    return found
