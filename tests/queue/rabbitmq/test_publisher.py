"""What a daemon has to say arrives in order and many at a time; a broker that takes nothing is noticed in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from aiormq.abc import AbstractChannel

from llmgate.daemon.queue.rabbitmq import publisher as module
from llmgate.daemon.queue.rabbitmq.connection import BrokerAddress, RabbitMQConnection
from llmgate.daemon.queue.rabbitmq.exchanges import CONTROL, DAEMONS, TICKETS, ExchangeManager
from llmgate.daemon.queue.rabbitmq.publisher import BATCH, PUBLISH_SECONDS, Message, Publisher
from llmgate.daemon.queue.rabbitmq.wire import decode_items
from tests.queue.backends import until
from tests.queue.rabbitmq.support import Collector, passing, settings_of
from tests.services.fixtures import StartBroker


class Outbox:
    """A publisher at work, what it has said of the broker, and somebody who listens."""

    def __init__(self, connection: RabbitMQConnection) -> None:
        self.connection = connection
        self.failures: list[str] = []
        self.returned: list[str] = []
        self.publisher: Publisher
        self.work: asyncio.Task[None]

    async def open(self) -> None:
        await ExchangeManager().declare(self.connection)
        self.publisher = Publisher(
            await self.connection.channel(), "me", failed=self.failures.append, returned=self.returned.append
        )
        self.work = asyncio.create_task(self.publisher.run())

    async def listener(self, *where: tuple[str, str]) -> Collector:
        collector = Collector(await self.connection.channel())
        await collector.listen(*where)
        return collector


@asynccontextmanager
async def an_outbox(url: str) -> AsyncIterator[Outbox]:
    connection = RabbitMQConnection(BrokerAddress.of(settings_of(url)), "test", lambda _: None)
    await connection.open()
    outbox = Outbox(connection)
    await outbox.open()
    try:
        yield outbox
    finally:
        outbox.work.cancel()
        await asyncio.gather(outbox.work, return_exceptions=True)
        await connection.close()


@pytest.fixture
async def outbox(vhost_url: str) -> AsyncIterator[Outbox]:
    async with an_outbox(vhost_url) as outbox:
        yield outbox


async def test_messages_arrive_in_order(outbox: Outbox) -> None:
    heard = await outbox.listener((TICKETS, "line"))
    sent = [f"ticket {number}".encode() for number in range(3 * BATCH)]
    for body in sent:
        outbox.publisher.send(Message(TICKETS, "line", body))
    await until(lambda: outbox.publisher.idle)
    await until(lambda: len(heard.bodies) == len(sent))
    assert heard.bodies == sent
    assert outbox.failures == outbox.returned == []


async def test_items_for_one_key_share_a_message(outbox: Outbox) -> None:
    heard = await outbox.listener((DAEMONS, "a"))
    for number in range(1000):
        outbox.publisher.tell(DAEMONS, "a", ["item", number])
        await asyncio.sleep(0)  # some of them while others are under way
    await until(lambda: len(heard.items) == 1000)
    assert heard.items == [["item", number] for number in range(1000)]
    assert len(heard.bodies) < 500
    assert {decode_items(body)[0] for body in heard.bodies} == {"me"}


async def test_everybody_gets_what_is_for_them_in_order(outbox: Outbox) -> None:
    boots = [f"d{number}" for number in range(5)]
    heard = {boot: await outbox.listener((DAEMONS, boot), (CONTROL, "")) for boot in boots}
    for number in range(100):
        outbox.publisher.tell(CONTROL, "", ["all", number])
        for boot in boots:
            outbox.publisher.tell(DAEMONS, boot, [boot, number])
        await asyncio.sleep(0)
    await until(lambda: all(len(one.items) == 200 for one in heard.values()))
    for boot, one in heard.items():
        for name in (boot, "all"):
            assert [item for item in one.items if item[0] == name] == [[name, number] for number in range(100)]


async def test_tickets_go_before_items(outbox: Outbox) -> None:
    """A request that is tried again is back in line before its slot is given back."""
    heard = await outbox.listener((TICKETS, "line"), (DAEMONS, "a"))
    outbox.publisher.tell(DAEMONS, "a", ["released"])
    outbox.publisher.send(Message(TICKETS, "line", b"retried"))
    await until(lambda: len(heard.bodies) == 2)
    assert heard.bodies[0] == b"retried"


async def test_a_message_has_the_time_to_live_that_it_was_given(outbox: Outbox) -> None:
    heard = await outbox.listener((TICKETS, "line"))
    outbox.publisher.send(Message(TICKETS, "line", b"rest", expires_ms=2500))
    outbox.publisher.send(Message(TICKETS, "line", b"all"))
    await until(lambda: len(heard.messages) == 2)
    found = [(m.header.properties.expiration, m.header.properties.delivery_mode) for m in heard.messages]
    assert found == [("2500", 1), (None, 1)]


async def test_who_is_not_there_is_named_once_for_each_message(outbox: Outbox) -> None:
    heard = await outbox.listener((DAEMONS, "a"))
    for number in range(3):
        outbox.publisher.tell(DAEMONS, "gone", ["ping", number])
        outbox.publisher.tell(DAEMONS, "a", ["ping", number])
        await until(lambda: outbox.publisher.idle)
    assert outbox.returned == ["gone"] * 3
    assert len(heard.items) == 3
    assert outbox.failures == []


def unconfirmed_for(publisher: Publisher) -> float | None:
    since = publisher.unconfirmed_since
    return None if since is None else asyncio.get_running_loop().time() - since


async def test_it_knows_since_when_nothing_is_confirmed(outbox: Outbox) -> None:
    assert unconfirmed_for(outbox.publisher) is None
    outbox.publisher.tell(CONTROL, "", ["beat"])
    waited = unconfirmed_for(outbox.publisher)
    assert waited is not None
    assert 0 <= waited < 0.1
    await until(lambda: outbox.publisher.idle)
    assert unconfirmed_for(outbox.publisher) is None


class Silent:
    """A channel of a broker that takes everything and confirms nothing."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def basic_publish(self, *arguments: object, **options: object) -> None:
        self.asked.set()
        await asyncio.Event().wait()


async def test_what_was_under_way_was_perhaps_heard_and_what_came_after_it_was_not() -> None:
    clock, channel = asyncio.get_running_loop().time, Silent()
    publisher = Publisher(cast("AbstractChannel", channel), "me", failed=lambda reason: None)
    first_told = clock()
    publisher.tell(DAEMONS, "a", ["released", 1])
    assert first_told <= publisher.unheard_since(60) <= clock()
    sending = asyncio.create_task(publisher.run())
    await channel.asked.wait()
    second_told = clock()
    publisher.tell(DAEMONS, "a", ["released", 2])
    assert first_told < publisher.unheard_since(60) <= second_told
    assert publisher.unheard_since(0) <= second_told, "under way for too long: nobody has heard the first one either"
    sending.cancel()


async def test_it_remembers_when_the_broker_was_slow_to_confirm(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.publisher.tell(CONTROL, "", ["beat"])
    await until(lambda: outbox.publisher.idle)
    assert outbox.publisher.since_stalled() == float("inf")
    monkeypatch.setattr(module, "STALL_SECONDS", 0.0)  # whatever takes a moment is slow
    outbox.publisher.tell(CONTROL, "", ["beat"])
    await until(lambda: outbox.publisher.idle)
    assert 0 <= outbox.publisher.since_stalled() < float("inf")


async def test_it_knows_when_it_was_surely_heard(outbox: Outbox) -> None:
    """That is when it sent what has been confirmed, not when the confirmation came."""
    assert outbox.publisher.since_taken() == float("inf")
    outbox.publisher.tell(CONTROL, "", ["beat"])
    assert outbox.publisher.since_taken() == float("inf")
    told_at = asyncio.get_running_loop().time()
    await until(lambda: outbox.publisher.idle)
    assert 0 < outbox.publisher.since_taken() <= asyncio.get_running_loop().time() - told_at


async def test_a_closed_channel_is_told_once(outbox: Outbox) -> None:
    """By whatever was under way: many messages at a time."""
    for number in range(20):
        outbox.publisher.send(Message("no.such.exchange", "line", f"{number}".encode()))
        outbox.publisher.tell(CONTROL, "", ["beat"])
    await until(outbox.work.done)
    assert len(outbox.failures) == 1, outbox.failures
    assert outbox.failures[0].startswith("a message was not taken")
    assert outbox.work.exception() is None


async def test_too_much_is_told_once(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PENDING", 10)
    for number in range(30):
        outbox.publisher.tell(CONTROL, "", ["beat", number])
    assert len(outbox.failures) == 1


async def test_a_frozen_broker_is_noticed_in_time_and_told_once(broker: StartBroker) -> None:
    server = broker()
    async with an_outbox(server.url()) as one, an_outbox(server.url()) as many:
        server.freeze()
        began = asyncio.get_running_loop().time()
        one.publisher.tell(CONTROL, "", ["beat"])
        for number in range(50):
            many.publisher.tell(DAEMONS, f"d{number}", ["ping"])
        for outbox in (one, many):
            await until(outbox.work.done)
            assert PUBLISH_SECONDS <= asyncio.get_running_loop().time() - began < PUBLISH_SECONDS + 1
            outbox.publisher.tell(CONTROL, "", ["beat"])
        await passing(0.1)
        assert one.failures == many.failures == ["it confirms nothing"]
        assert not one.publisher.idle
        assert one.publisher.since_taken() == many.publisher.since_taken() == float("inf")
