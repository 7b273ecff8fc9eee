"""ExchangeManager: the three exchanges of a cluster."""

from __future__ import annotations

from collections.abc import Sequence

from aiormq.exceptions import ChannelNotFoundEntity

from llmgate.daemon.queue.rabbitmq.connection import CALL_SECONDS, RabbitMQConnection

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
        """Make those that are not there, and name them."""
        made = []
        channel = await connection.channel()
        for name, kind in KINDS.items():
            if not await self._exists(connection, name):
                made.append(name)
            await channel.exchange_declare(name, exchange_type=kind, durable=True, timeout=CALL_SECONDS)
        await channel.close()
        return made

    async def delete(self, connection: RabbitMQConnection, names: Sequence[str]) -> None:
        """Take those back that were just made."""
        channel = await connection.channel()
        for name in names:
            await channel.exchange_delete(name, timeout=CALL_SECONDS)
        await channel.close()

    async def _exists(self, connection: RabbitMQConnection, name: str) -> bool:
        channel = await connection.channel()
        try:
            await channel.exchange_declare(name, passive=True, timeout=CALL_SECONDS)
        except ChannelNotFoundEntity:
            return False
        await channel.close()
        return True
