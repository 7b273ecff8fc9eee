"""Whole answers of status 200: whether they are answers, and what they say of themselves."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

from llmgate.daemon.protocols.failures import message_in
from llmgate.daemon.protocols.fields import object_in
from llmgate.errors import UpstreamError, UpstreamProtocolError

PARSED_BYTES = 1024 * 1024
"""Of a larger answer (many embeddings) only the ends are read: parsing holds up the event loop, even in a thread."""

_END_BYTES = 4096
_COUNTS = re.compile(rb'"(usage|prompt_eval_count|eval_count)"\s*:\s*')
"""In any dialect. Inside a JSON string quotes are escaped, so text that a model writes cannot contain them."""
_DECODER = json.JSONDecoder()


def answer_in(answer: bytes) -> dict[str, Any]:
    """The object that an answer is, as far as its usage can be read from it.

    Raises UpstreamProtocolError when it is not a JSON object, UpstreamError when it reports a failure.
    """
    return checked(object_in(answer) if len(answer) <= PARSED_BYTES else _counts_in(answer))


def checked(content: dict[str, Any] | None) -> dict[str, Any]:
    """``content`` as it is, if it is an answer. Raises as ``answer_in`` does."""
    if content is None:
        raise UpstreamProtocolError("The upstream's answer is not a JSON object.")
    if content.get("error"):
        raise UpstreamError(f"The upstream failed: {message_in(content) or 'it does not say why.'}")
    return content


def _counts_in(answer: bytes) -> dict[str, Any] | None:
    """What is counted in a large answer; None when it does not begin and end as an object does.

    It stands behind the content, or before it (llama.cpp).
    """
    head, tail = answer[:_END_BYTES], answer[-_END_BYTES:]
    if not (head.lstrip().startswith(b"{") and tail.rstrip().endswith(b"}")):
        return None
    return _members(head) | _members(tail)


def _members(text: bytes) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for found in _COUNTS.finditer(text):
        rest = text[found.end() :].decode("utf-8", "replace")
        with suppress(ValueError, RecursionError):
            value, end = _DECODER.raw_decode(rest)
            if end < len(rest):  # else it may go on
                members[found[1].decode()] = value
    return members
