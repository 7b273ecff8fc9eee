"""Calls as the gateway makes them, and the answers of a real llama.cpp server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llmgate.daemon.protocols import ENDPOINTS
from llmgate.daemon.protocols.base import Call, StreamReader

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> bytes:
    return (RECORDED / name).read_bytes()


def call_of(path: str, **body: Any) -> Call:
    endpoint = ENDPOINTS[path]
    return endpoint.protocol.parse("req-1", endpoint.route, {"model": "smollm2"} | body)


def chat_call(**body: Any) -> Call:
    return call_of("/api/chat", **({"messages": [{"role": "user", "content": "hi"}]} | body))


def relayed(reader: StreamReader, *chunks: bytes) -> bytes:
    """What a client sees of a stream that arrives in these chunks and then ends."""
    return b"".join([*(reader.feed(chunk) for chunk in chunks), reader.finish()])


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def sse(*events: object, done: bool = True) -> bytes:
    data = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    return b"".join(data) + (b"data: [DONE]\n\n" if done else b"")


def delta(finish_reason: str | None = None, **content: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": content, "finish_reason": finish_reason}]}


def usage_chunk(prompt: int = 5, completion: int = 7) -> dict[str, Any]:
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}
