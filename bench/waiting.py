"""What a client costs while it waits."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from bench.client import request
from bench.processes import Gateway, load, memory_bytes

CLIENTS = 5_000


def bytes_per_waiting(gateway: Gateway) -> float:
    """Growth of the daemon's resident memory per waiting client."""
    load(gateway.url, gateway.key, "burst-20", 8, 200)  # so that caches and pools are not counted
    before = memory_bytes(gateway.pid)
    after = asyncio.run(_hold(gateway))
    return (after - before) / CLIENTS


async def _hold(gateway: Gateway) -> int:
    parts = urlsplit(gateway.url)
    message = request(parts.netloc, gateway.key, "hold")
    writers = []
    for _ in range(CLIENTS + 1):  # one of them holds the slot
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(message)
        writers.append(writer)
    while await asyncio.to_thread(gateway.waiting) < CLIENTS:
        await asyncio.sleep(0.2)
    memory = memory_bytes(gateway.pid)
    for writer in writers:
        writer.close()
    return memory
