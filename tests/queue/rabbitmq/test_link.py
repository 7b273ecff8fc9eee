"""One daemon's connections are given up whatever their tasks do: others wait for the lock that is on them."""

from __future__ import annotations

import asyncio

from llmgate.daemon.queue.rabbitmq.connection import BrokerAddress, RabbitMQConnection
from llmgate.daemon.queue.rabbitmq.link import Link
from tests.queue.rabbitmq.support import settings_of


async def test_a_task_that_does_not_hear_that_it_shall_end_keeps_no_connection_open(vhost_url: str) -> None:
    settings = settings_of(vhost_url)
    address = BrokerAddress.of(settings)
    link = Link(settings, address, "boot", "name", 1, lambda body: None)
    await link.open()
    lock = await link.dispatch.channel()
    await lock.queue_declare("llmgate.lock", exclusive=True)
    begun, deaf = asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        """As a call that is answered in the moment when it is cancelled (asyncio.wait_for, until Python 3.12)."""
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            deaf.set()
        await asyncio.Event().wait()

    link.start(stubborn())
    await begun.wait()
    async with asyncio.timeout(10):
        await link.close()
    assert deaf.is_set()
    other = RabbitMQConnection(address, "other", lambda reason: None)
    await other.open()
    await (await other.channel()).queue_declare("llmgate.lock", exclusive=True)
    await other.close()
