"""The upstreams: how they do, and what they serve."""

from __future__ import annotations

from fastapi import APIRouter

from llmgate import schemas
from llmgate.daemon.admin.dependencies import Daemon

router = APIRouter(prefix="/upstreams", tags=["upstreams"])


@router.get("")
async def list_upstreams(daemon: Daemon) -> schemas.Page[schemas.Upstream]:
    """Every upstream, in the order of the configuration. (URLs hold no secrets: the configuration refuses it.)"""
    urls = {upstream.name: upstream.url for upstream in daemon.settings.upstreams}
    rows = [
        schemas.Upstream(
            name=status.name,
            kind=status.kind,
            url=urls.get(status.name, ""),
            pool=status.pool,
            slots=status.slots,
            state=status.state.value,
            reason=status.reason,
            models=list(status.models),
            loaded=list(status.loaded),
            version=status.version,
        )
        for status in daemon.upstreams.status()
    ]
    return schemas.Page(data=rows)
