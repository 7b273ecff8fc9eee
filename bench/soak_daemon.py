"""The gateway for a soak: what it does once an hour, it does once a minute, and what it keeps for days, for minutes.

Otherwise it is the daemon that everybody has: ``python -m bench.soak_daemon serve …``. On SIGUSR2 it writes how many
asyncio tasks there are into the file that SOAK_LOOK names; with PYTHONTRACEMALLOC, also what has got most memory since
the first time.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tracemalloc
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from llmgate.cli.main import run
from llmgate.daemon import retention

VARIABLE: Final = "SOAK_LOOK"
ROUND_SECONDS: Final = 60.0
KEPT: Final = timedelta(minutes=2)
SHOWN: Final = 25
"""Places of the program in the list of what has got memory."""


def hasten() -> None:
    """Retention once a minute; a setting of days means so many minutes."""

    def before(now: datetime, days: int) -> datetime:
        return now - timedelta(minutes=days)

    retention.ROUND_SECONDS = ROUND_SECONDS
    retention.TURN = timedelta(seconds=ROUND_SECONDS / 2)
    retention.ENDED_SESSIONS_KEPT = retention.IDEMPOTENCY_KEPT = KEPT
    retention._before = before  # noqa: SLF001 - the one place where days become a time


class Looks:
    """Answers SIGUSR2."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._first: tracemalloc.Snapshot | None = None

    def __call__(self, number: int, frame: object) -> None:
        self._file.write_text(json.dumps({"tasks": len(asyncio.all_tasks()), "grown": self._grown()}))

    def _grown(self) -> list[str]:
        if not tracemalloc.is_tracing():
            return []
        now = tracemalloc.take_snapshot()
        self._first = self._first or now
        return [str(one) for one in now.compare_to(self._first, "lineno")[:SHOWN]]


def main() -> None:
    os.setpgid(0, 0)  # an interrupt from the keyboard is for the soak, which ends this one when it is ready
    hasten()
    if VARIABLE in os.environ:
        signal.signal(signal.SIGUSR2, Looks(Path(os.environ[VARIABLE])))
    run()


if __name__ == "__main__":
    main()
