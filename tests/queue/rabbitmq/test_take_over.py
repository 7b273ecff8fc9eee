"""What changes while a dispatcher opens its books is in them."""

from __future__ import annotations

import asyncio

import pytest
from aiormq.abc import AbstractChannel

from llmgate.config import QueueSettings
from llmgate.daemon.queue.rabbitmq.connection import RabbitMQConnection
from llmgate.daemon.queue.rabbitmq.dispatcher import Dispatcher
from llmgate.daemon.queue.rabbitmq.manager import RabbitMQManager
from llmgate.daemon.queue.ticket import UpstreamSlots
from tests.queue.factory import a_ticket


async def test_an_upstream_that_comes_up_during_a_take_over_is_used(
    vhost_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = QueueSettings.model_validate({"backend": "rabbitmq", "url": vhost_url, "settle_ms": 0})
    manager = RabbitMQManager(settings, boot="one", name="one", shape={"x": 1}, pools=["main"], emit=lambda _: None)
    manager.update_upstream(UpstreamSlots("gpu", "main", 1, usable=False))
    become, channel = Dispatcher._become, RabbitMQConnection.channel
    has_the_lock, told = asyncio.Event(), asyncio.Event()

    async def became(dispatcher: Dispatcher) -> bool:
        if await become(dispatcher):
            has_the_lock.set()
        return has_the_lock.is_set()

    async def opened(connection: RabbitMQConnection) -> AbstractChannel:
        made = await channel(connection)
        if has_the_lock.is_set() and not told.is_set():
            told.set()
            manager.update_upstream(UpstreamSlots("gpu", "main", 1))
        return made

    monkeypatch.setattr(Dispatcher, "_become", became)
    monkeypatch.setattr(RabbitMQConnection, "channel", opened)
    await manager.start()
    running = asyncio.create_task(manager.run())
    try:
        place = await manager.submit(a_ticket("a1", at=manager.now()))
        assert (await place.granted(5)).upstream == "gpu"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await manager.close()
