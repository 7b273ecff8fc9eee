"""The broker: does it let us in, and do queues that are there already fit to our settings?

A running cluster is not disturbed: only queues that exist are declared, with the arguments that a daemon would use,
which changes nothing and is refused where they differ. The dispatcher's lock is not touched.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiormq.exceptions import AMQPChannelError, ChannelNotFoundEntity, ChannelPreconditionFailed

from llmgate.config import QueueSettings
from llmgate.daemon.operations.checks.base import Case, Finding, Status, failed
from llmgate.daemon.queue.rabbitmq.connection import (
    CALL_SECONDS,
    FAILURES,
    BrokerAddress,
    RabbitMQConnection,
    explain,
)
from llmgate.daemon.queue.rabbitmq.exchanges import KINDS
from llmgate.daemon.queue.rabbitmq.queues import LINES, QueueManager, queue_of
from llmgate.errors import LLMGateError


async def check_broker(case: Case) -> Sequence[Finding]:
    queue = (await case.effective()).queue
    if queue.backend != "rabbitmq":
        return [Finding("broker", Status.SKIP, 'queue.backend is "memory".')]
    try:
        address = BrokerAddress.of(queue)
        connection = RabbitMQConnection(address, "llmgate doctor", lambda reason: None)
        try:
            await connection.open()
            pools = sorted({upstream.pool_name for upstream in await case.upstreams()})
            topology = await _topology(connection, queue, pools)
        finally:
            await connection.close()
    except LLMGateError as failure:
        return [failed("broker", failure, "Check queue.url, and that the broker runs.")]
    except FAILURES as failure:
        return [failed("broker", explain(failure, address.shown))]
    return [Finding("broker", Status.OK, f"{address.shown} lets us in."), topology]


async def _topology(connection: RabbitMQConnection, settings: QueueSettings, pools: Sequence[str]) -> Finding:
    """Whether every exchange and line that exists is one that a daemon with these settings would make."""
    there = 0
    for name, kind in KINDS.items():
        if not await _exists(connection, name, is_exchange=True):
            continue
        channel = await connection.channel()
        try:
            await channel.exchange_declare(name, exchange_type=kind, durable=True, timeout=CALL_SECONDS)
        except ChannelPreconditionFailed:
            return _differs(f"The exchange {name} is of another kind.", "Delete it, or use another virtual host.")
        await channel.close()
        there += 1
    for pool in pools:
        for line in LINES:
            name = queue_of(pool, line)
            if not await _exists(connection, name):
                continue
            channel = await connection.channel()
            arguments = QueueManager(settings).arguments(pool, line)
            try:
                await channel.queue_declare(name, durable=True, arguments=arguments, timeout=CALL_SECONDS)
            except ChannelPreconditionFailed as refusal:
                setting = "queue.queue_type" if "x-queue-type" in str(refusal.args[-1]) else "queue.aging_seconds"
                what = f"{setting} is not the one that the queue {name} was made with."
                return _differs(what, "All daemons need the same settings; to change one, stop them all first.")
            await channel.close()
            there += 1
    if not there:
        return Finding("broker.topology", Status.OK, "There are no queues yet; the first daemon makes them.")
    return Finding("broker.topology", Status.OK, f"{there} exchanges and queues fit to these settings.")


async def _exists(connection: RabbitMQConnection, name: str, *, is_exchange: bool = False) -> bool:
    channel = await connection.channel()
    try:
        if is_exchange:
            await channel.exchange_declare(name, passive=True, timeout=CALL_SECONDS)
        else:
            await channel.queue_declare(name, passive=True, timeout=CALL_SECONDS)
    except ChannelNotFoundEntity:
        return False
    except AMQPChannelError:  # it is there, and we may not look at it
        return True
    await channel.close()
    return True


def _differs(what: str, fix: str) -> Finding:
    return Finding("broker.topology", Status.FAIL, what, fix)
