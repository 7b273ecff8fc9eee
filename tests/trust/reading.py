"""What a client got, taken apart: the upstream's own bytes, what keeps a stream open, how it ended."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.dialects import CREATED_AT
from tests.trust.answers import PATHS, Plan
from tests.trust.journal import Attempt

_NONCE = re.compile(rb"nonce-[0-9A-Za-z]+")


@dataclass(slots=True)
class Reply:
    """An answer as far as it has come."""

    status: int = 0
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False
    """HTTP says that nothing more comes."""


def judge(attempt: Attempt, wanted: Plan, reply: Reply) -> None:
    """Write into the attempt what its client can tell of the answer."""
    body = bytes(reply.body)
    attempt.status = reply.status
    attempt.foreign = sorted({found.decode() for found in _NONCE.findall(body)} - {attempt.nonce})[:5]
    if reply.status == 200 and wanted.stream:
        own = _stream(attempt, wanted, body)
    else:
        own = _whole(attempt, wanted, body) if reply.complete else b""
    attempt.got = len(own)
    attempt.digest = hashlib.sha256(own).hexdigest()
    if not reply.complete:
        return
    if attempt.finished:
        attempt.result = "answered"
    elif attempt.code or attempt.message or reply.status != 200:
        attempt.result = "error"
    else:
        attempt.result = "silent"


def _whole(attempt: Attempt, wanted: Plan, body: bytes) -> bytes:
    """What the model said, in a whole answer."""
    try:
        content = json.loads(body)
    except ValueError:
        return b""
    if attempt.status != 200:
        _error(attempt, content)
        return b""
    attempt.finished = True
    match PATHS[wanted.path]:
        case "ollama":
            text = content["message"]["content"]
        case "openai":
            text = content["choices"][0]["message"]["content"]
        case "anthropic":
            text = content["content"][0]["text"]
    return str(text).encode()


def _stream(attempt: Attempt, wanted: Plan, body: bytes) -> bytes:
    """The upstream's own bytes in a stream: whole lines or events."""
    dialect = PATHS[wanted.path]
    own = []
    end = b"\n" if dialect == "ollama" else b"\n\n"
    for unit in (part + end for part in body.split(end)[:-1]):
        if dialect == "openai":
            while unit.startswith(b": keep-alive\n"):
                unit = unit.removeprefix(b": keep-alive\n")  # noqa: PLW2901 - may come before any event
        content = _object(unit if dialect == "ollama" else unit.partition(b"data: ")[2])
        if content.get("error"):
            _error(attempt, content)
        elif not _is_keepalive(content, unit):
            own.append(unit)
            attempt.finished |= content.get("done") is True or b"[DONE]" in unit or b"event: message_stop" in unit
    return b"".join(own)


def _is_keepalive(content: dict[str, Any], unit: bytes) -> bool:
    return unit.startswith(b"event: ping") or content.get("created_at", CREATED_AT) != CREATED_AT


def _error(attempt: Attempt, content: dict[str, Any]) -> None:
    """Ollama's dialect has no place for the code."""
    error = content.get("error")
    if isinstance(error, dict):
        attempt.code = str(error.get("code") or "")
        attempt.message = str(error.get("message") or "")
    else:
        attempt.message = str(error or "")


def _object(text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
