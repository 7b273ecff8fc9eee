"""A load client that costs little: it sends prepared bytes and looks only for the end of each answer.

Run: ``python -m bench.client URL KEY MODEL CONNECTIONS REQUESTS`` prints one JSON line with the number
of answers, of chunks, of failures, and the time to first byte of each answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import uvloop

END = b"0\r\n\r\n"


def request(host: str, key: str, model: str) -> bytes:
    """A chat request of about 2 kB."""
    text = "The quick brown fox jumps over the lazy dog. " * 40
    body = json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": text}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass(slots=True)
class Tally:
    """What came back."""

    answers: int = 0
    events: int = 0
    failures: int = 0
    first_bytes: list[float] = field(default_factory=list)


async def converse(host: str, port: int, message: bytes, todo: list[None], tally: Tally) -> None:
    """One connection: requests one after the other until none is left to do."""
    reader, writer = await asyncio.open_connection(host, port)
    while todo:
        todo.pop()
        writer.write(message)
        sent = time.perf_counter()
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            tally.failures += 1
            break
        first = True
        tail = b""
        while not tail.endswith(END):
            data = await reader.read(65536)
            if not data:
                tally.failures += 1
                return
            if first:
                tally.first_bytes.append(time.perf_counter() - sent)
                first = False
            tally.events += data.count(b"data: ")
            tail = (tail + data)[-8:]
        tally.answers += 1
    writer.close()


async def main(url: str, key: str, model: str, connections: int, requests: int) -> None:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    message = request(parts.netloc, key, model)
    tally = Tally()
    todo: list[None] = [None] * requests
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(converse(parts.hostname, parts.port, message, todo, tally))
    print(
        json.dumps(
            {"answers": tally.answers, "events": tally.events, "failures": tally.failures, "first": tally.first_bytes}
        )
    )


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
