"""Commands on the daemon's machine use its parts, whose log is not what the user has asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def without_log() -> Iterator[None]:
    """Let nothing be logged in this process until the block ends, by llmgate or by a library."""
    before, disabled = structlog.get_config(), logging.root.manager.disable
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    logging.disable()  # without a handler, Python would write warnings on standard error
    try:
        yield
    finally:
        logging.disable(disabled)
        structlog.configure(**before)
