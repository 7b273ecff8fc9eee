"""How long a grant takes when a slot is free, and what the queue itself costs."""

from __future__ import annotations

import time

from llmgate.config import QueueSettings
from llmgate.daemon.queue.memory import MemoryQueueManager
from llmgate.daemon.queue.ticket import Ticket, UpstreamSlots


async def grant_latencies(count: int = 20_000) -> list[float]:
    """Microseconds from submit to the taken grant, one request after the other."""
    queue = MemoryQueueManager(QueueSettings(), emit=lambda event: None)
    await queue.start()
    queue.update_upstream(UpstreamSlots(name="fake", pool="fake", slots=4))
    latencies = []
    for number in range(count):
        ticket = Ticket(
            id=str(number),
            pool="fake",
            model="model",
            level=1 + number % 5,
            flow=f"principal-{number % 50}",
            owner=f"principal-{number % 50}",
            submitted_at=queue.now(),
        )
        begin = time.perf_counter()
        place = await queue.submit(ticket)
        grant = await place.granted()
        latencies.append(1e6 * (time.perf_counter() - begin))
        queue.release(grant, tokens=100)
    await queue.close()
    return latencies
