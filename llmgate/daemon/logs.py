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


def _signed(worker: int) -> Any:
    def sign(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["worker"] = worker
        return event

    return sign


def configure_logging(settings: LogSettings, worker: int | None = None) -> None:
    """Send everything to stderr, each line with the number of the ``worker``, if this process is one.

    Called once, by the command that runs the daemon.
    """
    level = _LEVELS[settings.level]
    console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        _severity,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([] if worker is None else [_signed(worker)]),
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
        # Writes a line with its end at once, so that those of several workers do not mix.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    sender = "" if worker is None else f"worker={worker} "
    logging.basicConfig(
        stream=sys.stderr, level=max(level, logging.WARNING), format=f"{sender}%(levelname)s %(name)s %(message)s"
    )
    for library in ("aiormq", "aio_pika"):  # every failure of theirs is told by the queue, in a line of its own
        logging.getLogger(library).setLevel(logging.CRITICAL)
