"""Why a pool has one queue per level, and not one queue with priorities.

RabbitMQ can do both things that are needed: a queue with ``x-max-priority`` hands out the better messages first, and
a time to live with a dead-letter exchange moves a message on that has waited for long enough. One queue that does
both seems to be all it takes.

It does not work, because the broker only looks at the head of a queue to see what has expired, and at a lower
priority only while every higher one is empty. So a message ages only when nothing better waits: exactly when it
would be served anyway. Behind better ones that keep coming it stays for ever, which is what aging is there to prevent.

A queue per level has a head per level. Each of them ages on its own, whatever waits at the others, and the messages
that expire there go through the dead-letter exchange to the queue of the next level. The first test shows the one,
the second the other, both with the best level kept full all the time.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from llmgate.daemon.queue.policy import AGED_LANE
from tests.queue.backends import is_quiet, until
from tests.queue.rabbitmq.support import Climb, a_manager, one_priority_queue, passing, running, saturated

pytestmark = pytest.mark.alone

TTL = 0.8
AGING = 1.0
ON_TIME = 0.15
"""Seconds by which a hop may take more or less than its time."""
SOON = 0.3


async def test_in_one_queue_with_priorities_nothing_ages_while_something_better_waits(vhost_url: str) -> None:
    async with one_priority_queue(vhost_url, TTL) as queue:
        await queue.publish("low", priority=1)
        async with queue.saturated():
            await passing(4 * TTL)
            assert "low" not in queue.aged  # four times its time, and it is still there
            assert await queue.waiting() > 1
        await until(lambda: "low" in queue.aged, SOON)  # it has been overdue for long, and nobody saw it


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
async def test_in_a_chain_of_queues_everything_ages_behind_a_full_first_level(vhost_url: str, queue_type: str) -> None:
    async with running(a_manager(vhost_url, queue_type=queue_type, aging_seconds=AGING)) as manager:
        await until(lambda: is_quiet(manager))
        async with saturated(manager, level=1):
            three, five = Climb(manager, "three", level=3), Climb(manager, "five", level=5)
            await asyncio.gather(three.run(), five.run())
    assert list(three.lines) == [3, 2, AGED_LANE]
    assert list(five.lines) == [5, 4, 3, 2, AGED_LANE]
    for climb in (three, five):
        seen = list(climb.lines.values())
        hops = [later - earlier for earlier, later in pairwise(seen)]
        assert hops == pytest.approx([AGING] * len(hops), abs=ON_TIME), climb.lines
        assert climb.granted - seen[-1] < SOON  # every fourth turn is the aged lane's
