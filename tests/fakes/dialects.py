"""Answers as the real servers write them: Ollama's NDJSON, OpenAI's and Anthropic's server-sent events."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.fakes.script import Script

NDJSON = "application/x-ndjson"
SSE = "text/event-stream"
JSON = "application/json; charset=utf-8"
CREATED_AT = "2026-01-02T03:04:05.678901234Z"
CREATED = 1767323045


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in pieces: what comes before the tokens, one piece per token, what ends it, and how an
    error in its middle looks. ``then`` is what it does to the server, just before its end is told."""

    content_type: str
    tokens: Sequence[bytes]
    before: Sequence[bytes] = ()
    after: Sequence[bytes] = ()
    error: bytes = b""
    whole: bool = False
    status: int = 200
    then: Callable[[], None] = lambda: None


def go_json(value: Any) -> bytes:
    """JSON as Go's encoder writes it: compact, unescaped except for the characters of HTML."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # Half a character has no encoding, but JSON has a way to write it.
    return text.encode(errors="backslashreplace")


def sse(value: Any, event: str | None = None) -> bytes:
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + go_json(value) + b"\n\n"


def whole(value: Any, status: int = 200) -> Answer:
    return Answer(JSON, [go_json(value)], whole=True, status=status)


# Ollama


def ollama_answer(body: dict[str, Any], script: Script, *, chat: bool) -> Answer:
    """``/api/chat`` and ``/api/generate``."""

    def line(text: str, thinking: str = "", calls: Sequence[Any] = (), **rest: Any) -> dict[str, Any]:
        content: dict[str, Any] = {"role": "assistant", "content": text} if chat else {"response": text}
        if thinking:
            content["thinking"] = thinking
        if calls:
            content["tool_calls"] = list(calls)
        part = {"message": content} if chat else content
        return {"model": body["model"], "created_at": CREATED_AT, **part, "done": False, **rest}

    calls = [{"function": {"name": name, "arguments": dict(arguments)}} for name, arguments in script.tool_calls]
    context: dict[str, Any] = {} if chat else {"context": [1, 2, 3]}
    final: dict[str, Any] = {"done": True, "done_reason": script.finish, **context, **_metrics(script)}
    if not body.get("stream", True):
        return whole(line("".join(script.tokens), "".join(script.thinking), calls, **final))
    pieces = [line("", thought) for thought in script.thinking] + [line(token) for token in script.tokens]
    if calls:
        pieces.append(line("", calls=calls))
    return Answer(
        NDJSON,
        [go_json(piece) + b"\n" for piece in pieces],
        after=[go_json(line("", **final)) + b"\n"],
        error=go_json({"error": script.error_after[1] if script.error_after else ""}) + b"\n",
    )


def _metrics(script: Script) -> dict[str, int]:
    return {
        "total_duration": 174560334,
        "load_duration": 101397084,
        "prompt_eval_count": script.input_tokens,
        "prompt_eval_duration": 13074791,
        "eval_count": len(script.tokens),
        "eval_duration": 52479709,
    }


def ollama_embed(body: dict[str, Any], script: Script) -> Answer:
    """``/api/embed``, and ``/api/embeddings`` with its single ``prompt``."""
    if "prompt" in body:
        return whole({"embedding": [0.25, -0.5, 1.0]})
    inputs = body["input"] if isinstance(body.get("input"), list) else [body.get("input", "")]
    return whole(
        {
            "model": body["model"],
            "embeddings": [[0.25, -0.5, 1.0] for _ in inputs],
            "total_duration": 14143917,
            "load_duration": 1019500,
            "prompt_eval_count": script.input_tokens,
        }
    )


LAYER = "sha256:dde5aa3fc5ffc17176b5e8bdc82f587b24b2678c6c66101bf7da77af9f7ccdff"
LAYER_BYTES = 4000


def ollama_pull(then: Callable[[], None]) -> Answer:
    """``/api/pull``: one layer in four parts, each of which counts as a token."""

    def line(status: str, **rest: Any) -> bytes:
        return go_json({"status": status, **rest}) + b"\n"

    layer = {"digest": LAYER, "total": LAYER_BYTES}
    parts = [{}, *({"completed": LAYER_BYTES * part // 4} for part in range(1, 5))]
    return Answer(
        NDJSON,
        [line("pulling dde5aa3fc5ff", **layer, **part) for part in parts],
        before=[line("pulling manifest")],
        after=[line("verifying sha256 digest"), line("writing manifest"), line("success")],
        error=go_json({"error": "max retries exceeded"}) + b"\n",
        then=then,
    )


# OpenAI


def openai_usage(script: Script) -> dict[str, int]:
    given, made = script.input_tokens, len(script.tokens)
    return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}


def openai_chat(body: dict[str, Any], script: Script, extra: dict[str, Any] | None = None) -> Answer:
    """``/v1/chat/completions``. ``extra`` goes into the last object (llama.cpp's ``timings``)."""
    base = {"id": "chatcmpl-123", "created": CREATED, "model": body["model"], "system_fingerprint": "fp_ollama"}
    calls = [
        {"index": i, "id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": json.dumps(args)}}
        for i, (name, args) in enumerate(script.tool_calls)
    ]
    finish = "tool_calls" if calls else script.finish
    if not body.get("stream"):
        message: dict[str, Any] = {"role": "assistant", "content": "".join(script.tokens)}
        if script.thinking:
            message["reasoning_content"] = "".join(script.thinking)
        if calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "finish_reason": finish}
        usage = openai_usage(script)
        return whole({**base, "object": "chat.completion", "choices": [choice], "usage": usage, **(extra or {})})

    def delta(content: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": content, "finish_reason": reason}
        return sse({**base, "object": "chat.completion.chunk", "choices": [choice]})

    tokens = [delta({"reasoning_content": thought}) for thought in script.thinking]
    tokens += [delta({"role": "assistant", "content": token}) for token in script.tokens]
    tokens += [delta({"tool_calls": [call]}) for call in calls]
    after = [delta({}, finish)]
    if (body.get("stream_options") or {}).get("include_usage"):
        final = {**base, "object": "chat.completion.chunk", "choices": [], "usage": openai_usage(script)}
        after.append(sse({**final, **(extra or {})}))
    return Answer(SSE, tokens, after=[*after, b"data: [DONE]\n\n"], error=_openai_error(script))


def openai_completion(body: dict[str, Any], script: Script, extra: dict[str, Any] | None = None) -> Answer:
    """``/v1/completions``."""
    base = {"id": "cmpl-123", "object": "text_completion", "created": CREATED, "model": body["model"]}

    def choice(text: str, reason: str | None) -> dict[str, Any]:
        return {"choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": reason}]}

    if not body.get("stream"):
        content = choice("".join(script.tokens), script.finish)
        return whole({**base, **content, "usage": openai_usage(script), **(extra or {})})
    after = [sse({**base, **choice("", script.finish)})]
    if (body.get("stream_options") or {}).get("include_usage"):
        after.append(sse({**base, "choices": [], "usage": openai_usage(script), **(extra or {})}))
    tokens = [sse({**base, **choice(token, None)}) for token in script.tokens]
    return Answer(SSE, tokens, after=[*after, b"data: [DONE]\n\n"], error=_openai_error(script))


def openai_embeddings(body: dict[str, Any], script: Script) -> Answer:
    """``/v1/embeddings``."""
    inputs = body["input"] if isinstance(body.get("input"), list) else [body.get("input", "")]
    data = [{"object": "embedding", "embedding": [0.25, -0.5, 1.0], "index": i} for i in range(len(inputs))]
    usage = {"prompt_tokens": script.input_tokens, "total_tokens": script.input_tokens}
    return whole({"object": "list", "data": data, "model": body["model"], "usage": usage})


def openai_responses(body: dict[str, Any], script: Script) -> Answer:
    """``/v1/responses``."""
    text = "".join(script.tokens)
    given, made = script.input_tokens, len(script.tokens)
    response = {"id": "resp_123", "object": "response", "created_at": CREATED, "model": body["model"], "output": []}
    content = [{"type": "output_text", "text": text, "annotations": []}]
    item = {"id": "msg_123", "type": "message", "status": "completed", "role": "assistant", "content": content}
    usage = {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}
    completed = {**response, "status": "completed", "output": [item], "usage": usage}
    if not body.get("stream"):
        return whole(completed)

    def event(kind: str, **rest: Any) -> bytes:
        return sse({"type": kind, **rest}, kind)

    return Answer(
        SSE,
        [event("response.output_text.delta", item_id="msg_123", delta=token) for token in script.tokens],
        before=[event("response.created", response={**response, "status": "in_progress"})],
        after=[
            event("response.output_text.done", item_id="msg_123", text=text),
            event("response.completed", response=completed),
        ],
        error=event("error", message=script.error_after[1] if script.error_after else "", code="server_error"),
    )


def _openai_error(script: Script) -> bytes:
    text = script.error_after[1] if script.error_after else ""
    return sse({"error": {"message": text, "type": "server_error", "code": None, "param": None}})


# Anthropic


def anthropic_message(body: dict[str, Any], script: Script) -> Answer:
    """``/v1/messages``."""
    message = {"id": "msg_123", "type": "message", "role": "assistant", "model": body["model"]}
    reason = {"stop": "end_turn", "length": "max_tokens"}.get(script.finish, script.finish)
    given, made = script.input_tokens, len(script.tokens)
    if not body.get("stream"):
        content = [{"type": "text", "text": "".join(script.tokens)}]
        usage = {"input_tokens": given, "output_tokens": made}
        return whole({**message, "content": content, "stop_reason": reason, "stop_sequence": None, "usage": usage})

    def event(kind: str, **rest: Any) -> bytes:
        return sse({"type": kind, **rest}, kind)

    start = {**message, "content": [], "stop_reason": None, "usage": {"input_tokens": given, "output_tokens": 0}}
    error = {"type": "api_error", "message": script.error_after[1] if script.error_after else ""}
    return Answer(
        SSE,
        [event("content_block_delta", index=0, delta={"type": "text_delta", "text": token}) for token in script.tokens],
        before=[
            event("message_start", message=start),
            event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        ],
        after=[
            event("content_block_stop", index=0),
            event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": made}),
            event("message_stop"),
        ],
        error=event("error", error=error),
    )
