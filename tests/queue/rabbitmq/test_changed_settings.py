"""Settings that shape the queues are changed in a running cluster: nobody loses a place, nobody is taken for wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from llmgate.daemon.queue.interface import Place
from llmgate.daemon.queue.rabbitmq.control import Shape, difference
from llmgate.daemon.queue.rabbitmq.manager import RabbitMQManager
from llmgate.daemon.queue.ticket import Grant, UpstreamSlots
from tests.queue.backends import is_quiet, until
from tests.queue.factory import a_ticket
from tests.queue.rabbitmq.support import arguments, settings_of, vhost_of
from tests.services.rabbitmq import RabbitServer

OLD, NEW = 30, 0.4


def shape(version: int, **settings: Any) -> Shape:
    values = {"queue.aging_seconds": OLD, "queue.aged_share": 0.25, "queue.settle_ms": 0, **settings}
    return {"settings version": version, "secret key": "k", "queue.queue_type": "classic", **values}


@asynccontextmanager
async def daemon(
    url: str, name: str, *, version: int = 1, heard: Callable[[int], None] = lambda _: None, **changes: Any
) -> AsyncIterator[RabbitMQManager]:
    settings = settings_of(url, **{"aging_seconds": OLD, **changes})
    own = shape(version, **{"queue.aging_seconds": settings.aging_seconds})
    manager = RabbitMQManager(settings, boot=name, name=name, shape=own, pools=["main"], emit=lambda _: None)
    manager.listen("settings", lambda _, told: heard(told))
    manager.update_upstream(UpstreamSlots("gpu", "main", 1))
    await manager.start()
    running = asyncio.create_task(manager.run())
    try:
        yield manager
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await manager.close()


@asynccontextmanager
async def cluster(url: str, **changes: Any) -> AsyncIterator[tuple[RabbitMQManager, RabbitMQManager]]:
    """Two daemons, of which the first one dispatches."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(daemon(url, "one", **changes))
        await until(lambda: is_quiet(one))
        two = await stack.enter_async_context(daemon(url, "two", **changes))
        await until(lambda: is_quiet(one, two))
        await until(lambda: len(one.status().daemons) == 2 == len(two.status().daemons))
        yield one, two


def change(manager: RabbitMQManager, url: str, version: int = 2, **changes: Any) -> None:
    settings = settings_of(url, **{"aging_seconds": OLD, **changes})
    told = {f"queue.{key}": value for key, value in changes.items() if key != "queue_type"}
    manager.apply(settings, shape(version, **told))


async def all_join(*managers: RabbitMQManager) -> None:
    def are_there() -> bool:
        names = {stats.dispatcher for manager in managers for stats in manager.stats()}
        connected = all(
            manager._link is not None and manager._link.settings.aging_seconds == manager._settings.aging_seconds
            for manager in managers
        )
        return connected and len(names) == 1 and "" not in names and is_quiet(*managers)

    await until(are_there, 15)


async def occupied(manager: RabbitMQManager) -> Grant:
    return await (await manager.submit(a_ticket("busy", level=1, at=manager.now()))).granted(5)


async def serve_all(holder: RabbitMQManager, grant: Grant, waiting: list[tuple[RabbitMQManager, Place]]) -> list[str]:
    """Let everybody have the one slot, one after the other; the ids in the order of their turns."""
    turns: list[str] = []
    places = {place.ticket.id: (manager, place) for manager, place in waiting}
    asking = {asyncio.create_task(place.granted(15)): key for key, (_, place) in places.items()}
    while asking:
        holder.release(grant, 1.0)
        done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED, timeout=15)
        assert len(done) == 1  # one slot: two at once would be one too many
        task = done.pop()
        grant, key = task.result(), asking.pop(task)
        holder = places[key][0]
        turns.append(key)
    holder.release(grant, 1.0)
    return turns


# A broker that has no time to begin a quorum queue within its own deadline refuses that queue for good.
@pytest.mark.parametrize("queue_type", ["classic", pytest.param("quorum", marks=pytest.mark.alone)])
async def test_new_aging_times_hold_for_who_waits_and_nobody_is_lost(
    queue_type: str, vhost_url: str, rabbit: RabbitServer
) -> None:
    async with cluster(vhost_url, queue_type=queue_type) as (one, two):
        grant = await occupied(one)
        waiting = [
            (manager, await manager.submit(a_ticket(f"{name}{level}", level=level, at=manager.now())))
            for name, manager in (("a", one), ("b", two))
            for level in (5, 4, 3, 2, 1)
        ]
        await until(lambda: is_quiet(one, two))
        for manager in (one, two):
            change(manager, vhost_url, aging_seconds=NEW, queue_type=queue_type)
        await all_join(one, two)
        queues = arguments(rabbit, vhost_of(vhost_url))
        assert {queues[f"llmgate.main.l{level}"]["x-message-ttl"] for level in (2, 3, 4, 5)} == {NEW * 1000}
        await until(lambda: one.stats()[0].aged_waiting == 8 == two.stats()[0].aged_waiting, 10)
        assert sum(stats.waiting for stats in one.stats()) == 10
        turns = await serve_all(one, grant, waiting)
        assert sorted(turns) == sorted(place.ticket.id for _, place in waiting)
        assert [one.stats()[0].over_limit_seconds, two.stats()[0].over_limit_seconds] == [0, 0]


async def test_a_daemon_that_hears_of_it_later_is_waited_for_and_not_taken_for_wrong(vhost_url: str) -> None:
    async with cluster(vhost_url) as (one, two):
        grant = await occupied(one)
        waiting = [
            (manager, await manager.submit(a_ticket(f"t{n}", level=4, at=manager.now())))
            for n, manager in enumerate((one, two, one, two))
        ]
        await until(lambda: is_quiet(one, two))
        change(two, vhost_url, aging_seconds=NEW)  # while the first one consumes the old queues
        await until(lambda: two.status().state == "degraded")
        assert one.status().state == "connected"
        place = await two.submit(a_ticket("late", level=1, at=two.now()))
        waiting.append((two, place))
        change(one, vhost_url, aging_seconds=NEW)
        await all_join(one, two)
        assert sorted(await serve_all(one, grant, waiting)) == ["late", "t0", "t1", "t2", "t3"]


async def test_what_the_dispatcher_decides_by_is_changed_without_a_new_start(vhost_url: str) -> None:
    heard: list[int] = []
    async with cluster(vhost_url, heard=heard.append) as (one, two):
        links = one._links, two._links
        change(one, vhost_url, aged_share=0.5, settle_ms=70)
        await until(lambda: 2 in heard)  # by the heartbeat, should the announcement have been lost
        one.control.check_peers()
        two.control.check_peers()  # one of them is behind: that is no contradiction
        ledger = one.dispatchers["main"].ledger
        assert ledger is not None
        assert (ledger.pool.line._aged_share, ledger._settings.settle_ms) == (0.5, 70)
        change(two, vhost_url, aged_share=0.5, settle_ms=70)
        grant = await occupied(two)
        two.release(grant, 1.0)
        assert (one._links, two._links) == links
        assert one.status().state == "connected" == two.status().state


async def test_a_daemon_that_starts_before_the_others_have_heard_joins_when_they_have(vhost_url: str) -> None:
    async with daemon(vhost_url, "one") as one:
        await until(lambda: is_quiet(one))
        async with daemon(vhost_url, "two", version=2, aging_seconds=NEW) as two:
            assert two.status().state == "degraded"
            change(one, vhost_url, aging_seconds=NEW)
            await all_join(one, two)


async def test_a_change_while_a_daemon_is_connecting_is_not_missed(vhost_url: str, rabbit: RabbitServer) -> None:
    async with daemon(vhost_url, "one") as one:
        await until(lambda: is_quiet(one))
        assert one._link is not None
        one._link.lose("as if the broker had gone")
        await until(lambda: one.status().state == "degraded")
        change(one, vhost_url, aging_seconds=NEW)
        await all_join(one)
        queues = arguments(rabbit, vhost_of(vhost_url))
        assert queues["llmgate.main.l5"]["x-message-ttl"] == NEW * 1000


def test_only_what_cannot_change_counts_between_daemons_of_different_versions() -> None:
    assert difference(shape(1), shape(1)) is None
    assert "queue.aged_share" in (difference(shape(1), shape(1, **{"queue.aged_share": 0.5})) or "")
    assert difference(shape(1), shape(2, **{"queue.aged_share": 0.5})) is None
    assert "secret key" in (difference(shape(1), {**shape(2), "secret key": "other"}) or "")
    assert "queue_type" in (difference(shape(1), {**shape(2), "queue.queue_type": "quorum"}) or "")
