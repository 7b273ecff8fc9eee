"""Settings of the queue that are changed while requests wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llmgate.config import QueueSettings
from llmgate.daemon.queue.memory import MemoryQueueManager
from llmgate.daemon.queue.ticket import Grant, UpstreamSlots
from llmgate.errors import LimitExceeded, QueueFull, QueueTimeout
from tests.queue.clock import FakeClock, settle
from tests.queue.conftest import Build
from tests.queue.factory import a_ticket


@pytest.fixture
async def busy(queue: MemoryQueueManager) -> Grant:
    """The only slot is in use."""
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    return await (await queue.submit(a_ticket("busy", level=1, at=queue.now()))).granted()


def change(queue: MemoryQueueManager, **settings: Any) -> None:
    queue.apply(QueueSettings(**settings), {})


def level_of(queue: MemoryQueueManager, ticket_id: str) -> tuple[int, bool]:
    position = queue.room.position(ticket_id)
    assert position is not None
    return position.level, position.aged


async def test_shorter_times_hold_for_the_time_waited_already(
    queue: MemoryQueueManager, clock: FakeClock, busy: Grant
) -> None:
    await queue.submit(a_ticket("a1", level=5, at=queue.now()))
    await clock.advance(25)
    assert level_of(queue, "a1") == (5, False)
    change(queue, aging_seconds=10)
    assert level_of(queue, "a1") == (3, False)
    await clock.advance(5)
    assert level_of(queue, "a1") == (2, False)
    await clock.advance(10)
    assert level_of(queue, "a1") == (2, True)


async def test_longer_times_let_nobody_fall_back(queue: MemoryQueueManager, clock: FakeClock, busy: Grant) -> None:
    for name, level in (("a1", 5), ("b1", 2)):
        await queue.submit(a_ticket(name, level=level, at=queue.now()))
    await clock.advance(35)
    assert (level_of(queue, "a1"), level_of(queue, "b1")) == ((4, False), (2, True))
    change(queue, aging_seconds=100)
    assert (level_of(queue, "a1"), level_of(queue, "b1")) == ((4, False), (2, True))
    await clock.advance(94)
    assert level_of(queue, "a1") == (4, False)
    await clock.advance(1)
    assert level_of(queue, "a1") == (3, False)


async def test_tickets_from_before_and_after_a_change_age_in_their_order(
    queue: MemoryQueueManager, clock: FakeClock, busy: Grant
) -> None:
    change(queue, aging_seconds=1000)
    await queue.submit(a_ticket("a1", level=4, at=queue.now()))
    await clock.advance(8)
    change(queue, aging_seconds=10)
    await queue.submit(a_ticket("b1", level=4, at=queue.now()))
    await clock.advance(2)
    assert (level_of(queue, "a1"), level_of(queue, "b1")) == ((3, False), (4, False))
    await clock.advance(8)
    assert level_of(queue, "b1") == (3, False)


async def test_a_new_deadline_holds_for_who_waits(queue: MemoryQueueManager, clock: FakeClock, busy: Grant) -> None:
    places = [await queue.submit(a_ticket(f"a{n}", level=2, at=queue.now())) for n in range(2)]
    await clock.advance(60)
    change(queue, deadline_seconds=1000)
    late = await queue.submit(a_ticket("b1", level=2, at=queue.now()))
    change(queue, deadline_seconds=50)
    for place in places:
        with pytest.raises(QueueTimeout):
            await place.granted()
    waiting = asyncio.create_task(late.granted())
    await clock.advance(50)
    with pytest.raises(QueueTimeout):
        await waiting


async def test_a_new_share_of_the_aged_lane_holds_from_the_next_grant_on(build: Build, clock: FakeClock) -> None:
    queue = build(QueueSettings(aging_seconds=10, aged_share=0.25))
    await settle()
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    grant = await (await queue.submit(a_ticket("busy", level=1, at=queue.now()))).granted()
    for n in range(4):
        await queue.submit(a_ticket(f"a{n}", level=2, at=queue.now()))
    await clock.advance(10)
    for n in range(4):
        await queue.submit(a_ticket(f"b{n}", level=1, at=queue.now()))
    change(queue, aging_seconds=10, aged_share=0.5)
    turns = []
    for _ in range(8):
        queue.release(grant, 100.0)
        [(grant, _)] = queue.room.grants()
        turns.append(grant.ticket.id[0])
    assert turns == ["b", "a"] * 4


async def test_new_bounds_hold_for_who_comes(queue: MemoryQueueManager, busy: Grant) -> None:
    for n in range(3):
        await queue.submit(a_ticket(f"a{n}", level=2, at=queue.now()))
    change(queue, max_waiting_per_principal=3)
    with pytest.raises(LimitExceeded):
        await queue.submit(a_ticket("a3", level=2, at=queue.now()))
    change(queue, max_waiting=3)
    with pytest.raises(QueueFull):
        await queue.submit(a_ticket("b1", level=2, at=queue.now()))
    assert len(queue.room.places()) == 3


async def test_a_slot_rests_as_long_as_it_is_said_now(queue: MemoryQueueManager, clock: FakeClock, busy: Grant) -> None:
    await queue.submit(a_ticket("a1", level=2, at=queue.now()))
    change(queue, settle_ms=5000)
    queue.release(busy, 1.0, cancelled=True)
    await clock.advance(4.9)
    assert queue.room.position("a1") is not None
    await clock.advance(0.1)
    assert queue.room.position("a1") is None
