"""The daemon itself, and the machine that it runs on."""

from __future__ import annotations

import asyncio
import platform

from fastapi import APIRouter

from llmgate import __version__, schemas
from llmgate.daemon.admin.dependencies import Daemon
from llmgate.daemon.services import Services
from llmgate.daemon.store import facts
from llmgate.daemon.store.types import utc_now
from llmgate.daemon.upstreams.health import usable
from llmgate.errors import StoreUnavailable

router = APIRouter(tags=["system"])


@router.get("/system")
async def system(daemon: Daemon) -> schemas.System:
    """How the daemon that was asked does, on which machine and with which versions.

    ``not_ready`` holds the reasons why it should not be sent requests; ``uptime`` is in seconds.
    """
    reasons, machine, gpus, database = await asyncio.gather(
        daemon.not_ready(), daemon.machine.facts(), daemon.machine.gpus(), _database(daemon)
    )
    queue = daemon.queue.status()
    upstreams = daemon.upstreams.status()
    return schemas.System.model_validate(
        {
            "version": __version__,
            "started_at": daemon.started_at,
            "uptime": (utc_now() - daemon.started_at).total_seconds(),
            "ready": not reasons,
            "not_ready": reasons,
            "queue_backend": queue.backend,
            "queue_state": queue.state,
            "versions": {
                "llmgate": __version__,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "database": database.version if database else None,
                "broker": queue.broker_version or None,
            },
            "machine": machine,
            "gpus": gpus,
            "database": {
                "kind": "sqlite" if daemon.database.is_sqlite else "postgresql",
                "size": database.size if database else None,
                "revision": database.revision if database else None,
            },
            "usage": {"pending": daemon.usage.pending, "dropped": daemon.usage.dropped},
            "events": {"clients": daemon.observers.feed.followers, "dropped": daemon.observers.feed.dropped},
            "failed_logins": daemon.observers.failed_logins.hours(),
            "upstreams": {"usable": sum(usable(one.state) for one in upstreams), "total": len(upstreams)},
            "daemons": queue.daemons,
        }
    )


async def _database(daemon: Services) -> facts.DatabaseFacts | None:
    """None while it does not answer: everything else is of interest just then."""
    try:
        async with daemon.database.read() as tx:
            return await facts.read(tx)
    except StoreUnavailable:
        return None
