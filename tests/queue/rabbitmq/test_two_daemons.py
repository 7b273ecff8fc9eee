"""Two daemons, one line: whatever one of them is asked or told, it holds for both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from llmgate.config import QueueSettings
from llmgate.daemon.queue.rabbitmq.manager import RabbitMQManager
from llmgate.daemon.queue.rabbitmq.members import Presence
from llmgate.daemon.queue.ticket import Grant, UpstreamSlots
from llmgate.daemon.queue.wanted import Wanted
from llmgate.errors import CancelledByAdmin, PoolDraining
from tests.queue.backends import is_quiet, until
from tests.queue.factory import a_ticket
from tests.services.fixtures import StartBroker

GPU = UpstreamSlots("gpu", "main", 1)


@asynccontextmanager
async def daemon(
    url: str, name: str, on_revoked: Callable[[], None] = lambda: None, **changes: Any
) -> AsyncIterator[RabbitMQManager]:
    settings = QueueSettings.model_validate({"backend": "rabbitmq", "url": url, "settle_ms": 0, **changes})
    manager = RabbitMQManager(
        settings, boot=name, name=name, shape={"x": 1}, pools=["main"], emit=lambda _: None, on_revoked=on_revoked
    )
    manager.update_upstream(GPU)
    await manager.start()
    running = asyncio.create_task(manager.run())
    try:
        yield manager
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await manager.close()


@pytest.fixture
async def pair(vhost_url: str) -> AsyncIterator[tuple[RabbitMQManager, RabbitMQManager]]:
    """The first one dispatches."""
    async with daemon(vhost_url, "one") as one:
        await until(lambda: is_quiet(one))
        async with daemon(vhost_url, "two") as two:
            await until(lambda: is_quiet(one, two))
            await until(lambda: len(one.status().daemons) == 2 == len(two.status().daemons))
            yield one, two


async def until_runs(asked: RabbitMQManager, ticket_ids: list[str]) -> None:
    """Which requests run is told by the heartbeats, once a second."""
    async with asyncio.timeout(5):
        while [running.ticket_id for running in await asked.running()] != ticket_ids:
            await asyncio.sleep(0)


async def occupy(manager: RabbitMQManager) -> Grant:
    return await (await manager.submit(a_ticket("busy1", level=1, at=manager.now()))).granted(5)


async def test_who_waits_can_be_seen_from_any_daemon(pair: tuple[RabbitMQManager, RabbitMQManager]) -> None:
    one, two = pair
    await occupy(one)
    await two.submit(a_ticket("b1", level=3, at=two.now()))
    await one.submit(a_ticket("a1", level=2, at=one.now()))
    await until(lambda: is_quiet(one, two))
    for asked in pair:
        assert [(place.ticket_id, place.level) for place in await asked.waiting()] == [("a1", 2), ("b1", 3)]
        position = await asked.position("b1")
        assert position is not None
        assert (position.level, position.ahead) == (3, 1)
        assert await asked.position("nobody") is None


async def test_some_of_those_who_wait_or_run_can_be_asked_for_at_any_daemon(
    pair: tuple[RabbitMQManager, RabbitMQManager],
) -> None:
    one, two = pair
    await occupy(one)
    for manager, name in ((one, "a1"), (two, "a2"), (one, "b1"), (two, "b2")):
        model = "m2" if manager is two else "m1"
        await manager.submit(a_ticket(name, level=3, at=manager.now(), model=model))
    await until(lambda: is_quiet(one, two))
    await until(lambda: all(asked.stats()[0].waiting == 4 for asked in pair))
    asked_for = {
        Wanted(): ["a1", "b1", "a2", "b2"],
        Wanted.of("a"): ["a1", "a2"],
        Wanted.of("nobody"): [],
        Wanted(pool="main", models=frozenset({"m2", "m3"}), level=3): ["a2", "b2"],
        Wanted(level=2): [],
        Wanted(pool="other"): [],
    }
    for asked in pair:
        for wanted, expected in asked_for.items():
            assert [place.ticket_id for place in await asked.waiting(wanted)] == expected
            assert [place.ticket_id for place in await asked.waiting(wanted, 1)] == expected[:1]
            assert await asked.count(wanted) == len(expected)
        await until_runs(asked, ["busy1"])
        assert [held.ticket_id for held in await asked.running(Wanted(frozenset({"busy"}), "main", None, 1), 1)] == [
            "busy1"
        ]
        assert list(await asked.running(Wanted(level=2))) == list(await asked.running(limit=0)) == []


async def test_of_a_line_longer_than_the_dispatcher_sees_everybody_is_counted(vhost_url: str) -> None:
    async with daemon(vhost_url, "one", window=10) as one:
        await until(lambda: is_quiet(one))
        await occupy(one)
        async with daemon(vhost_url, "two", window=10) as two:
            for n in range(30):
                await two.submit(a_ticket(f"a{n}", at=two.now()))
            await until(lambda: one.stats()[0].waiting == 30)
            assert 10 <= len(await one.waiting(Wanted.of("a"))) < 30
            for asked in (one, two):
                assert await asked.count(Wanted.of("a")) == await asked.count() == 30


async def test_the_statistics_are_of_both(pair: tuple[RabbitMQManager, RabbitMQManager]) -> None:
    one, two = pair
    grant = await occupy(two)
    await one.submit(a_ticket("a1", level=2, at=one.now()))
    await until(lambda: all((m.stats()[0].running, m.stats()[0].waiting) == (1, 1) for m in pair))
    for asked in pair:
        [stats] = asked.stats()
        assert (stats.slots, stats.upstreams, stats.dispatcher) == (1, {"gpu": (1, 1)}, "one")
        await until_runs(asked, ["busy1"])
    two.release(grant, 10.0)
    await until(lambda: one.stats()[0].granted == 2 == two.stats()[0].granted)


async def test_an_administrator_reaches_requests_of_another_daemon(
    pair: tuple[RabbitMQManager, RabbitMQManager],
) -> None:
    one, two = pair
    grant = await occupy(one)
    goes = await one.submit(a_ticket("a1", level=2, at=one.now()))
    rises = await one.submit(a_ticket("b1", level=5, at=one.now()))
    assert await two.set_level("b1", 1)
    assert not await two.set_level("nobody", 1)
    position = await two.position("b1")
    assert position is not None
    assert (position.level, position.submitted_level) == (1, 5)
    assert await two.cancel("a1")
    assert not await two.cancel("a1")
    with pytest.raises(CancelledByAdmin):
        await goes.granted(1)
    one.release(grant, 10.0)
    assert (await rises.granted(5)).ticket.id == "b1"


async def test_what_is_wanted_of_a_pool_holds_everywhere_and_for_who_comes_later(
    vhost_url: str, pair: tuple[RabbitMQManager, RabbitMQManager]
) -> None:
    one, two = pair
    await two.pause("main")
    await until(lambda: one.stats()[0].state == "paused")
    place = await one.submit(a_ticket("a1", at=one.now()))
    with pytest.raises(TimeoutError):
        await place.granted(0.3)
    await one.drain("main")
    assert (await place.granted(5)).ticket.id == "a1"
    await until(lambda: two.stats()[0].state == "draining")
    async with daemon(vhost_url, "three") as three:
        await until(lambda: three.stats()[0].state == "draining")
        with pytest.raises(PoolDraining):
            await three.submit(a_ticket("c1", at=three.now()))


async def test_the_other_daemons_hear_that_rights_were_changed(vhost_url: str) -> None:
    told: list[str] = []
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(daemon(vhost_url, "one", lambda: told.append("one")))
        await stack.enter_async_context(daemon(vhost_url, "two", lambda: told.append("two")))
        await until(lambda: len(one.status().daemons) == 2)
        one.tell_revoked()
        await until(lambda: bool(told))
        assert told == ["two"]


async def test_a_dispatcher_that_stops_hands_over_and_nobody_loses_the_place(vhost_url: str) -> None:
    async with daemon(vhost_url, "two") as two:
        async with daemon(vhost_url, "one") as one:
            await until(lambda: is_quiet(one, two))
            grant = await occupy(two)
            places = [await two.submit(a_ticket(f"a{n}", at=two.now())) for n in range(20)]
            await until(lambda: is_quiet(one, two))
        await until(lambda: two.stats()[0].dispatcher == "two")
        assert [place.ticket_id for place in await two.waiting()] == [f"a{n}" for n in range(20)]
        for place in places:
            two.release(grant, 10.0)
            grant = await place.granted(5)
        assert two.stats()[0].granted == 21


async def test_who_reaches_no_upstream_leaves_the_dispatching_to_who_does(
    pair: tuple[RabbitMQManager, RabbitMQManager],
) -> None:
    one, two = pair
    await until(lambda: any(report.usable for peer in one.control.peers.values() for report in peer.reports))
    one.update_upstream(UpstreamSlots("gpu", "main", 1, usable=False))
    await until(lambda: two.stats()[0].dispatcher == "two", 15)
    place = await two.submit(a_ticket("a1", at=two.now()))
    assert (await place.granted(5)).upstream == "gpu"


async def test_a_new_daemon_that_wins_the_lock_comes_after_all_dispatchers_before_it(vhost_url: str) -> None:
    """It cannot know their epochs by itself, and the others would obey nobody of an older one."""
    async with daemon(vhost_url, "two") as two:
        async with daemon(vhost_url, "one") as one:
            await until(lambda: is_quiet(one, two))
            for manager in (one, two):
                manager.owner.heard_epochs({"main": 7})
            first = two._link
            assert first is not None
            first.lose("so that nobody dispatches")
            await until(lambda: two._link is not first, 15)
            await until(lambda: is_quiet(one, two), 15)
            assert one.stats()[0].epoch > 7
        await until(lambda: is_quiet(two), 15)
        # A dispatcher that does not know it is told so, and goes on from there.
        ledger = two.dispatchers["main"].ledger
        assert ledger is not None
        ledger.epoch = 1
        await until(lambda: ledger.epoch > 7, 15)
        place = await two.submit(a_ticket("a1", at=two.now()))
        assert (await place.granted(5)).epoch > 7


async def test_an_inbox_that_is_deleted_is_noticed(vhost_url: str) -> None:
    async with daemon(vhost_url, "one") as one:
        await until(lambda: is_quiet(one))
        first = one._link
        assert first is not None
        channel = await first.dispatch.channel()
        await first._listening.queue_delete(first._inbox)
        await channel.close()
        await until(lambda: one._link is not None and one._link is not first, 20)
        await until(lambda: is_quiet(one), 15)
        assert (await (await one.submit(a_ticket("a1", at=one.now()))).granted(5)).upstream == "gpu"


@pytest.mark.alone
async def test_tickets_that_were_lost_come_back_also_while_a_line_is_full(vhost_url: str) -> None:
    async with daemon(vhost_url, "one", window=10) as one:
        await until(lambda: is_quiet(one))
        grant = await occupy(one)
        async with daemon(vhost_url, "two", window=10) as two:
            early = [await two.submit(a_ticket(f"b{n}", level=1, at=two.now())) for n in range(3)]
            await until(lambda: is_quiet(one, two))
            for n in range(50):
                await one.submit(a_ticket(f"a{n}", at=one.now()))
            ledger = one.dispatchers["main"].ledger
            assert ledger is not None
            await until(lambda: ledger.held >= 13)
            ledger.settle(ledger.members["two"], Presence.DEAD, one.now())  # its tickets are forgotten
            assert ledger.held == 10
            assert two._link is not None
            two._link.lose("as if it had been away")
            await until(lambda: ledger.held == 13, 15)
            holder = one
            for place in early:
                holder.release(grant, 1.0)
                grant, holder = await place.granted(10), two


async def test_who_was_started_without_a_broker_waits_for_what_the_others_run(broker: StartBroker) -> None:
    rabbit = broker()
    async with daemon(rabbit.url(), "one") as one:
        await until(lambda: is_quiet(one))
        grant = await occupy(one)
        rabbit.kill()
        await until(lambda: one.status().state == "degraded")
        async with daemon(rabbit.url(), "two") as two:
            place = await two.submit(a_ticket("b1", at=two.now()))
            await asyncio.to_thread(rabbit.start)
            with pytest.raises(TimeoutError):  # the only slot is in use
                await place.granted(8)
            one.release(grant, 1.0)
            assert (await place.granted(10)).upstream == "gpu"


async def test_a_slot_that_rests_is_nobody_elses_when_the_broker_is_gone(broker: StartBroker) -> None:
    """After a request was given up its slot is kept back for a moment. The dispatcher has it, and not who held it."""
    rabbit = broker()
    async with daemon(rabbit.url(), "one", settle_ms=2000) as one:
        await until(lambda: is_quiet(one))
        async with daemon(rabbit.url(), "two", settle_ms=2000) as two:
            await until(lambda: is_quiet(one, two))
            grant = await occupy(two)
            two.release(grant, None, cancelled=True)
            ledger = one.dispatchers["main"].ledger
            assert ledger is not None
            await until(lambda: not ledger.offers)
            rabbit.kill()
            await until(lambda: one.status().state == two.status().state == "degraded")
            assert (one.status().serves, two.status().serves) == (True, False)
