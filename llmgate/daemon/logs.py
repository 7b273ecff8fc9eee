"""How the daemon logs: one line of JSON per event, or coloured text on a terminal."""

from __future__ import annotations

import atexit
import json
import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from llmgate.config import LogSettings
from llmgate.daemon.log_writer import LogWriter
from llmgate.text import clean

_NUMBERS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "exception": logging.ERROR,
}
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _Threshold:
    """The first of the processors: drops what is less severe than ``least``, which can be changed."""

    def __init__(self, least: int) -> None:
        self.least = least

    def __call__(self, _logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if _NUMBERS.get(method, logging.CRITICAL) < self.least:
            raise structlog.DropEvent
        return event


def _severity(_logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Called ``severity``, because a ``level`` is something else here."""
    event["severity"] = method
    return event


_encode = json.JSONEncoder(default=repr, ensure_ascii=False).encode


def _as_json(event: MutableMapping[str, Any], **_: Any) -> str:
    """With an encoder that is made once: ``json.dumps`` with options makes one for every line.

    Logs are read on terminals: what one would obey (the controls above ASCII, changes of direction) is written out.
    """
    line = _encode(event)
    return line if line.isascii() and "\x7f" not in line else clean(line)


def _signed(worker: int) -> Any:
    def sign(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["worker"] = worker
        return event

    return sign


def _stderr(*, json_lines: bool) -> Any:
    """Standard error as something that one never waits for; itself, where it is no file (in a test)."""

    def lost(count: int) -> str:
        fact = {"event": "log_lines_dropped", "count": count, "severity": "warning"}
        return (json.dumps(fact) if json_lines else f"log_lines_dropped count={count}") + "\n"

    try:
        descriptor = sys.stderr.fileno()
    except (OSError, ValueError):  # io.UnsupportedOperation is both
        return sys.stderr
    writer = LogWriter(descriptor, lost)
    atexit.register(writer.close)
    return writer


def configure_logging(settings: LogSettings, worker: int | None = None) -> None:
    """Send everything to stderr, each line with the number of the ``worker``, if this process is one.

    Called once, by the command that runs the daemon.
    """
    level = _LEVELS[settings.level]
    stream = _stderr(json_lines=settings.format != "console")
    console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        _Threshold(level),
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
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        # Writes a line with its end at once, so that those of several workers do not mix.
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    sender = "" if worker is None else f"worker={worker} "
    logging.basicConfig(
        stream=stream, level=max(level, logging.WARNING), format=f"{sender}%(levelname)s %(name)s %(message)s"
    )
    for library in ("aiormq", "aio_pika"):  # every failure of theirs is told by the queue, in a line of its own
        logging.getLogger(library).setLevel(logging.CRITICAL)


def set_log_level(name: str) -> None:
    """From now on write what is at least so severe. Nothing, where ``configure_logging`` was not called."""
    level = _LEVELS[name]
    for processor in structlog.get_config()["processors"]:
        if isinstance(processor, _Threshold):
            processor.least = level
            logging.getLogger().setLevel(max(level, logging.WARNING))
