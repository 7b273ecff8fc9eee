"""The pools: upstreams that share one waiting line. They come and go with their upstreams."""

from __future__ import annotations

from fastapi import APIRouter

from llmgate import schemas
from llmgate.daemon.admin.dependencies import Daemon, Part
from llmgate.daemon.services import Services
from llmgate.daemon.upstreams.pool import Pool

router = APIRouter(prefix="/pools", tags=["pools"])


@router.get("")
async def list_pools(daemon: Daemon, part: Part) -> schemas.Page[schemas.Pool]:
    """Every pool: its upstreams, what it serves, and how it does."""
    return part.out_of([_row(daemon, pool) for pool in daemon.upstreams.pools()], key="pool")


@router.get("/{pool}")
async def show(daemon: Daemon, pool: str) -> schemas.Pool:
    """A pool."""
    return _row(daemon, daemon.upstreams.pool(pool))


def _row(daemon: Services, pool: Pool) -> schemas.Pool:
    stats = next((stats for stats in daemon.queue.stats() if stats.pool == pool.name), None)
    usable = [member for member in pool.members if member.usable]
    return schemas.Pool(
        pool=pool.name,
        state=stats.state if stats else "offline",
        slots=sum(member.settings.slots for member in usable),
        running=stats.running if stats else 0,
        waiting=stats.waiting if stats else 0,
        upstreams=[member.settings.name for member in pool.members],
        usable_upstreams=[member.settings.name for member in usable],
        models=sorted(pool.models.values()),
        partial_models={model: list(names) for model, names in pool.partial.items()},
    )
