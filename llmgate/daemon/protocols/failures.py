"""What an upstream says when it answers with an error."""

from __future__ import annotations

from typing import Any

from llmgate.daemon.protocols.base import Protocol
from llmgate.daemon.protocols.fields import object_in

_MESSAGE_LIMIT = 1000


def message_in(content: dict[str, Any]) -> str | None:
    """The message of an error in any dialect: ``error`` as text or as an object, ``message``, ``detail``."""
    error = content.get("error")
    if isinstance(error, dict):
        error = error.get("message") or error.get("type")
    for value in (error, content.get("message"), content.get("detail")):
        if isinstance(value, str) and value.strip():
            return _one_line(value)
    return None


def error_text(status: int, body: bytes) -> str:
    """The message in an upstream's answer of another status than 200, as one short line."""
    content = object_in(body)
    message = message_in(content) if content else None
    return message or f"The upstream answered with status {status}."


def own_words(protocol: Protocol, body: bytes) -> bytes | None:
    """An upstream's error body if it is in the caller's dialect and can be passed on as it is, else None."""
    content = object_in(body)
    return body if content is not None and protocol.is_error(content) else None


def _one_line(text: str) -> str:
    text = text[: 2 * _MESSAGE_LIMIT].encode("utf-8", "replace").decode()  # half a character cannot be sent on
    line = " ".join(text.split())
    return line if len(line) <= _MESSAGE_LIMIT else f"{line[:_MESSAGE_LIMIT]}…"
