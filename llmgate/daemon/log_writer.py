"""Writes the log without ever waiting for whoever reads it.

A pipe to a journal that hangs, a terminal that was stopped with Ctrl-S, a reader that is gone: none of it may hold up
the event loop, and with it every request. What can be written at once is; what cannot waits for a thread, in order and
up to a bound. Beyond that, and while the disk is full, lines are dropped; how many is told as soon as that can be done.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable

AT_ONCE = 4096
"""So many bytes go into a pipe that takes any, in one piece also beside other processes (PIPE_BUF)."""
MOST_BYTES = 1024 * 1024
"""Waiting to be written."""
LAST_SECONDS = 2.0
"""Longest wait at the end for what is not written yet."""


class LogWriter:
    """A text stream on ``descriptor``. ``lost`` makes a line of how many were dropped."""

    def __init__(self, descriptor: int, lost: Callable[[int], str]) -> None:
        self._descriptor = descriptor
        self._lost = lost
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._dropped = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def write(self, text: str) -> int:
        """Take a line, with its end. Never waits, never raises."""
        line = text.encode("utf-8", "backslashreplace")
        with self._changed:
            if self._waiting or not self._written_at_once(line):
                self._keep(line)
        return len(text)

    def flush(self) -> None:
        """There is nothing that would have to be asked for."""

    def close(self) -> None:
        """Wait a moment for what is not written yet."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, LAST_SECONDS)

    def _written_at_once(self, line: bytes) -> bool:
        if len(line) > AT_ONCE:
            return False
        try:
            if not select.select((), (self._descriptor,), (), 0)[1]:
                return False
            rest = line[os.write(self._descriptor, line) :]
        except BlockingIOError:
            return False
        except OSError:  # nobody reads any more, or the disk is full
            self._dropped += 1
            return True
        if rest:  # a terminal may take a part
            self._keep(rest)
        elif self._dropped:
            self._tell_dropped()
        return True

    def _tell_dropped(self) -> None:
        """Something was written: so this may be as well."""
        count, self._dropped = self._dropped, 0
        self._keep(self._lost(count).encode())

    def _keep(self, line: bytes) -> None:
        if self._size + len(line) > MOST_BYTES:
            self._dropped += 1
            return
        self._waiting.append(line)
        self._size += len(line)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_on, name="log", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _write_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                line = self._waiting[0]
            is_written = _write_all(self._descriptor, line)
            with self._changed:
                self._waiting.popleft()
                self._size -= len(line)
                if not is_written:
                    self._dropped += 1
                elif not self._waiting and self._dropped:
                    self._tell_dropped()
                self._changed.notify_all()


def _write_all(descriptor: int, line: bytes) -> bool:
    """Wait as long as it takes. False when nobody will read it, or when the disk is full."""
    rest = memoryview(line)
    try:
        while rest:
            select.select((), (descriptor,), ())
            try:
                rest = rest[os.write(descriptor, rest[:AT_ONCE]) :]
            except BlockingIOError:
                continue
    except OSError:
        return False
    return True
