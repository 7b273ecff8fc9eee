"""SIGHUP has two meanings: an operator wants the configuration to be read again, or a terminal was closed."""

from __future__ import annotations

import os


def has_terminal() -> bool:
    """Whether this process has a controlling terminal at this moment."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


class Terminal:
    """The terminal on which the daemon was started, if it was started on one."""

    def __init__(self) -> None:
        self._was_there = has_terminal()

    @property
    def is_gone(self) -> bool:
        """Nobody can stop the daemon from there any more: it must end by itself."""
        return self._was_there and not has_terminal()
