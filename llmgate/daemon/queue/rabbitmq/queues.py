"""QueueManager: declares a pool's lines, its lock and a daemon's inbox, and looks how many tickets are in them.

    llmgate.tickets ─▶ llmgate.<pool>.l5 ─aging_seconds─▶ llmgate.tickets ─▶ llmgate.<pool>.l4 ─aging_seconds─▶ …
                                       … ─▶ llmgate.<pool>.l2 ─aging_seconds─▶ llmgate.tickets ─▶ llmgate.<pool>.aged

One queue per level, because in one queue with priorities nothing ages while something better waits: the broker
looks at a lower priority only when every higher one is empty (``tests/queue/rabbitmq/test_one_queue_cannot_age.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiormq.abc import AbstractChannel
from aiormq.exceptions import (
    AMQPChannelError,
    ChannelLockedResource,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from llmgate.config import QueueSettings
from llmgate.daemon.queue.policy import AGED_LANE, LAST_AGING_LEVEL
from llmgate.daemon.queue.rabbitmq.connection import CALL_SECONDS, FAILURES, RabbitMQConnection
from llmgate.daemon.queue.rabbitmq.exchanges import CONTROL, DAEMONS, TICKETS
from llmgate.daemon.queue.ticket import LEVELS
from llmgate.errors import BrokerUnavailable, ConfigError

LINES = (1, AGED_LANE, 2, 3, 4, 5)
"""A pool's lines, in the order in which a new dispatcher fetches them."""
QUORUM_WINDOW = 2000
"""RabbitMQ gives a consumer of a quorum queue no more."""
CLASSIC: dict[str, Any] = {"x-queue-type": "classic"}
"""Said always: a virtual host may have another type as its default, and only this one can be exclusive."""
MOST_RETURNS = 1_000_000
"""No ticket is returned to a line so often. A quorum queue needs a limit: without one, or with the default of RabbitMQ
4, it drops what was returned twenty times, or puts it behind everything that nobody holds, where it cannot expire."""


def key_of(pool: str, line: int) -> str:
    """The routing key of a line; AGED_LANE for the aged lane."""
    return f"{pool}.aged" if line == AGED_LANE else f"{pool}.l{line}"


def queue_of(pool: str, line: int) -> str:
    return f"llmgate.{key_of(pool, line)}"


@dataclass(frozen=True, slots=True)
class Depth:
    """Tickets of a line that nobody holds, and whether it is consumed."""

    ready: int
    consumers: int


class QueueManager:
    """The queues that the settings ask for."""

    def __init__(self, settings: QueueSettings) -> None:
        self._settings = settings

    @property
    def window(self) -> int:
        """How many tickets of a line the dispatcher holds at the most."""
        quorum = self._settings.queue_type == "quorum"
        return min(self._settings.window, QUORUM_WINDOW) if quorum else self._settings.window

    def arguments(self, pool: str, line: int) -> dict[str, Any]:
        """What makes a queue the line that it is."""
        arguments: dict[str, Any] = {"x-queue-type": self._settings.queue_type}
        if self._settings.queue_type == "quorum":
            arguments["x-delivery-limit"] = MOST_RETURNS
        if line in LEVELS and line >= LAST_AGING_LEVEL:
            onward = AGED_LANE if line == LAST_AGING_LEVEL else line - 1
            arguments["x-message-ttl"] = round(self._settings.aging_seconds * 1000)
            arguments["x-dead-letter-exchange"] = TICKETS
            arguments["x-dead-letter-routing-key"] = key_of(pool, onward)
        return arguments

    async def declare_pool(self, connection: RabbitMQConnection, pool: str) -> None:
        """Make the lines of a pool. What differs from older settings is made anew if nobody uses it.

        Raises ConfigError when somebody does, or when the broker refuses; then what was made here is gone again.
        """
        made: list[str] = []
        try:
            for line in LINES:
                made += await self._declare_line(connection, pool, line)
        except (ConfigError, *FAILURES):
            await self._undo(connection, made)
            raise

    async def _declare_line(self, connection: RabbitMQConnection, pool: str, line: int) -> list[str]:
        """The queue's name, if it is a new one."""
        name = queue_of(pool, line)
        is_new = not await self._exists(connection, name)
        channel = await connection.channel()
        try:
            await self._declare(channel, pool, line)
        except ChannelPreconditionFailed as refusal:
            await self._replace(connection, pool, line, str(refusal.args[-1]))
        else:
            await channel.close()
        return [name] if is_new else []

    async def _declare(self, channel: AbstractChannel, pool: str, line: int) -> None:
        name = queue_of(pool, line)
        arguments = self.arguments(pool, line)
        await channel.queue_declare(name, durable=True, arguments=arguments, timeout=CALL_SECONDS)
        await channel.queue_bind(name, TICKETS, routing_key=key_of(pool, line), timeout=CALL_SECONDS)

    async def _replace(self, connection: RabbitMQConnection, pool: str, line: int, reason: str) -> None:
        """The queue is left over from other settings. The tickets in it, if any, belong to daemons that are gone, or
        that will publish them again."""
        name = queue_of(pool, line)
        channel = await connection.channel()
        is_classic = self._settings.queue_type == "classic" and "x-queue-type" not in reason
        try:
            # A quorum queue knows no if-unused, and the broker ends the whole connection of who asks for it. Should a
            # consumer come in between: whoever dispatches sees that its line is gone.
            if not is_classic and (await self.depth(channel, pool, line)).consumers:
                raise ChannelPreconditionFailed("in use")
            await channel.queue_delete(name, if_unused=is_classic, timeout=CALL_SECONDS)
        except AMQPChannelError:
            setting = "queue.queue_type" if "x-queue-type" in reason else "queue.aging_seconds"
            raise ConfigError(
                f"{setting} is not the same here as in the daemons that use the queue {name} of this broker.",
                hint="All daemons of a cluster need the same settings. Stop them all to change queue.queue_type; "
                "queue.aging_seconds is best left out of their files, and set for all with: llmgate settings set",
            ) from None
        await self._declare(channel, pool, line)
        await channel.close()

    async def _exists(self, connection: RabbitMQConnection, name: str) -> bool:
        channel = await connection.channel()
        try:
            await channel.queue_declare(name, passive=True, timeout=CALL_SECONDS)
        except ChannelNotFoundEntity:
            return False
        except AMQPChannelError:
            return True
        await channel.close()
        return True

    async def _undo(self, connection: RabbitMQConnection, names: Sequence[str]) -> None:
        for name in names:
            with suppress(BrokerUnavailable, *FAILURES):
                channel = await connection.channel()
                await channel.queue_delete(name, if_unused=True, timeout=CALL_SECONDS)
                await channel.close()

    async def declare_inbox(self, channel: AbstractChannel, boot: str, incarnation: int) -> str:
        """A queue for what this daemon is told. It is new with every connection, and gone with it: a key without a
        queue tells the others that a daemon is not there."""
        name = f"llmgate.daemon.{boot}.{incarnation}"
        await channel.queue_declare(name, exclusive=True, auto_delete=True, arguments=CLASSIC, timeout=CALL_SECONDS)
        return name

    async def bind_inbox(self, channel: AbstractChannel, name: str, boot: str | None) -> None:
        """What the daemon of this boot id is told; None: what all are told."""
        if boot is None:
            await channel.queue_bind(name, CONTROL, timeout=CALL_SECONDS)
        else:
            await channel.queue_bind(name, DAEMONS, routing_key=boot, timeout=CALL_SECONDS)

    async def lock(self, connection: RabbitMQConnection, pool: str) -> bool:
        """Become the one whose connection owns the pool's exclusive queue: the broker allows only one."""
        channel = await connection.channel()
        try:
            await channel.queue_declare(
                f"llmgate.{pool}.dispatcher", exclusive=True, arguments=CLASSIC, timeout=CALL_SECONDS
            )
        except ChannelLockedResource:
            return False
        await channel.close()
        return True

    async def depth(self, channel: AbstractChannel, pool: str, line: int) -> Depth:
        """Exact and at once."""
        found = await channel.queue_declare(queue_of(pool, line), passive=True, timeout=CALL_SECONDS)
        return Depth(found.message_count or 0, found.consumer_count or 0)
