"""A load client that costs little: it sends prepared bytes, counts what comes back, and looks for each answer's end.

Run: ``python -m bench.client JOB``, a ``Job`` as JSON; prints what it ``Found`` as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from dataclasses import asdict
from urllib.parse import urlsplit

import uvloop

from bench.job import Found, Job, Window
from bench.processes import cpu_seconds

END = b"0\r\n\r\n"
DONE = b"data: [DONE]"
EVENT = b"data: "
TOKEN = b" token"
KEPT = 32
"""Bytes kept from one read to the next, for what both have a part of."""

SETTLE_SECONDS = 0.3
"""From the moment when all streams run to the first window."""


def request(host: str, key: str, model: str, headers: dict[str, str] | None = None, path: str = "") -> bytes:
    """A chat request of about 2 kB; ``path`` is what stands before ``/v1``."""
    text = "The quick brown fox jumps over the lazy dog. " * 40
    body = json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": text}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = (
        f"POST {path}/v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n{more}"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection:
    """One connection at a time, made anew when the other side has closed it or when an answer failed."""

    def __init__(self, job: Job, found: Found) -> None:
        parts = urlsplit(job.url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._address = (parts.hostname, parts.port)
        self._message = request(parts.netloc, job.key, job.model, job.headers, parts.path)
        self._found = found
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> None:
        """One request and its answer."""
        try:
            if self._streams is None or self._streams[0].at_eof():
                self.close()
                self._streams = await asyncio.open_connection(*self._address)
            if not await self._ask(*self._streams):
                self.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            self._found.fail(type(error).__name__)
            self.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection can be used again."""
        found = self._found
        writer.write(self._message)
        sent = time.perf_counter()
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            found.fail(head.split(b"\r\n", 1)[0].decode("latin-1").removeprefix("HTTP/1.1 "))
            return False
        data = await reader.read(65536)
        found.first.append(time.perf_counter() - sent)
        seen = b""
        while data:
            with_rest = seen[1 - len(EVENT) :] + data  # too short a rest for a word that was counted already
            found.events += with_rest.count(EVENT)
            found.tokens += with_rest.count(TOKEN)
            seen = (seen + data)[-KEPT:]
            if seen.endswith(END):
                found.answers += 1
                found.whole += DONE in seen
                return True
            data = await reader.read(65536)
        found.fail("cut off")
        return False

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def closed(job: Job, found: Found) -> None:
    """Each connection asks again as soon as it has its answer."""
    todo = [None] * job.requests
    before, began = cpu_seconds(job.pids), time.perf_counter()
    end = began + (job.seconds or float("inf"))

    async def converse() -> None:
        connection = Connection(job, found)
        while todo and time.perf_counter() < end:
            todo.pop()
            await connection.ask()
        connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(job.connections):
            group.create_task(converse())
    seconds = time.perf_counter() - began
    found.windows.append(Window(found.answers, seconds, cpu_seconds(job.pids) - before))


async def paced(job: Job, found: Found) -> None:
    """Requests arrive by chance (exponential gaps, the same in each run), over connections that are free or new."""
    chance = random.Random(7)
    free: list[Connection] = []

    async def once(connection: Connection) -> None:
        await connection.ask()
        free.append(connection)

    due = began = time.perf_counter()
    before = cpu_seconds(job.pids)
    async with asyncio.TaskGroup() as group:
        for _ in range(job.requests):
            due += chance.expovariate(job.rate)
            if (rest := due - time.perf_counter()) > 0:
                await asyncio.sleep(rest)
            group.create_task(once(free.pop() if free else Connection(job, found)))
    for connection in free:
        connection.close()
    found.windows.append(Window(found.answers, time.perf_counter() - began, cpu_seconds(job.pids) - before))


async def streams(job: Job, found: Found) -> None:
    """All connections ask once; windows of time are looked at while all of the streams run."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(Connection(job, found).ask()) for _ in range(job.connections)]
        while len(found.first) + found.failures < job.connections:
            await asyncio.sleep(0.01)
        await asyncio.sleep(SETTLE_SECONDS)
        for _ in range(job.windows):
            began, before, events = time.perf_counter(), cpu_seconds(job.pids), found.events
            await asyncio.sleep(job.window_seconds)
            used = cpu_seconds(job.pids) - before
            found.windows.append(Window(found.events - events, time.perf_counter() - began, used))
        if any(task.done() for task in tasks):
            found.fail("a stream ended before the last window")
        if job.cut:
            for task in tasks:
                task.cancel()


async def main(job: Job) -> None:
    found = Found()
    await (streams if job.windows else paced if job.rate else closed)(job, found)
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    uvloop.run(main(Job(**json.loads(sys.argv[1]))))
