"""Daemons' queue managers on a real broker, and looks inside it."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiormq
from aiormq import spec
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.common import FieldTable

from llmgate.config import QueueSettings
from llmgate.daemon.queue.interface import Place
from llmgate.daemon.queue.rabbitmq.connection import BrokerAddress, RabbitMQConnection
from llmgate.daemon.queue.rabbitmq.control import Shape
from llmgate.daemon.queue.rabbitmq.exchanges import TICKETS, ExchangeManager
from llmgate.daemon.queue.rabbitmq.manager import RabbitMQManager
from llmgate.daemon.queue.rabbitmq.queues import QueueManager, key_of, queue_of
from llmgate.daemon.queue.rabbitmq.wire import decode_items
from llmgate.daemon.queue.ticket import Grant, UpstreamSlots
from tests.queue.backends import until
from tests.queue.factory import a_ticket
from tests.services.rabbitmq import RabbitServer

POOL = "main"
RETURN_SLACK = 0.01


def settings_of(url: str, **changes: Any) -> QueueSettings:
    return QueueSettings.model_validate({"backend": "rabbitmq", "url": url, "settle_ms": 0, **changes})


def a_manager(
    url: str, *, shape: Shape | None = None, pools: Sequence[str] = (POOL,), slots: int = 1, **changes: Any
) -> RabbitMQManager:
    """One that is not started yet, with an upstream ``gpu`` in each of its pools."""
    boot = secrets.token_hex(4)
    manager = RabbitMQManager(
        settings_of(url, **changes), boot=boot, name=f"host/{boot}", shape=shape or {}, pools=pools, emit=lambda _: None
    )
    for pool in pools:
        manager.update_upstream(UpstreamSlots(f"gpu-{pool}", pool, slots))
    return manager


@asynccontextmanager
async def running(manager: RabbitMQManager) -> AsyncIterator[RabbitMQManager]:
    """Start it, and let it work for the time of the block."""
    await manager.start()
    work = asyncio.create_task(manager.run())
    try:
        yield manager
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await manager.close()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[RabbitMQConnection]:
    """A connection to the broker. It must not be lost."""
    lost: list[str] = []
    connection = RabbitMQConnection(BrokerAddress.of(settings_of(url)), "test", lost.append)
    await connection.open()
    try:
        yield connection
    finally:
        await connection.close()
    assert lost == []


@asynccontextmanager
async def declared(url: str, pool: str = POOL, **changes: Any) -> AsyncIterator[RabbitMQConnection]:
    """A connection on which the lines of a pool have been declared."""
    async with connected(url) as connection:
        await ExchangeManager().declare(connection)
        await QueueManager(settings_of(url, **changes)).declare_pool(connection, pool)
        yield connection


def vhost_of(url: str) -> str:
    return url.rsplit("/", 1)[1]


def arguments(server: RabbitServer, vhost: str) -> dict[str, dict[str, Any]]:
    """By queue, its arguments."""
    name = f"<<{','.join(map(str, vhost.encode()))}>>"
    pairs = "[[K, V] || {K, _, V} <- A]"
    infos = f"rabbit_amqqueue:info_all({name}, [name, arguments])"
    found = server.eval(f"[[element(4, N), {pairs}] || [{{name, N}}, {{arguments, A}}] <- {infos}]")
    return {queue: dict(pairs) for queue, pairs in found}


def bindings(server: RabbitServer, vhost: str) -> set[tuple[str, str, str]]:
    """Exchange, routing key and queue of every binding that somebody made."""
    name = f"<<{','.join(map(str, vhost.encode()))}>>"
    row = "[element(4, S), K, element(4, D)]"
    found = server.eval(f"[{row} || {{binding, S, K, D, _}} <- rabbit_binding:list({name})]")
    return {(exchange, key, queue) for exchange, key, queue in found if exchange}


@dataclass(frozen=True)
class Declared:
    """Everything that is declared in a vhost."""

    queues: Mapping[str, int]
    exchanges: Mapping[str, str]

    @classmethod
    def of(cls, server: RabbitServer, vhost: str) -> Declared:
        return cls(server.queues(vhost), server.exchanges(vhost))


async def in_turn(manager: RabbitMQManager, ticket_ids: Iterable[str], level: int = 2, **changes: Any) -> list[Place]:
    """Submit tickets, one after the other."""
    return [
        await manager.submit(a_ticket(ticket_id, level=level, at=manager.now(), **changes)) for ticket_id in ticket_ids
    ]


async def granted(manager: RabbitMQManager, ticket_id: str, seconds: float = 5.0, level: int = 1) -> Grant:
    """Submit a ticket and wait for its turn."""
    (place,) = await in_turn(manager, [ticket_id], level)
    return await place.granted(seconds)


@asynccontextmanager
async def at_work(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something beside the block. Its failure is the block's."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ignore(_: DeliveredMessage) -> None:
    """A consumer that holds everything."""


class Collector:
    """Consumes a queue of its own, which is bound to a key of an exchange or two."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel
        self.messages: list[DeliveredMessage] = []

    @property
    def bodies(self) -> list[bytes]:
        return [message.body for message in self.messages]

    @property
    def items(self) -> list[list[Any]]:
        return [item for body in self.bodies for item in decode_items(body)[1]]

    async def listen(self, *where: tuple[str, str]) -> None:
        queue = (await self._channel.queue_declare(exclusive=True)).queue or ""
        for exchange, key in where:
            await self._channel.queue_bind(queue, exchange, routing_key=key)
        await self._channel.basic_consume(queue, self._received, no_ack=True)

    async def _received(self, message: DeliveredMessage) -> None:
        self.messages.append(message)


async def passing(seconds: float) -> None:
    """Real time, where nothing tells that something did not happen."""
    await asyncio.sleep(seconds)


# -- one queue with priorities -------------------------------------------------------------


class PriorityQueue:
    """What looks like the simplest way: one queue with priorities, a time to live and a dead-letter exchange."""

    def __init__(self, channel: AbstractChannel, ttl: float) -> None:
        self._channel = channel
        self._ttl = ttl
        self.aged: list[str] = []
        """What has expired there."""

    async def declare(self) -> None:
        aging: FieldTable = {
            "x-max-priority": 5,
            "x-message-ttl": round(self._ttl * 1000),
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "aged",
        }
        await self._channel.queue_declare("aged")
        await self._channel.queue_declare("line", arguments=aging)
        await self._channel.basic_consume("aged", self._expired, no_ack=True)

    async def _expired(self, message: DeliveredMessage) -> None:
        self.aged.append(message.body.decode())

    async def publish(self, name: str, priority: int) -> None:
        properties = spec.Basic.Properties(priority=priority)
        await self._channel.basic_publish(name.encode(), routing_key="line", properties=properties)

    async def waiting(self) -> int:
        return (await self._channel.queue_declare("line", passive=True)).message_count or 0

    @asynccontextmanager
    async def saturated(self, count: int = 4) -> AsyncIterator[None]:
        """Better ones wait all the time, each of them for a fourth of its time to live; then there are no more."""
        pause = self._ttl / 4 / count

        async def serve() -> None:
            while True:
                await self.publish("better", 5)
                await asyncio.sleep(pause)
                await self._channel.basic_get("line", no_ack=True)

        for _ in range(count):
            await self.publish("better", 5)
        async with at_work(serve()):
            yield
        while await self.waiting() > 1:
            await self._channel.basic_get("line", no_ack=True)


@asynccontextmanager
async def one_priority_queue(url: str, ttl: float) -> AsyncIterator[PriorityQueue]:
    connection = await aiormq.connect(url)
    queue = PriorityQueue(await connection.channel(), ttl)
    await queue.declare()
    try:
        yield queue
    finally:
        await connection.close()


# -- our lines -----------------------------------------------------------------------------


async def busy_client(manager: RabbitMQManager, name: str, level: int, seconds: float) -> None:
    """One after the other, each for so long."""
    for number in itertools.count(1):
        grant = await granted(manager, f"{name}-{number}", 60, level)
        await asyncio.sleep(seconds)
        manager.release(grant, 1.0)


@asynccontextmanager
async def saturated(
    manager: RabbitMQManager, level: int, clients: int = 6, seconds: float = 0.03
) -> AsyncIterator[None]:
    """More clients than slots, all the time: the slots are busy, and somebody waits at this level."""
    async with at_work(*(busy_client(manager, f"busy{client}", level, seconds) for client in range(clients))):
        yield


class Climb:
    """When a ticket was seen in which line of the broker, and when it was its turn: seconds since it was submitted."""

    def __init__(self, manager: RabbitMQManager, ticket_id: str, level: int) -> None:
        self._manager = manager
        self._id = ticket_id
        self._level = level
        self.lines: dict[int, float] = {}
        self.granted = 0.0

    async def run(self) -> None:
        began = self._manager.now()
        (place,) = await in_turn(self._manager, [self._id], self._level)
        async with at_work(self._watch(began)):
            grant = await place.granted(30)
        self.granted = self._manager.now() - began
        self._manager.release(grant, 1.0)

    async def _watch(self, began: float) -> None:
        while True:
            ledger = self._manager.dispatchers[POOL].ledger
            held = ledger._held.get(self._id) if ledger is not None else None
            if held is not None and held.line not in self.lines:
                self.lines[held.line] = self._manager.now() - began
            await asyncio.sleep(0.003)


class Returning:
    """A consumer that does with level 3 of a pool what the dispatcher does: it holds what it is given, and returns it
    when its time is up. ``arrived`` is how many seconds after that time each ticket came to the next line."""

    def __init__(self, connection: RabbitMQConnection, seconds: float, window: int) -> None:
        self._connection = connection
        self._seconds = seconds
        self._window = window
        self._sent: dict[str, float] = {}
        self.arrived: dict[str, float] = {}

    async def run(self, count: int, pause: float) -> None:
        """Send so many; returns when all have arrived, or should have."""
        loop = asyncio.get_running_loop()
        held, onward, publishing = [await self._connection.channel() for _ in range(3)]
        returns: list[asyncio.Task[None]] = []

        async def hold(message: DeliveredMessage) -> None:
            name = message.body.decode()
            returns.append(asyncio.create_task(give_back(message, max(self._sent[name] + self._seconds, loop.time()))))

        async def give_back(message: DeliveredMessage, due: float) -> None:
            await asyncio.sleep(due + RETURN_SLACK - loop.time())
            await held.basic_nack(message.delivery_tag or 0, requeue=True, wait=False)

        async def arrive(message: DeliveredMessage) -> None:
            name = message.body.decode()
            self.arrived[name] = loop.time() - self._sent[name] - self._seconds

        await held.basic_qos(prefetch_count=self._window)
        await held.basic_consume(queue_of(POOL, 3), hold)
        await onward.basic_consume(queue_of(POOL, 2), arrive, no_ack=True)
        for number in range(count):
            name = f"{number:04}"
            self._sent[name] = loop.time()
            await publishing.basic_publish(name.encode(), exchange=TICKETS, routing_key=key_of(POOL, 3))
            await asyncio.sleep(pause)
        await until(lambda: len(self.arrived) == count, 3 * self._seconds)
        await asyncio.gather(*returns)
