"""What goes to an upstream and what comes from it, checked; the same for every kind."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Iterable
from typing import Any

from llmgate.config import UpstreamSettings
from llmgate.daemon.protocols.bodies import INLINE_BYTES, dump_body
from llmgate.daemon.upstreams.base import UpstreamAnswer
from llmgate.errors import UpstreamProtocolError

FORWARDED = frozenset({b"accept", b"anthropic-version", b"anthropic-beta", b"traceparent"})
"""The headers of a client that an upstream gets to see. Never a credential."""
MODELS_MAX = 10_000
DEPTH_MAX = 100
LINE_BYTES = 64 * 1024
"""Longest line of a stream of objects."""
_HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")


def forwarded_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Those of a client's headers (as ASGI gives them) that go on."""
    return {name.decode("ascii"): value.decode("latin-1") for name, value in headers if name in FORWARDED}


async def json_body(body: dict[str, Any]) -> bytes:
    """The body as JSON; written in a thread when it is large enough to hold up the event loop."""
    if _text_beyond(body, INLINE_BYTES) <= 0:
        return await asyncio.to_thread(dump_body, body)
    return dump_body(body)


def _text_beyond(value: Any, budget: int) -> int:
    """What is left of ``budget`` characters after the strings in ``value``. Stops when nothing is left."""
    if isinstance(value, str):
        return budget - len(value)
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            budget = _text_beyond(item, budget - 8)
            if budget <= 0:
                break
    return budget


def entries(document: Any, key: str, name: str, upstream: UpstreamSettings) -> list[dict[str, Any]]:
    """The objects listed in ``document[key]`` that have a name. Raises UpstreamProtocolError."""
    listed = document.get(key) if isinstance(document, dict) else None
    if listed is None and isinstance(document, dict) and key in document:
        return []  # Go writes an empty list as null
    if not isinstance(listed, list):
        raise UpstreamProtocolError(
            f"The upstream {upstream.name} does not list its models like a server of kind {upstream.kind!r}.",
            hint="Check its url and kind.",
        )
    return [entry for entry in listed[:MODELS_MAX] if isinstance(entry, dict) and isinstance(entry.get(name), str)]


async def objects(answer: UpstreamAnswer, upstream: UpstreamSettings) -> AsyncIterator[dict[str, Any]]:
    """The objects of an NDJSON answer, as they arrive. Raises UpstreamProtocolError, UpstreamCut or UpstreamTimeout."""
    kept = b""
    async for chunk in answer.chunks():
        *whole, kept = (kept + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield _object(line, upstream)
        if len(kept) > LINE_BYTES:
            raise UpstreamProtocolError(f"The upstream {upstream.name} sends a line without end.")
    if kept.strip():
        yield _object(kept, upstream)


def document_in(text: bytes) -> Any:
    """The JSON that an upstream sent. Half a character, which JSON can name but nobody can send on, is a question mark;
    NaN, Infinity and what is too large to be a number, which strict readers refuse, are None.

    Raises ValueError, also for what is nested deeper than can be sent on, or RecursionError.
    """
    found = json.loads(text, parse_float=_finite, parse_constant=lambda _: None)
    if _is_deeper(found, DEPTH_MAX):
        raise ValueError("nested too deep")
    if _HALF_CHARACTER.search(text):
        return json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    return found


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in inner)


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _object(line: bytes, upstream: UpstreamSettings) -> dict[str, Any]:
    try:
        found = document_in(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UpstreamProtocolError(f"The upstream {upstream.name} sends something else than objects.")
    return found
