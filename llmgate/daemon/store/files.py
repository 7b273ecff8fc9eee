"""Files that only the daemon's own user may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from llmgate.errors import StateUnreadable


def prepare_private(path: Path) -> None:
    """Make sure that ``path`` is a file of mode 0600, in a directory that is made with 0700 when there is none.

    SQLite gives its -wal and -shm files the mode of the database file.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as failure:
        raise StateUnreadable(
            f"Cannot write {path}: {failure.strerror}.",
            hint="Check the directory's owner, or choose another one with state.dir.",
        ) from None
    check_private(path)


def check_private(path: Path) -> None:
    """Raises StateUnreadable when others than its owner may touch the file, or its owner is another user."""
    status = path.stat()
    if status.st_uid not in (os.geteuid(), 0):
        raise StateUnreadable(f"{path} belongs to another user.", hint=f"Run: chown $(id -u) '{path}'")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise StateUnreadable(f"Others may read or write {path}.", hint=f"Run: chmod 600 '{path}'")
