"""How the daemon logs: one line of JSON per event, or coloured text on a terminal."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from llmgate.config import LogSettings

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def _severity(_logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Called ``severity``, because a ``level`` is something else here."""
    event["severity"] = method
    return event


_encode = json.JSONEncoder(default=repr, ensure_ascii=False).encode


def _as_json(event: MutableMapping[str, Any], **_: Any) -> str:
    """With an encoder that is made once: ``json.dumps`` with options makes one for every line."""
    return _encode(event)


def configure_logging(settings: LogSettings) -> None:
    """Send everything to stderr. Called once, by the command that runs the daemon."""
    level = _LEVELS[settings.level]
    console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        _severity,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # On a terminal, strings are quoted, because escapes in them would be obeyed; and a traceback is
    # plain, because one with the values of local variables would print passwords.
    last: list[Any] = (
        [structlog.dev.ConsoleRenderer(repr_native_str=True, exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_as_json)]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        stream=sys.stderr, level=max(level, logging.WARNING), format="%(levelname)s %(name)s %(message)s"
    )
