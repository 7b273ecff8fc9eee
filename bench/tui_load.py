"""The load that the dashboard is measured under: some thousand clients that wait, and short requests at a steady rate.

Run: ``python -m bench.tui_load URL KEY WAITING PER_SECOND``; it goes on until it is ended.
"""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import urlsplit

import uvloop

from bench.client import END, request

AT_ONCE = 200
"""Connections that are opened together."""


async def hold(host: str, port: int, message: bytes, opening: asyncio.Semaphore) -> None:
    """A client that waits for ever."""
    async with opening:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(message)
        await writer.drain()
    await reader.read()


async def stream(host: str, port: int, message: bytes, every: float) -> None:
    """Requests one after the other, each begun ``every`` seconds after the one before."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection(host, port)
    due = loop.time()
    while True:
        writer.write(message)
        tail = b""
        while not tail.endswith(END):
            data = await reader.read(65_536)
            if not data:
                raise ConnectionError("the gateway has ended an answer")
            tail = (tail + data)[-8:]
        due = max(due + every, loop.time() - every)
        await asyncio.sleep(max(0.0, due - loop.time()))


async def main(url: str, key: str, waiting: int, per_second: float) -> None:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    host, port = parts.hostname, parts.port
    opening = asyncio.Semaphore(AT_ONCE)
    streams = 4
    async with asyncio.TaskGroup() as group:
        for _ in range(waiting):
            group.create_task(hold(host, port, request(parts.netloc, key, "hold"), opening))
        for _ in range(streams):
            group.create_task(stream(host, port, request(parts.netloc, key, "burst-20"), streams / per_second))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
