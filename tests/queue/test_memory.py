"""MemoryQueueManager: places and slots when things happen at the wrong moment, bounds, figures."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llmgate.config import QueueSettings
from llmgate.daemon.events import Event, TicketPromoted
from llmgate.daemon.queue import policy
from llmgate.daemon.queue.memory import MemoryQueueManager
from llmgate.daemon.queue.pool import Pool
from llmgate.daemon.queue.ticket import Grant, Position, Ticket, UpstreamSlots
from llmgate.daemon.queue.wanted import Wanted
from llmgate.errors import Conflict, LimitExceeded, LLMGateError, PoolDraining, QueueFull, UpstreamUnavailable
from tests.queue.clock import FakeClock, settle
from tests.queue.conftest import Build
from tests.queue.factory import a_ticket


def ticket_of(queue: MemoryQueueManager, ticket_id: str, level: int = 2, **changes: Any) -> Ticket:
    return a_ticket(ticket_id, level=level, at=queue.now(), **changes)


async def run_one(queue: MemoryQueueManager, ticket_id: str = "busy1", **changes: Any) -> Grant:
    """Occupy a slot."""
    return await (await queue.submit(ticket_of(queue, ticket_id, **changes))).granted()


def runs(queue: MemoryQueueManager) -> list[str]:
    return [running.ticket_id for running in queue.room.running()]


async def test_a_free_slot_is_granted_within_submit(queue: MemoryQueueManager) -> None:
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    place = await queue.submit(ticket_of(queue, "a1"))
    assert runs(queue) == ["a1"]
    grant = await place.granted(timeout=0)
    assert (grant.ticket, grant.upstream, grant.granted_at) == (place.ticket, "gpu", queue.now())


async def test_a_freed_slot_is_granted_within_release(queue: MemoryQueueManager) -> None:
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    grant = await run_one(queue)
    await queue.submit(ticket_of(queue, "a1"))
    queue.release(grant, 10)
    assert runs(queue) == ["a1"]


async def test_releasing_twice_frees_one_slot(queue: MemoryQueueManager) -> None:
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    grant = await run_one(queue)
    for ticket_id in ("a1", "a2"):
        await queue.submit(ticket_of(queue, ticket_id))
    queue.release(grant, 10)
    queue.release(grant, 10)
    queue.release(grant, None, cancelled=True)
    assert runs(queue) == ["a1"]


async def test_a_wait_that_times_out_keeps_the_place(queue: MemoryQueueManager, clock: FakeClock) -> None:
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    busy = await run_one(queue)
    place = await queue.submit(ticket_of(queue, "a1"))
    waiting = asyncio.create_task(place.granted(timeout=5))
    await clock.advance(5)
    with pytest.raises(TimeoutError):
        await waiting
    assert queue.room.position("a1") is not None
    queue.release(busy, 10)
    assert (await place.granted(timeout=5)).ticket.id == "a1"


async def test_leaving_with_a_grant_that_nobody_took_frees_the_slot(queue: MemoryQueueManager) -> None:
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    place = await queue.submit(ticket_of(queue, "a1"))
    later = await queue.submit(ticket_of(queue, "a2"))
    place.leave()
    place.leave()
    assert runs(queue) == ["a2"]
    with pytest.raises(Conflict):
        await place.granted()
    assert (await later.granted()).ticket.id == "a2"


async def test_leaving_after_the_grant_was_taken_changes_nothing(queue: MemoryQueueManager) -> None:
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    place = await queue.submit(ticket_of(queue, "a1"))
    await place.granted()
    place.leave()
    assert runs(queue) == ["a1"]


async def test_a_wait_cancelled_in_the_moment_of_the_grant_loses_no_slot(queue: MemoryQueueManager) -> None:
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    busy = await run_one(queue)
    place = await queue.submit(ticket_of(queue, "a1"))
    waiting = asyncio.create_task(place.granted())
    await settle()
    queue.release(busy, 10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert runs(queue) == ["a1"]
    place.leave()
    assert runs(queue) == []


async def test_leaving_ends_a_wait_that_goes_on_elsewhere(queue: MemoryQueueManager) -> None:
    place = await queue.submit(ticket_of(queue, "a1"))
    waiting = asyncio.create_task(place.granted())
    await settle()
    place.leave()
    with pytest.raises(Conflict):
        await waiting


async def test_five_thousand_who_leave_at_once_are_gone_at_once(build: Build, clock: FakeClock) -> None:
    queue = build(QueueSettings(max_waiting_per_principal=10_000))
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    busy = await run_one(queue)
    places = [await queue.submit(ticket_of(queue, f"{'abcde'[n % 5]}{n}", 1 + n % 5)) for n in range(5_000)]
    stays = await queue.submit(ticket_of(queue, "stays1", 5))
    waits = [asyncio.create_task(place.granted()) for place in places]
    await settle()
    started = asyncio.get_running_loop().time()
    for wait, place in zip(waits, places, strict=True):
        wait.cancel()
        place.leave()
    assert await asyncio.gather(*waits, return_exceptions=True)
    assert asyncio.get_running_loop().time() - started < 2
    assert [position.ticket_id for position in queue.room.waiting()] == ["stays1"]
    await clock.advance(300)
    queue.release(busy, 10)
    assert runs(queue) == ["stays1"]
    queue.release(await stays.granted(), 10)
    assert runs(queue) == []
    assert queue.stats()[0].granted == 2
    assert not queue.room._places_of


async def test_an_id_waits_only_once(queue: MemoryQueueManager) -> None:
    await queue.submit(ticket_of(queue, "a1"))
    with pytest.raises(Conflict):
        await queue.submit(ticket_of(queue, "a1"))


async def test_an_upstream_that_moves_to_another_pool_takes_its_load_along(queue: MemoryQueueManager) -> None:
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    busy = await run_one(queue)
    queue.update_upstream(UpstreamSlots("gpu", "other", 1))
    await queue.submit(ticket_of(queue, "a1"))
    await queue.submit(ticket_of(queue, "b1", pool="other"))
    assert runs(queue) == ["busy1"]
    queue.release(busy, 10)
    assert runs(queue) == ["b1"]


async def test_an_upstream_removed_and_added_again_remembers_what_runs(queue: MemoryQueueManager) -> None:
    gpu = UpstreamSlots("gpu", "main", 1)
    queue.update_upstream(gpu)
    busy = await run_one(queue)
    queue.remove_upstream("gpu")
    queue.remove_upstream("unknown")
    queue.update_upstream(gpu)
    await queue.submit(ticket_of(queue, "a1"))
    assert runs(queue) == ["busy1"]
    queue.release(busy, 10)
    assert runs(queue) == ["a1"]


async def test_a_pool_without_upstreams_and_requests_is_not_listed(queue: MemoryQueueManager, clock: FakeClock) -> None:
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    busy = await run_one(queue)
    queue.remove_upstream("gpu")
    assert [(pool.pool, pool.state, pool.running, pool.slots) for pool in queue.stats()] == [("main", "offline", 1, 0)]
    queue.release(busy, 10, cancelled=True)
    await clock.advance(1)
    assert queue.stats() == []


async def refusal(queue: MemoryQueueManager, ticket_id: str, owner: str, **changes: Any) -> LLMGateError:
    with pytest.raises(LLMGateError) as refused:
        await queue.submit(ticket_of(queue, ticket_id, owner=owner, **changes))
    return refused.value


async def test_refusals_say_when_to_come_again(build: Build, clock: FakeClock) -> None:
    queue = build(QueueSettings(max_waiting=6, max_waiting_per_principal=3))
    queue.update_upstream(UpstreamSlots("gpu", "main", 2))
    busy = [await run_one(queue, ticket_id) for ticket_id in ("busy1", "busy2")]
    for n in range(3):
        await queue.submit(ticket_of(queue, f"a{n}", owner="alice"))
    await clock.advance(8)
    queue.release(busy[0], 10)
    await queue.submit(ticket_of(queue, "a4", owner="alice"))
    for n in range(3):
        await queue.submit(ticket_of(queue, f"b{n}", owner="bob"))
    # Answers take 8 s, two at once: three of one's own, six in all.
    too_many = await refusal(queue, "a5", "alice")
    assert (type(too_many), too_many.retry_after) == (LimitExceeded, 12)
    full = await refusal(queue, "c1", "carol")
    assert (type(full), full.retry_after) == (QueueFull, 24)
    await queue.drain("main")
    assert type(await refusal(queue, "c2", "carol")) is PoolDraining


async def test_an_outage_is_refused_with_a_time_to_come_again(queue: MemoryQueueManager, clock: FakeClock) -> None:
    queue.update_upstream(UpstreamSlots("gpu", "main", 1, usable=False))
    await clock.advance(10)
    out = await refusal(queue, "a1", "alice")
    assert (type(out), out.retry_after) == (UpstreamUnavailable, 10)


async def test_promotions_are_told(queue: MemoryQueueManager, clock: FakeClock, events: list[Event]) -> None:
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    await run_one(queue)
    await queue.submit(ticket_of(queue, "a1", level=3))
    await clock.advance(29)
    assert events == []
    await clock.advance(1)
    assert events == [TicketPromoted("a1", "main", 3, 2)]
    await clock.advance(30)
    assert events[1:] == [TicketPromoted("a1", "main", 2, 0)]


async def test_the_background_loop_sleeps_until_something_is_due(clock: FakeClock) -> None:
    waits: list[float | None] = []

    async def wait(done: asyncio.Future[None], timeout: float | None) -> None:
        waits.append(timeout)
        await clock.wait(done, timeout)

    queue = MemoryQueueManager(QueueSettings(), emit=lambda _: None, clock=clock.now, wait=wait)
    loop = asyncio.create_task(queue.run())
    await settle()
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    busy = await run_one(queue)
    await settle()
    assert waits == [None]
    places = [await queue.submit(ticket_of(queue, f"a{n}", 2)) for n in range(100)]
    await settle()
    assert waits == [None, 30]
    for place in places:
        place.leave()
    queue.release(busy, None, cancelled=True)
    await settle()
    assert waits == [None, 30, 0.25]
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


async def test_positions_are_worked_out_at_most_four_times_a_second(
    queue: MemoryQueueManager, clock: FakeClock
) -> None:
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    await run_one(queue)
    for n in range(10):
        await queue.submit(ticket_of(queue, f"a{n}", 3))

    def ahead(ticket_id: str) -> int:
        position = queue.room.position(ticket_id)
        assert position
        return position.ahead

    assert ahead("a9") == 9
    await queue.submit(ticket_of(queue, "b1", 2))
    assert ahead("a9") == 9
    assert ahead("b1") == 0
    assert [position.ticket_id for position in queue.room.waiting()][-1] == "b1"
    await clock.advance(0.25)
    assert ahead("a9") == 10
    assert [position.ticket_id for position in queue.room.waiting(limit=2)] == ["b1", "a0"]


async def test_what_an_administrator_moves_or_takes_out_is_seen_at_once(queue: MemoryQueueManager) -> None:
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    await run_one(queue)
    for n in range(4):
        await queue.submit(ticket_of(queue, f"a{n}", 3))

    def ahead() -> dict[str, int]:
        return {position.ticket_id: position.ahead for position in queue.room.waiting()}

    assert ahead() == {"a0": 0, "a1": 1, "a2": 2, "a3": 3}
    assert queue.room.set_level("a3", 1)
    moved = queue.room.position("a3")
    assert moved
    assert moved.ahead == 0
    assert queue.room.set_level("a3", 5)
    assert ahead() == {"a0": 0, "a1": 1, "a2": 2, "a3": 3}
    assert queue.room.cancel("a0")
    assert ahead() == {"a1": 0, "a2": 1, "a3": 2}


async def test_nothing_is_estimated_while_a_pool_is_paused(queue: MemoryQueueManager, clock: FakeClock) -> None:
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    busy = await run_one(queue)
    await clock.advance(4)
    queue.release(busy, 10)
    await queue.pause("main")
    await queue.submit(ticket_of(queue, "a1"))
    position = queue.room.position("a1")
    assert position is not None
    assert position.estimated_wait is None


async def test_refused_and_cancelled_answers_do_not_count_as_service(
    queue: MemoryQueueManager, clock: FakeClock
) -> None:
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    queue.release(await run_one(queue), 0)
    queue.release(await run_one(queue), 5, cancelled=True)
    await clock.advance(1)
    await run_one(queue)
    await queue.submit(ticket_of(queue, "a1"))
    position = queue.room.position("a1")
    assert position is not None
    assert position.estimated_wait is None


async def test_the_statistics_of_a_pool(queue: MemoryQueueManager, clock: FakeClock) -> None:
    queue.update_upstream(UpstreamSlots("gpu", "main", 1))
    queue.update_upstream(UpstreamSlots("spare", "main", 4, usable=False))
    busy = await run_one(queue)
    for n in range(4):
        await queue.submit(ticket_of(queue, f"a{n}", 2))
    for n in range(2):
        await queue.submit(ticket_of(queue, f"b{n}", 3))
    await clock.advance(10)
    queue.release(busy, 10)
    await clock.advance(25)
    [stats] = queue.stats()
    assert (stats.pool, stats.state, stats.slots, stats.running, stats.waiting) == ("main", "open", 5, 1, 5)
    assert stats.waiting_by_level == {1: 0, 2: 2, 3: 0, 4: 0, 5: 0}
    assert (stats.aged_waiting, stats.oldest_wait, stats.promotions) == (3, 35, 5)
    assert (stats.granted, stats.granted_aged) == (2, 0)
    assert (stats.wait_p50, stats.wait_p95) == ({2: 10}, {2: 10})
    assert stats.upstreams == {"gpu": (1, 1), "spare": (0, 4)}
    [running] = queue.room.running()
    assert (running.ticket_id, running.upstream, running.level, running.running_for) == ("a0", "gpu", 2, 25)


async def test_the_requests_of_one_owner_are_found_without_a_look_at_the_others(
    queue: MemoryQueueManager, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pool in ("main", "other"):
        queue.update_upstream(UpstreamSlots(f"{pool}-gpu", pool, 1))
        await queue.submit(ticket_of(queue, f"{pool}-busy", pool=pool))
        for n in range(50):
            await queue.submit(ticket_of(queue, f"{pool}-a{n}", 3, owner="alice", pool=pool))
        await queue.submit(ticket_of(queue, f"{pool}-b1", 3, owner="bob", pool=pool))
        await queue.submit(ticket_of(queue, f"{pool}-b2", 2, owner="bob", pool=pool))
    await clock.advance(1)
    assert queue.room.waiting()
    asked: list[str] = []
    position = Pool.position

    def counted(self: Pool, ticket_id: str, slots: int, now: float) -> Position:
        asked.append(ticket_id)
        return position(self, ticket_id, slots, now)

    monkeypatch.setattr(Pool, "position", counted)
    await queue.submit(ticket_of(queue, "main-b3", 1, owner="bob"))
    found = [place.ticket_id for place in queue.room.waiting(Wanted.of("bob"))]
    assert found == ["main-b2", "main-b1", "main-b3", "other-b2", "other-b1"]
    assert asked == found
    assert [place.ticket_id for place in queue.room.waiting(Wanted.of("bob"), limit=1)] == ["main-b2"]
    assert queue.room.waiting(Wanted.of("carol")) == []
    asked.clear()
    assert queue.room.count(Wanted.of("bob")) == 5
    assert queue.room.count(Wanted(level=3)) == 102
    assert queue.room.count() == 105
    few = queue.room.waiting(Wanted(pool="other", level=3), limit=3)
    assert [place.ticket_id for place in few] == asked == ["other-a0", "other-b1", "other-a1"]


async def test_crowding_is_waiting_requests_per_usable_slot(queue: MemoryQueueManager) -> None:
    assert queue.crowding("main") == 0
    queue.update_upstream(UpstreamSlots("gpu", "main", 2))
    queue.update_upstream(UpstreamSlots("spare", "main", 4, usable=False))
    assert queue.crowding("main") < 0
    for n in range(5):
        await queue.submit(ticket_of(queue, f"a{n}"))
    assert queue.crowding("main") == 1.5


async def test_who_fits_nothing_is_held_to_the_bounds_and_holds_up_nobody(build: Build) -> None:
    queue = build(QueueSettings(max_waiting=2, max_waiting_per_principal=2))
    queue.update_upstream(UpstreamSlots("gpu", "main", 1, models=frozenset({"x"})))
    queue.update_upstream(UpstreamSlots("big", "main", 1, models=frozenset({"m"})))
    for n in range(3):
        await queue.submit(ticket_of(queue, f"m{n}", model="m"))
    assert type(await refusal(queue, "m3", "bob", model="m")) is QueueFull
    await queue.submit(ticket_of(queue, "x1", model="x"))
    assert runs(queue) == ["m0", "x1"]
    assert type(await refusal(queue, "x2", "bob", model="x")) is QueueFull


async def test_no_more_than_a_part_of_the_line_is_searched_for_one_that_fits(
    queue: MemoryQueueManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "LOOK_AHEAD", 3)
    queue.update_upstream(UpstreamSlots("gpu", "main", 1, models=frozenset({"x"})))
    queue.update_upstream(UpstreamSlots("big", "main", 1, models=frozenset({"m"})))
    busy = await run_one(queue, "x0", model="x")
    held = await run_one(queue, "m0", model="m")
    for n in range(1, 4):
        await queue.submit(ticket_of(queue, f"m{n}", model="m", flow="m"))
    await queue.submit(ticket_of(queue, "x1", model="x", flow="m"))
    queue.release(busy, 10)
    assert runs(queue) == ["m0"]
    queue.release(held, 10)
    assert runs(queue) == ["m1", "x1"]
