"""`llmgate`, which also tells how many tasks it has: `python -m tests.trust.daemon serve …`.

At SIGUSR1 it writes the number into the file ``tasks`` of its working directory.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path
from types import FrameType

from llmgate.cli.main import run


def tell(number: int, frame: FrameType | None) -> None:
    """By name: which ones are left over is worth knowing."""
    tasks = [task for task in asyncio.tasks._all_tasks if not task.done()]  # type: ignore[attr-defined]
    names = Counter(getattr(task.get_coro(), "__qualname__", "?") for task in tasks)
    draft = Path("tasks.new")
    draft.write_text("\n".join(f"{name} {count}" for name, count in sorted(names.items())), encoding="utf-8")
    draft.rename("tasks")


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell)
    run()
