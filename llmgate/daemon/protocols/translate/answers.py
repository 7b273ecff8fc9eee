"""Whole answers of OpenAI's API as Ollama's."""

from __future__ import annotations

import re
from typing import Any

from llmgate.daemon.protocols.answers import checked
from llmgate.daemon.protocols.base import Call, Task, Usage
from llmgate.daemon.protocols.failures import error_text
from llmgate.daemon.protocols.fields import object_in, openai_usage
from llmgate.daemon.protocols.translate.shapes import (
    dumped,
    durations,
    ended,
    first_choice,
    piece,
    text_in,
    thinking_in,
    tool_call,
)
from llmgate.errors import UpstreamProtocolError

__all__ = ["error_text", "local_answer", "whole"]


def local_answer(call: Call) -> bytes | None:
    """The answer to a request that asks nothing, else None.

    Ollama loads the model (or unloads it, with ``keep_alive`` 0) when messages, prompt or input are
    empty. The models of other servers are always loaded. One line of JSON, for streams too.
    """
    body = call.body
    if call.route.path == "/api/embeddings":
        return None if body.get("prompt") else _line({"embedding": []})
    if call.route.task is Task.EMBED:
        empty = {"model": call.model, "embeddings": [], "total_duration": 0, "load_duration": 0}
        return None if body.get("input") else _line(empty | {"prompt_eval_count": 0})
    if body.get("messages" if call.route.task is Task.CHAT else "prompt"):
        return None
    reason = "unload" if _is_zero(body.get("keep_alive")) else "load"
    return _line(piece(call) | {"done": True, "done_reason": reason})


def whole(call: Call, answer: bytes, elapsed: float = 0.0) -> tuple[bytes, Usage]:
    """An answer of status 200 as Ollama would give it, and its usage.

    Raises UpstreamProtocolError when it is not one, UpstreamError when it reports a failure.
    ``elapsed`` is how many seconds the answer took: the durations of servers that report none.
    """
    content = checked(object_in(answer, _float))
    usage = openai_usage(content) or Usage()
    if call.route.task is Task.EMBED:
        return _embeddings(call, content, usage, elapsed), usage
    line = _completion(call, content)
    spent = durations(content.get("timings"), elapsed)
    return dumped(ended(line, (first_choice(content) or {}).get("finish_reason"), usage, spent)), usage


def _completion(call: Call, content: dict[str, Any]) -> dict[str, Any]:
    choice = first_choice(content)
    if choice is None:
        raise UpstreamProtocolError("The upstream's answer contains no choice.")
    message = choice.get("message")
    if not isinstance(message, dict):
        return piece(call, text_in(choice, "text"))
    calls = message.get("tool_calls")
    tool_calls = [_tool_call(index, item) for index, item in enumerate(calls if isinstance(calls, list) else ())]
    return piece(call, text_in(message, "content"), thinking_in(call, message), tool_calls)


def _tool_call(index: int, item: object) -> dict[str, Any]:
    call = item if isinstance(item, dict) else {}
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    return tool_call(index, call.get("id"), function.get("name"), function.get("arguments"))


def _embeddings(call: Call, content: dict[str, Any], usage: Usage, elapsed: float) -> bytes:
    data = content.get("data")
    entries = data if isinstance(data, list) else []
    found = [entry.get("embedding") for entry in entries if isinstance(entry, dict)]
    vectors = [vector for vector in found if isinstance(vector, list)]
    if not vectors or len(vectors) != len(entries):
        raise UpstreamProtocolError("The upstream's answer contains no embeddings.")
    if call.route.path == "/api/embeddings":
        return dumped({"embedding": vectors[0]})
    spent = {"total_duration": max(0, int(elapsed * 1e9)), "load_duration": 0}
    rest = dumped({"model": call.model} | spent | {"prompt_eval_count": usage.input_tokens or 0})
    # One by one: writing thousands of vectors at once would hold up the other threads.
    return b'{"embeddings":[' + b",".join([dumped(vector) for vector in vectors]) + b"]," + rest[1:]


def _float(text: str) -> float:
    """Like ``float``, but as a function of Python's own: between two of them other threads can go on."""
    return float(text)


def _is_zero(keep_alive: object) -> bool:
    if isinstance(keep_alive, str):
        return "0" in keep_alive and re.search("[1-9]", keep_alive) is None
    return not isinstance(keep_alive, bool) and keep_alive == 0


def _line(content: dict[str, Any]) -> bytes:
    return dumped(content) + b"\n"
