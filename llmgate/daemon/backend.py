"""Which queue a daemon works with, and what must be the same in all daemons that share one."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence

from llmgate.config import Settings, UpstreamSettings
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.events import EventBus
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.daemon.queue.memory import MemoryQueueManager
from llmgate.daemon.revocation import Relearning


def own_name() -> str:
    """What this daemon is called in its cluster."""
    return f"{socket.gethostname()}/{os.getpid()}"


def create_queue(
    settings: Settings,
    upstreams: Sequence[UpstreamSettings],
    secret: ServerSecret,
    version: int,
    bus: EventBus,
    relearning: Relearning,
) -> QueueManagerInterface:
    """The backend that is configured, for these upstreams. Raises ConfigError."""
    if settings.queue.backend == "memory":
        return MemoryQueueManager(settings.queue, emit=bus.publish)
    from llmgate.daemon.queue.rabbitmq.manager import RabbitMQManager  # noqa: PLC0415 - one daemon needs no broker

    return RabbitMQManager(
        settings.queue,
        boot=secrets.token_hex(6),
        name=own_name(),
        shape=shape_of(settings, upstreams, secret, version),
        pools=[upstream.pool_name for upstream in upstreams],
        emit=bus.publish,
        on_revoked=relearning.note,
    )


def shape_of(
    settings: Settings, upstreams: Sequence[UpstreamSettings], secret: ServerSecret, version: int
) -> dict[str, str | float]:
    """What must be the same in all daemons of a cluster, by its name in the configuration. ``upstreams`` are those of
    the file and those of the database, which has this settings ``version``."""
    queue = settings.queue
    shape: dict[str, str | float] = {
        "settings version": version,
        "secret key": secret.fingerprint,
        "queue.queue_type": queue.queue_type,
        "queue.aging_seconds": queue.aging_seconds,
        "queue.aged_share": queue.aged_share,
        "queue.settle_ms": queue.settle_ms,
    }
    for upstream in upstreams:
        shape[f"upstreams.{upstream.name}.pool"] = upstream.pool_name
        shape[f"upstreams.{upstream.name}.slots"] = upstream.slots
    return shape
