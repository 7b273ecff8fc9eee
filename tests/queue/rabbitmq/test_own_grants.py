"""What a daemon says to the dispatcher in its own process, and what that one grants to it, needs no broker: as long as
the broker has just shown that this is the dispatcher."""

from __future__ import annotations

import pytest

from llmgate.daemon.queue.rabbitmq.dispatcher import OWN_SECONDS, SILENCE_SECONDS
from llmgate.daemon.queue.rabbitmq.manager import RabbitMQManager
from llmgate.daemon.queue.rabbitmq.publisher import Publisher
from llmgate.daemon.queue.rabbitmq.wire import Item
from tests.queue.backends import is_quiet, until
from tests.queue.rabbitmq.support import a_manager, in_turn, running

TO_THE_DISPATCHER = {"accepted", "released", "left", "refused", "pong", "waiting"}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[Item]:
    """What goes through the broker."""
    items: list[Item] = []
    tell = Publisher.tell

    def noting(publisher: Publisher, exchange: str, key: str, item: Item) -> None:
        items.append(item)
        tell(publisher, exchange, key, item)

    monkeypatch.setattr(Publisher, "tell", noting)
    return items


async def a_turn_each(manager: RabbitMQManager, ids: list[str]) -> None:
    """All have their turn, one after the other, and the last one leaves while it waits."""
    *served, leaving = await in_turn(manager, ids)
    leaving.leave()
    for place in served:
        manager.release(await place.granted(5), 1.0)
    await until(lambda: is_quiet(manager))


async def test_a_daemon_and_its_own_dispatcher_need_no_broker_between_them(vhost_url: str, said: list[Item]) -> None:
    async with running(a_manager(vhost_url)) as manager:
        await until(lambda: is_quiet(manager))
        said.clear()
        await a_turn_each(manager, ["a", "b", "c"])
        names = {item[0] for item in said}
        assert "grant" not in names
        assert not names & TO_THE_DISPATCHER


async def test_without_a_fresh_proof_of_the_lock_a_grant_goes_through_the_broker(
    vhost_url: str, said: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert OWN_SECONDS < SILENCE_SECONDS  # whoever comes next waits for longer than the proof is good
    async with running(a_manager(vhost_url)) as manager:
        await until(lambda: is_quiet(manager))
        monkeypatch.setattr(Publisher, "since_taken", lambda _: OWN_SECONDS + 0.001)
        said.clear()
        await a_turn_each(manager, ["a", "b", "c"])
        assert [item[0] for item in said].count("grant") == 2


async def test_a_dispatcher_whose_link_is_lost_grants_nothing_more(vhost_url: str) -> None:
    """Not even to its own daemon, which counts its slots by then."""
    async with running(a_manager(vhost_url)) as manager:
        await until(lambda: is_quiet(manager))
        dispatcher, link = manager.dispatchers["main"], manager._link
        assert link is not None
        told: list[Item] = []
        dispatcher._tell_own = told.append
        link.lose("a test")
        dispatcher.tell(dispatcher._boot, ["grant", "main"])
        await until(lambda: manager._link is not link)
        assert told == []
