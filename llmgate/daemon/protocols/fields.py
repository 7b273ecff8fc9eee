"""What the protocols have in common when they judge a body and estimate what it will cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from llmgate.daemon.protocols.base import Route, Task, Usage
from llmgate.daemon.protocols.bodies import MAX_MODEL_NAME, quoted
from llmgate.errors import InvalidRequest

_USUAL_OUTPUT = 256
"""Tokens that an answer is expected to have; a client's limit below that is believed."""
_ANSWERS = 1024
"""More than that nobody gets."""
_BYTES_PER_TOKEN = 4
_TOKENS_PER_ATTACHMENT = 800
"""About what vision models make of one image, whatever the size of its file."""
_ATTACHMENT_BYTES = 8192
"""A longer string that begins with so much ASCII without a space is an image or a file, not text."""
_NODES_LOOKED_AT = 10_000


def model_of(body: dict[str, Any]) -> str:
    """The model's name as the client wrote it. Raises InvalidRequest."""
    model = body.get("model")
    if not isinstance(model, str) or not model.strip():
        raise InvalidRequest("The request names no model.", hint="Set 'model' to a model's name.", param="model")
    if len(model) > MAX_MODEL_NAME:
        raise InvalidRequest(f"The model name is longer than {MAX_MODEL_NAME} characters.", param="model")
    if not model.isprintable():
        raise InvalidRequest(f"The model name {quoted(model)} contains unprintable characters.", param="model")
    return model


def stream_of(body: dict[str, Any], route: Route) -> bool:
    """Whether the client wants a stream. Raises InvalidRequest."""
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise InvalidRequest("'stream' must be true or false.", param="stream")
    if not route.can_stream:
        return False
    return route.stream_default if stream is None else stream


def expect(body: dict[str, Any], key: str, *kinds: type, required: bool = False) -> None:
    """Raise InvalidRequest unless ``body[key]`` is of one of the ``kinds`` (or absent or null, unless required)."""
    value = body.get(key)
    if value is None:
        if required:
            raise InvalidRequest(f"The request has no {key!r}.", param=key)
    elif not isinstance(value, kinds):
        names = " or ".join(_KIND_NAMES[kind] for kind in kinds)
        raise InvalidRequest(f"{key!r} must be {names}.", param=key)


def expect_messages(body: dict[str, Any], *, required: bool) -> None:
    """Raise InvalidRequest unless ``messages`` is a list of objects."""
    expect(body, "messages", list, required=required)
    if not all(isinstance(message, dict) for message in body.get("messages") or ()):
        raise InvalidRequest("'messages' must be a list of objects.", param="messages")


def count_of(value: object) -> int | None:
    """A token count out of an upstream's answer, None if it is not a sensible one."""
    return value if type(value) is int and 0 <= value < 2**53 else None


def object_in(data: bytes, parse_float: Callable[[str], float] | None = None) -> dict[str, Any] | None:
    """The JSON object that an upstream sent, None if it is not one."""
    try:
        content = json.loads(data, parse_float=parse_float)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def openai_usage(content: dict[str, Any]) -> Usage | None:
    """What the ``usage`` object of OpenAI's answers says; None where there is none."""
    usage = content.get("usage")
    if not isinstance(usage, dict):
        return None
    return Usage(
        input_tokens=count_of(usage.get("prompt_tokens", usage.get("input_tokens"))),
        output_tokens=count_of(usage.get("completion_tokens", usage.get("output_tokens"))),
    )


def expected_cost(task: Task, body: dict[str, Any], body_bytes: int, limit: object, answers: object = None) -> float:
    """Expected service in weighted tokens: input plus twice the output, which ``limit`` bounds. ``answers``: how many
    of them are wanted, if that is said."""
    text_bytes, attachments = body_bytes, 0
    if body_bytes > _ATTACHMENT_BYTES:
        for size in _attachment_sizes(body):
            text_bytes -= size
            attachments += 1
    tokens = max(text_bytes, 0) / _BYTES_PER_TOKEN + attachments * _TOKENS_PER_ATTACHMENT
    if task is Task.EMBED:
        return max(tokens, 1.0)
    output = limit if isinstance(limit, int) and 0 < limit < _USUAL_OUTPUT else _USUAL_OUTPUT
    return tokens + 2.0 * output * (answers if isinstance(answers, int) and 1 < answers <= _ANSWERS else 1)


def expected_tokens(task: Task, cost: float, body_bytes: int) -> float:
    """Expected input and output together, from what ``expected_cost`` has found."""
    if task is Task.EMBED:
        return cost
    tokens = min(cost, body_bytes / _BYTES_PER_TOKEN)  # too many where files are attached: that errs on the safe side
    return (tokens + cost) / 2.0


def _attachment_sizes(body: dict[str, Any]) -> Iterator[int]:
    pending: list[Any] = [body.get("messages"), body.get("input"), body.get("images")]
    for _ in range(_NODES_LOOKED_AT):
        if not pending:
            return
        node = pending.pop()
        if isinstance(node, dict):
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node[:_NODES_LOOKED_AT])
        elif isinstance(node, str) and len(node) > _ATTACHMENT_BYTES:
            beginning = node[:_ATTACHMENT_BYTES]
            if beginning.isascii() and " " not in beginning:
                yield len(node)


_KIND_NAMES: dict[type, str] = {str: "a string", list: "a list", dict: "an object"}
