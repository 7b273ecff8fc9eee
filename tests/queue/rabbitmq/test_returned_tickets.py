"""A ticket that the dispatcher has held until its time was up, and then returns, is moved on by the broker at once.

On a quorum queue this needs a delivery limit: without one RabbitMQ puts what is returned behind everything that nobody
holds, where it is not looked at until all of that is gone. Some seconds of waiting would be lost with every hop.
"""

from __future__ import annotations

import pytest

from tests.queue.rabbitmq.support import Returning, declared

pytestmark = pytest.mark.alone

AGING = 1.0
AT_ONCE = 0.4
COUNT = 50


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
@pytest.mark.parametrize("window", [10, 100], ids=["behind a full window", "with room in the window"])
async def test_a_returned_ticket_is_moved_on_at_once(queue_type: str, window: int, vhost_url: str) -> None:
    async with declared(vhost_url, queue_type=queue_type, aging_seconds=AGING) as connection:
        returning = Returning(connection, AGING, window)
        await returning.run(COUNT, pause=0.02)
    assert len(returning.arrived) == COUNT
    assert max(returning.arrived.values()) < AT_ONCE, returning.arrived
