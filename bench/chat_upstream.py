"""A fake Ollama for the chat's measurements. The question says what it answers.

``write-400-50`` is 400 words, one every 50 milliseconds; ``markdown-30000-10`` is about so many characters of
Markdown, a token every 10 milliseconds.

Run: ``python -m bench.chat_upstream PORT``.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

import uvloop

from bench.chat_text import markdown, tokens
from bench.upstream import LISTINGS, Upstream, chunk

MODEL = "bench"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
SHOWN = b'{"capabilities": ["completion"], "model_info": {"llama.context_length": 131072}}'


def line(text: str) -> bytes:
    document = {"model": MODEL, "created_at": "2026-01-01T00:00:00Z", "done": False}
    return chunk(json.dumps({**document, "message": {"role": "assistant", "content": text}}).encode() + b"\n")


def end(count: int) -> bytes:
    document = {"model": MODEL, "created_at": "2026-01-01T00:00:00Z", "done": True, "done_reason": "stop"}
    counts = {"prompt_eval_count": 20, "eval_count": count, "message": {"role": "assistant", "content": ""}}
    return chunk(json.dumps({**document, **counts}).encode() + b"\n") + b"0\r\n\r\n"


def asked_for(body: bytes) -> tuple[list[str], float]:
    """The tokens, and the seconds between them, that the last question asks for."""
    kind, count, pause = re.findall(rb"(write|markdown)-(\d+)-(\d+)", body)[-1]
    pieces = ["word "] * int(count) if kind == b"write" else tokens(markdown(int(count)))
    return pieces, int(pause) / 1000


class Talker(Upstream):
    """One connection. However busy the machine is: at each moment as much is sent as should be by then."""

    def _answer(self, body: bytes) -> None:
        if b'"messages"' not in body:
            self._whole(SHOWN)
            return
        pieces, pause = asked_for(body)
        self._write(HEAD)
        self._tell(pieces, 0, asyncio.get_running_loop().time(), pause)

    def _tell(self, pieces: list[str], number: int, begun: float, pause: float) -> None:
        if self._transport is None:
            return
        if number == len(pieces):
            self._write(end(number))
            return
        self._write(line(pieces[number]))
        due = begun + (number + 1) * pause
        asyncio.get_running_loop().call_at(due, self._tell, pieces, number + 1, begun, pause)


async def main(port: int) -> None:
    listed = json.dumps({"models": [{"name": MODEL, "model": MODEL}]}).encode()
    LISTINGS.update({b"/api/tags": listed, b"/api/ps": listed})
    server = await asyncio.get_running_loop().create_server(Talker, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
