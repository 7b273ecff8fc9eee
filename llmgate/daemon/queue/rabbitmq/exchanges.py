"""ExchangeManager: the three exchanges of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from aiormq.exceptions import ChannelNotFoundEntity

from llmgate.daemon.queue.rabbitmq.connection import CALL_SECONDS, FAILURES, RabbitMQConnection
from llmgate.errors import BrokerUnavailable

TICKETS = "llmgate.tickets"
"""Direct: a ticket to its pool's line; what the broker ages goes through it again."""
DAEMONS = "llmgate.daemons"
"""Direct: items to one daemon, by its boot id."""
CONTROL = "llmgate.control"
"""Fanout: items to all daemons."""

KINDS = {TICKETS: "direct", DAEMONS: "direct", CONTROL: "fanout"}


class ExchangeManager:
    """Declares them. They are durable, and hold nothing."""

    async def declare(self, connection: RabbitMQConnection) -> list[str]:
        """Make those that are not there, and name them. When the broker refuses, what was made here is gone again."""
        made: list[str] = []
        channel = await connection.channel()
        try:
            for name, kind in KINDS.items():
                is_new = not await self._exists(connection, name)
                await channel.exchange_declare(name, exchange_type=kind, durable=True, timeout=CALL_SECONDS)
                made += [name] if is_new else []
        except FAILURES:
            await self.delete(connection, made)
            raise
        await channel.close()
        return made

    async def delete(self, connection: RabbitMQConnection, names: Sequence[str]) -> None:
        """Take those back that were just made, unless somebody uses them already."""
        for name in names:
            with suppress(BrokerUnavailable, *FAILURES):
                channel = await connection.channel()
                await channel.exchange_delete(name, if_unused=True, timeout=CALL_SECONDS)
                await channel.close()

    async def _exists(self, connection: RabbitMQConnection, name: str) -> bool:
        channel = await connection.channel()
        try:
            await channel.exchange_declare(name, passive=True, timeout=CALL_SECONDS)
        except ChannelNotFoundEntity:
            return False
        await channel.close()
        return True
