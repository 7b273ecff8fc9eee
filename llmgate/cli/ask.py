"""Questions to the user, on a terminal's standard error."""

from __future__ import annotations

import getpass
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmgate.errors import Declined, InputNeeded, StateUnreadable
from llmgate.text import clean

SECRET_BYTES = 4096
"""Longest secret read from a file or from standard input."""


def line(prompt: str) -> str:
    """One line, as it is typed."""
    with _interruptible():
        sys.stderr.write(clean(prompt))
        sys.stderr.flush()
        return sys.stdin.readline().strip()


def secret(prompt: str, *, repeat: bool = False) -> str:
    """One hidden line, typed twice with ``repeat``. Raises Declined when the two differ."""
    with _interruptible():
        text = getpass.getpass(f"{prompt}: ", stream=sys.stderr)
        if repeat and getpass.getpass("Once more: ", stream=sys.stderr) != text:
            raise Declined("The two differ.", hint="Nothing was changed; try again.")
    return _some(text, prompt)


def secret_from_stdin(what: str) -> str:
    """The next line of standard input."""
    return _some(sys.stdin.readline(SECRET_BYTES).rstrip("\r\n"), what)


def secret_from_file(file: Path, what: str) -> str:
    """The first line of a file. Raises StateUnreadable."""
    try:
        with file.expanduser().open(encoding="utf-8") as source:
            return _some(source.readline(SECRET_BYTES).rstrip("\r\n"), what)
    except (OSError, UnicodeDecodeError):
        raise StateUnreadable(f"The file {file} cannot be read.", hint="Check its path and its mode.") from None


def _some(text: str, what: str) -> str:
    if not text:
        raise InputNeeded(f"{what}: nothing was given.")
    return text


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a question at once. While a coroutine runs, asyncio only notes it for later."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        raise
    finally:
        signal.signal(signal.SIGINT, before)
