"""The broker closes a channel that keeps a message unacknowledged for longer than its ``consumer_timeout`` (half an
hour, unless it is configured). Answers may take longer, and so may the wait for a turn."""

from __future__ import annotations

import asyncio

from llmgate.daemon.queue.rabbitmq.manager import RabbitMQManager
from tests.queue.backends import is_quiet, until
from tests.queue.rabbitmq.support import a_manager, granted, in_turn, passing, running
from tests.services.fixtures import StartBroker

TIMEOUT = 2.0
LONG = 5.5
"""Seconds: longer than the timeout and the time until the broker notices."""
ADVANCED = f"[{{rabbit, [{{consumer_timeout, {TIMEOUT * 1000:.0f}}}, {{channel_tick_interval, 500}}]}}]."


async def serve_one_for_long(manager: RabbitMQManager) -> list[str]:
    """One answer takes long, and others wait for it. All in the order of service."""
    order = []
    async with running(manager):
        await until(lambda: is_quiet(manager))
        grant = await granted(manager, "long1")
        places = [
            *await in_turn(manager, ["three1", "three2"], level=3),
            *await in_turn(manager, ["first1", "first2"], level=1),
        ]
        waits = {asyncio.create_task(place.granted(LONG + 5)) for place in places}
        await passing(LONG)
        while waits:
            manager.release(grant, 1.0)
            [turn], waits = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            grant = turn.result()
            order.append(grant.ticket.id)
    return order


async def test_an_answer_and_a_wait_may_be_longer_than_the_delivery_timeout(broker: StartBroker) -> None:
    """Nobody loses the connection or the place, and nobody is started twice. Beside them, one daemon returns its
    tickets too late: it shows that the timeout is in force."""
    server = broker(advanced=ADVANCED)
    for name in ("classic", "quorum", "late"):
        server.add_vhost(name)
    classic, quorum = (a_manager(server.url(kind), queue_type=kind, hold_seconds=1) for kind in ("classic", "quorum"))
    late = a_manager(server.url("late"), hold_seconds=600)
    orders = await asyncio.gather(*map(serve_one_for_long, (classic, quorum, late)))
    assert orders[0] == orders[1] == ["first1", "first2", "three1", "three2"]
    assert (classic._links, quorum._links) == (1, 1)
    assert late._links > 1
