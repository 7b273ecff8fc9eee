"""The daemon itself."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from llmgate import __version__, schemas
from llmgate.daemon.admin.dependencies import Daemon
from llmgate.daemon.store.types import utc_now

router = APIRouter(tags=["system"])


@router.get("/system")
async def system(daemon: Daemon) -> schemas.System:
    """Version, uptime in seconds, and whether the daemon is ready; ``not_ready`` holds the reasons."""
    reasons = await daemon.not_ready()
    queue = daemon.queue.status()
    return schemas.System(
        version=__version__,
        started_at=daemon.started_at,
        uptime=(utc_now() - daemon.started_at).total_seconds(),
        ready=not reasons,
        not_ready=reasons,
        queue_backend=queue.backend,
        queue_state=queue.state,
    )


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> dict[str, Any]:
    """This API, described as OpenAPI 3.1."""
    document: dict[str, Any] = request.app.openapi()
    return document
