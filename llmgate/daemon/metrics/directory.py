"""Where the workers of one machine keep their metrics: a directory of their parent's, one file per worker and kind.

The files are named by the number of the worker, not by its process: one that was started again goes on counting where
the dead one stopped, so that totals never go back and the number of files stays the same. What was only true while it
lived (gauges) is taken out by the parent when it has died.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmgate.errors import StateUnreadable

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable by which prometheus_client knows that there are several processes."""
_PREFIX = "metrics-"


@contextmanager
def for_workers(state: Path) -> Iterator[Path]:
    """In the parent: a new, empty directory that only we may read, removed at the end. What parents left behind that
    were killed is removed at the start. Raises StateUnreadable."""
    directory = state / f"{_PREFIX}{os.getpid()}"
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_left(state)
        directory.mkdir(mode=0o700)
    except OSError as failure:
        raise StateUnreadable(
            f"Cannot write {directory}: {failure.strerror}.",
            hint="Check the directory's owner, or choose another one with state.dir.",
        ) from None
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def worker_died(directory: Path, number: int) -> None:
    """In the parent: what a worker told of its own state is not true any more."""
    for file in directory.glob(f"gauge_live*_{number}.db"):
        file.unlink(missing_ok=True)


def share_as(number: int) -> None:
    """In a worker, before there is any metric: keep them in the parent's directory, under this number."""
    from prometheus_client import values  # noqa: PLC0415 - reads the environment when it is imported

    if shared_directory() is not None:
        values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]


def shared_directory() -> str | None:
    """In a worker, the parent's directory; None in a daemon that is alone."""
    return os.environ.get(VARIABLE) or None


def _remove_left(state: Path) -> None:
    for old in state.glob(f"{_PREFIX}*"):
        pid = old.name.removeprefix(_PREFIX)
        if pid.isdigit() and (int(pid) == os.getpid() or not Path(f"/proc/{pid}").exists()):
            shutil.rmtree(old, ignore_errors=True)
