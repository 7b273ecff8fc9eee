"""A fake Ollama whose streams prove themselves: each chunk says when it was written, and the last one before the end
has the digest of all before it.

The model ``timed-300-200`` answers with 300 such chunks, one every 200 milliseconds. Run: ``python -m
bench.streams_upstream PORT MODEL …``.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import re
import sys
import time
from typing import Final

import uvloop

from bench.upstream import HEAD, LISTINGS, Upstream, chunk

CLOCK: Final = b" at "
"""Before the time in a chunk's text, which is in seconds of the monotonic clock and CLOCK_DIGITS long."""

CLOCK_DIGITS: Final = 18


def event(text: str) -> bytes:
    """One event, as vLLM and llama.cpp write it."""
    body = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "bench",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


BEFORE, AFTER = event("@").split(b"@")


def timed_event(stream: int, number: int, clock: float) -> bytes:
    """A chunk of a stream. Made without JSON, for thousands per second."""
    return BEFORE + f"{stream}.{number}{CLOCK.decode()}{clock:0{CLOCK_DIGITS}.6f}".encode() + AFTER


def digest_event(digest: str) -> bytes:
    """Told behind the last of the timed chunks: the SHA-256, in hexadecimal digits, of all of them."""
    return event(f"sha256 {digest}")


def ending(chunks: int) -> list[bytes]:
    """The events after the digest: the same for all streams of one length."""
    last = {"id": "chatcmpl-0", "object": "chat.completion.chunk", "created": 1, "model": "bench"}
    choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": chunks, "total_tokens": 100 + chunks}
    documents: list[dict[str, object]] = [{**last, "choices": [choice]}, {**last, "choices": [], "usage": usage}]
    return [*(b"data: " + json.dumps(one).encode() + b"\n\n" for one in documents), b"data: [DONE]\n\n"]


class Prover(Upstream):
    """One connection. A stream keeps to the times that it had set out with, however busy the machine is."""

    numbers = itertools.count(1)

    def _answer(self, body: bytes) -> None:
        asked = re.search(rb'"timed-(\d+)-(\d+)"', body)
        assert asked is not None
        self._count, self._pause = int(asked[1]), int(asked[2]) / 1000
        self._stream, self._digest = next(self.numbers), hashlib.sha256()
        self._write(HEAD)
        self._tell(1, asyncio.get_running_loop().time())

    def _tell(self, number: int, due: float) -> None:
        if self._transport is None:
            return
        if number > self._count:
            last = [digest_event(self._digest.hexdigest()), *ending(self._count)]
            self._write(b"".join(map(chunk, last)) + b"0\r\n\r\n")
            return
        told = timed_event(self._stream, number, time.monotonic())
        self._digest.update(told)
        self._write(chunk(told))
        due += self._pause
        asyncio.get_running_loop().call_at(due, self._tell, number + 1, due)


async def main(port: int, models: list[str]) -> None:
    listed = json.dumps({"models": [{"name": name, "model": name} for name in models]}).encode()
    LISTINGS.update({b"/api/tags": listed, b"/api/ps": listed})
    server = await asyncio.get_running_loop().create_server(Prover, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2:]))
