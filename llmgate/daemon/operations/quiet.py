"""Commands on the daemon's machine use its parts, whose log is not what the user has asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def without_log() -> Iterator[None]:
    """Let nothing be logged in this process until the block ends."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    try:
        yield
    finally:
        structlog.configure(**before)
