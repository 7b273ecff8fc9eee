"""Link: one daemon's connections to the broker, as long as all of them live.

Three connections, one per role, because an alarm of the broker stops whoever publishes, also in its acknowledgements:
``publish`` for what this daemon has to say, ``inbox`` for what it is told (it never writes), ``dispatch`` for the
dispatcher's lock, its tickets and its grants. When one is lost the link is lost, and a new one is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from aiormq.abc import AbstractChannel, DeliveredMessage

from llmgate.config import QueueSettings
from llmgate.daemon.queue.rabbitmq.connection import (
    CALL_SECONDS,
    CLOSE_SECONDS,
    FAILURES,
    BrokerAddress,
    RabbitMQConnection,
    explain,
)
from llmgate.daemon.queue.rabbitmq.exchanges import DAEMONS, ExchangeManager
from llmgate.daemon.queue.rabbitmq.publisher import PUBLISH_SECONDS, Publisher
from llmgate.daemon.queue.rabbitmq.queues import QueueManager
from llmgate.errors import BrokerUnavailable, ConfigError

SAID_TICK = 0.01
Told = Callable[[bytes], None]


class Link:
    """See the module. ``told`` gets every message of the inbox; ``incarnation`` numbers the links of one daemon."""

    def __init__(
        self, settings: QueueSettings, address: BrokerAddress, boot: str, name: str, incarnation: int, told: Told
    ) -> None:
        self.settings = settings
        self._address = address
        self._boot = boot
        self._name = name
        self._incarnation = incarnation
        self._told = told
        self._publishing: RabbitMQConnection
        self._tasks: list[asyncio.Task[None]] = []
        self._connections: list[RabbitMQConnection] = []
        self._inbox = ""
        self._made: list[str] = []
        """Exchanges that were not there before."""
        self.is_alone = False
        """No other daemon listened when something was told to all."""
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.queues = QueueManager(settings)
        self.publisher: Publisher
        self.dispatch: RabbitMQConnection
        self._listening: AbstractChannel

    async def open(self) -> None:
        """Connect, and see whether the broker takes messages. Raises ConfigError or BrokerUnavailable."""
        try:
            self._publishing = await self._connect("publish")
            inbox = await self._connect("inbox")
            self.dispatch = await self._connect("dispatch")
            self._listening = await inbox.channel()
            self._inbox = await self.queues.declare_inbox(self._listening, self._boot, self._incarnation)
            self._made = await ExchangeManager().declare(self._publishing)
            channel = await self._publishing.channel()
            await self._probe(channel)
            self.publisher = self.start_publisher(channel, self._returned)
        except BaseException as failure:
            await self.close(undo=True)
            if isinstance(failure, FAILURES):
                raise explain(failure, self._address.shown) from None
            raise

    async def _probe(self, channel: AbstractChannel) -> None:
        """A broker that is blocked by an alarm lets one in, declare and publish once; then it stops reading."""
        async with asyncio.timeout(PUBLISH_SECONDS):
            for _ in range(2):
                await channel.basic_publish(b"", exchange=DAEMONS, routing_key="nobody")

    async def declare_pool(self, pool: str) -> None:
        """Make the lines of a pool. Raises what ``open`` does, and leaves nothing behind that was made for it."""
        try:
            await self.queues.declare_pool(self._publishing, pool)
        except (ConfigError, *FAILURES) as failure:
            raise explain(failure, self._address.shown) from None

    async def listen(self, *, to_all: bool = False) -> None:
        """From now on hear what this daemon is told or, ``to_all``, what all are. Raises what ``open`` does."""
        try:
            await self.queues.bind_inbox(self._listening, self._inbox, None if to_all else self._boot)
            if not to_all:
                await self._consume()
        except FAILURES as failure:
            raise explain(failure, self._address.shown) from None

    async def _consume(self) -> None:
        """Consume the inbox. Its messages need no acknowledgement: this connection never has to write."""

        async def received(message: DeliveredMessage) -> None:
            self._told(message.body)

        await self._listening.basic_consume(self._inbox, received, no_ack=True, exclusive=True, timeout=CALL_SECONDS)

    def start_publisher(self, channel: AbstractChannel, returned: Callable[[str], None] = lambda _: None) -> Publisher:
        """An outbox on a channel of this link; the link is lost when it fails."""
        publisher = Publisher(channel, self._boot, failed=self.lose, returned=returned)
        self.start(publisher.run())
        return publisher

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something as long as the link lives; its failure is the link's."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def lose(self, reason: str) -> None:
        """The link is of no use any more."""
        if not self.lost.done():
            self.lost.set_result(reason)

    async def said(self, seconds: float) -> None:
        """Wait until the broker has taken everything that this daemon had to say, for so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not (self.publisher.idle or self.lost.done()):
                    await asyncio.sleep(SAID_TICK)

    async def close(self, *, undo: bool = False) -> None:
        """Let go of everything, within seconds also when the broker hangs. ``undo``: take the exchanges back that were
        made here, unless somebody uses them already."""
        self.lose("closed")
        await self._cancel_tasks()
        await asyncio.gather(*(connection.close() for connection in self._connections[1:]))  # the inbox goes first
        if undo and self._made:
            with suppress(ConfigError, BrokerUnavailable, *FAILURES):
                await ExchangeManager().delete(self._publishing, self._made)
        await asyncio.gather(*(connection.close() for connection in self._connections[:1]))
        await self._cancel_tasks()

    async def _cancel_tasks(self) -> None:
        """Not all of them end at once. A call to the broker that is cancelled first closes its channel, and waits for
        the broker to agree; one that is answered in the same moment goes on as if nothing had been. The connections
        must not wait for them: whoever dispatches keeps its lock as long as they are open."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)

    async def _connect(self, role: str) -> RabbitMQConnection:
        connection = RabbitMQConnection(
            self._address, f"llmgate {self._name} {role}", lambda reason: self.lose(f"{role} connection: {reason}")
        )
        self._connections.append(connection)
        await connection.open()
        return connection

    def _returned(self, key: str) -> None:
        if not key:  # what is for all daemons has come back: there is none
            self.is_alone = True

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            self.lose(f"{type(failure).__name__}: {failure}")
