"""The objects of Ollama's answers."""

from __future__ import annotations

import json
from typing import Any

from llmgate.daemon.protocols.base import Call, Task, Usage
from llmgate.daemon.protocols.bodies import dump_body
from llmgate.daemon.protocols.fields import count_of
from llmgate.daemon.protocols.ollama import timestamp
from llmgate.errors import UpstreamProtocolError

_REASONS = {"length": "length"}
"""Ollama knows no other reason than these and ``stop``; with tool calls it says ``stop`` too."""


def piece(
    call: Call,
    content: str = "",
    thinking: str = "",
    tool_calls: list[dict[str, Any]] | None = None,
    *,
    at: float | None = None,
) -> dict[str, Any]:
    """One object of an answer, not the last one. ``at`` is in seconds since the epoch, default now."""
    line: dict[str, Any] = {"model": call.model, "created_at": timestamp(at)}
    extras: dict[str, Any] = {}
    if thinking:
        extras["thinking"] = thinking
    if tool_calls:
        extras["tool_calls"] = tool_calls
    if call.route.task is Task.CHAT:
        line["message"] = {"role": "assistant", "content": content} | extras
    else:
        line |= {"response": content} | extras
    line["done"] = False
    return line


def ended(line: dict[str, Any], finish_reason: object, usage: Usage, durations: dict[str, int]) -> dict[str, Any]:
    """``line`` as the last object of an answer."""
    reason = _REASONS.get(finish_reason, "stop") if isinstance(finish_reason, str) else "stop"
    counts = {"prompt_eval_count": usage.input_tokens, "eval_count": usage.output_tokens}
    known = {key: count for key, count in counts.items() if count is not None}
    return line | {"done": True, "done_reason": reason} | durations | known


def dumped(content: dict[str, Any] | list[Any]) -> bytes:
    """JSON. Raises UpstreamProtocolError when the upstream's part of it cannot be written (NaN, too deep)."""
    try:
        return dump_body(content)
    except (ValueError, RecursionError):
        raise UpstreamProtocolError("The upstream's answer contains values that JSON does not have.") from None


def durations(timings: object, elapsed: float, first_token: float | None = None) -> dict[str, int]:
    """Ollama's durations in nanoseconds.

    From llama.cpp's ``timings`` (milliseconds) where there are any, else as they were measured here:
    ``elapsed`` seconds in all, the first token after ``first_token`` seconds.
    """
    reported = timings if isinstance(timings, dict) else {}
    prompt = _nanoseconds(reported.get("prompt_ms"))
    predicted = _nanoseconds(reported.get("predicted_ms"))
    total = max(0, int(elapsed * 1e9))
    if prompt is None or predicted is None:
        prompt = max(0, int((first_token or 0.0) * 1e9))
        predicted = max(0, total - prompt)
    return {
        "total_duration": max(total, prompt + predicted),
        "load_duration": 0,
        "prompt_eval_duration": prompt,
        "eval_duration": predicted,
    }


def tool_call(index: int, call_id: object, name: object, arguments: object) -> dict[str, Any]:
    """One tool call of an answer. Raises UpstreamProtocolError when it cannot be understood."""
    if not isinstance(name, str) or not name:
        raise UpstreamProtocolError("The upstream called a tool without naming it.")
    try:
        content = json.loads(arguments or "{}") if isinstance(arguments, str) else arguments or {}
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UpstreamProtocolError("The model called a tool with arguments that are not a JSON object.")
    call: dict[str, Any] = {"function": {"index": index, "name": name, "arguments": content}}
    return {"id": call_id} | call if isinstance(call_id, str) and call_id else call


def thinking_in(call: Call, message: dict[str, Any]) -> str:
    """What the model thought: servers name it differently. Nothing when the client does not want it."""
    thought = message.get("reasoning_content") or message.get("reasoning")
    return thought if isinstance(thought, str) and call.body.get("think") is not False else ""


def text_in(content: dict[str, Any], key: str) -> str:
    """A string of an upstream's answer, empty where it is none."""
    text = content.get(key)
    return text if isinstance(text, str) else ""


def first_choice(content: dict[str, Any]) -> dict[str, Any] | None:
    """The only choice of an answer, None where there is none (as in the usage chunk)."""
    choices = content.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    return choices[0]


def _nanoseconds(milliseconds: object) -> int | None:
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return None
    return count_of(int(milliseconds * 1e6)) if 0 <= milliseconds < 1e9 else None
