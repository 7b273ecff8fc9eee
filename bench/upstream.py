"""A fake Ollama that costs next to nothing: it lists its models and writes prepared bytes.

The model's name says what it answers: ``burst-20`` is 20 chunks as fast as they go, ``paced-400-25``
is 400 chunks, one every 25 milliseconds, ``hold`` never answers.

Run: ``python -m bench.upstream PORT [MODEL …]``; without models it lists one of each kind.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import cast

import uvloop

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
MODELS = ("burst-20", "paced-400-25", "hold")
LISTINGS = {b"/api/version": b'{"version": "0.12.6"}'}
LAST_CHUNK = b"0\r\n\r\n"


def event(delta: dict[str, object], finish: str | None = None) -> bytes:
    """One SSE event as vLLM and llama.cpp write it, as one HTTP chunk."""
    body = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "bench",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return chunk(b"data: " + json.dumps(body).encode() + b"\n\n")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def end(tokens: int) -> bytes:
    usage = {"prompt_tokens": 100, "completion_tokens": tokens, "total_tokens": 100 + tokens}
    last = {"id": "chatcmpl-0", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": []}
    return (
        event({}, "stop")
        + chunk(b"data: " + json.dumps({**last, "usage": usage}).encode() + b"\n\n")
        + chunk(b"data: [DONE]\n\n")
        + b"0\r\n\r\n"
    )


TOKEN = event({"content": " token"})


class Upstream(asyncio.Protocol):
    """One connection; requests on it come one after the other."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        if length is None and not head.startswith(b"GET"):  # in chunks, which need not be put together to be searched
            size = rest.find(LAST_CHUNK) + len(LAST_CHUNK)
            if size < len(LAST_CHUNK):
                return
        else:
            size = int(length[1]) if length else 0
        if len(rest) < size:
            return
        self._buffer = rest[size:]
        if head.startswith(b"GET"):
            self._whole(LISTINGS.get(head.split(b" ", 2)[1], b"{}"))
        else:
            self._answer(rest[:size])

    def _whole(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._write(head % len(body) + body)

    def _answer(self, body: bytes) -> None:
        model = re.search(rb'"model": ?"([a-z0-9-]+)"', body)
        kind, *numbers = (model[1].decode() if model else "burst-20").split("-")
        if kind == "hold":
            return
        count = int(numbers[0])
        self._write(HEAD)
        if kind == "burst":
            for _ in range(count):
                self._write(TOKEN)
            self._write(end(count))
        else:
            self._paced(count, count, int(numbers[1]) / 1000)

    def _paced(self, left: int, count: int, interval: float) -> None:
        if self._transport is None:
            return
        if left == 0:
            self._write(end(count))
            return
        self._write(TOKEN)
        asyncio.get_running_loop().call_later(interval, self._paced, left - 1, count, interval)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def list_models(models: list[str], slots: int = 8192) -> None:
    """What there is, as Ollama tells it; and as SGLang does, with how many requests it takes at once, for SMG."""
    ollama = json.dumps({"models": [{"name": name, "model": name} for name in models]}).encode()
    served = [{"id": name, "object": "model", "owned_by": "sglang"} for name in models]
    LISTINGS.update(
        {
            b"/api/tags": ollama,
            b"/api/ps": ollama,
            b"/v1/models": json.dumps({"object": "list", "data": served}).encode(),
            b"/server_info": json.dumps({"version": "0.5.3", "max_running_requests": slots}).encode(),
        }
    )


async def main(port: int, models: list[str]) -> None:
    list_models(models or list(MODELS))
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2:]))
