"""A program on a pseudo terminal, and how long it takes until a key is seen there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

KEPT = 400_000
"""Bytes of what it has drawn that are kept."""


class Terminal:
    """What the program draws is read by a thread as it comes, as a terminal would."""

    def __init__(self, process: subprocess.Popen[bytes], side: int) -> None:
        self.pid = process.pid
        self._process, self._side = process, side
        self._drawn = bytearray()
        self._changed = threading.Condition()
        self.bytes = 0
        threading.Thread(target=self._read, daemon=True).start()

    def press(self, key: bytes, expected: str, seconds: float = 10.0) -> float:
        """Press a key; seconds until something that fits ``expected`` is drawn. Raises TimeoutError."""
        wanted = re.compile(expected.encode())
        with self._changed:
            self._drawn.clear()
        pressed = time.perf_counter()
        os.write(self._side, key)
        with self._changed:
            while wanted.search(self._drawn) is None:
                left = pressed + seconds - time.perf_counter()
                if left <= 0 or not self._changed.wait(left):
                    raise TimeoutError(f"{key!r} did not lead to {expected!r}: {bytes(self._drawn[-2000:])!r}")
        return time.perf_counter() - pressed

    def wait_for(self, expected: str, seconds: float = 30.0) -> None:
        """Until this is drawn, or was."""
        wanted = re.compile(expected.encode())
        with self._changed:
            found = self._changed.wait_for(lambda: wanted.search(self._drawn) is not None, seconds)
        if not found:
            raise TimeoutError(f"{expected!r} was not drawn: {bytes(self._drawn[-2000:])!r}")

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._side, 65_536)
            except OSError:
                return
            if not data:
                return
            with self._changed:
                self.bytes += len(data)
                self._drawn += data
                del self._drawn[:-KEPT]
                self._changed.notify_all()


@contextmanager
def terminal(command: Sequence[str], environ: dict[str, str], columns: int, lines: int) -> Iterator[Terminal]:
    """Run a command on a terminal of this size for the time of the block."""
    side, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    settings = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environ}
    process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=settings, start_new_session=True)
    os.close(other)
    try:
        yield Terminal(process, side)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(side)
