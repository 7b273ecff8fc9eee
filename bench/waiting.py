"""What a client costs while it waits."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.client import request
from bench.processes import Gateway, load, memory_bytes

CLIENTS = 5_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """What 5,000 waiting clients cost, and how long it takes until they are gone when all hang up."""

    bytes_each: float
    leave_milliseconds: float


def measure_waiting(gateway: Gateway) -> Waiting:
    """Let the clients wait for one slot, look at the daemon's resident memory, then let them hang up at once."""
    load(gateway.url, gateway.key, "burst-20", 8, 200)  # so that caches and pools are not counted
    return asyncio.run(_hold(gateway))


async def _hold(gateway: Gateway) -> Waiting:
    parts = urlsplit(gateway.url)
    message = request(parts.netloc, gateway.key, "hold")
    before = memory_bytes(gateway.pid)
    writers = []
    for _ in range(CLIENTS + 1):  # one of them holds the slot
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(message)
        writers.append(writer)
    while await asyncio.to_thread(gateway.waiting) < CLIENTS:
        await asyncio.sleep(0.2)
    memory = memory_bytes(gateway.pid)
    began = time.perf_counter()
    for writer in writers:
        writer.transport.abort()
    while await asyncio.to_thread(gateway.waiting) > 0:
        await asyncio.sleep(0.01)
    return Waiting((memory - before) / CLIENTS, 1000 * (time.perf_counter() - began))
