"""The waiting lines: who waits, who runs, and the pools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Query

from llmgate import schemas
from llmgate.daemon.admin.dependencies import Daemon
from llmgate.daemon.admin.editing import Edit, Editing
from llmgate.daemon.queue.ticket import Position
from llmgate.daemon.services import Services
from llmgate.errors import NotFound

router = APIRouter(prefix="/queue", tags=["queue"])


@router.get("/stats")
async def stats(daemon: Daemon) -> schemas.Page[schemas.PoolStats]:
    """Every pool at this moment, in all daemons together."""
    return schemas.Page(data=[schemas.PoolStats.model_validate(pool) for pool in daemon.queue.stats()])


@router.get("/status")
async def status(daemon: Daemon) -> schemas.QueueStatus:
    """How the queue itself does, and which daemons take part in it; the one that was asked is the first."""
    return schemas.QueueStatus.model_validate(daemon.queue.status())


@router.get("/waiting")
async def waiting(daemon: Daemon, limit: Annotated[int, Query(ge=1, le=500)] = 500) -> schemas.Page[schemas.Waiting]:
    """Who waits, in the order of service: the first ``limit`` of them, since no cursor could stand still here."""
    places = await daemon.queue.waiting(limit=limit)
    return schemas.Page(data=[schemas.Waiting.model_validate(place) for place in places])


@router.get("/running")
async def running(daemon: Daemon) -> schemas.Page[schemas.Running]:
    """Who holds a slot."""
    return schemas.Page(data=[schemas.Running.model_validate(held) for held in await daemon.queue.running()])


@router.delete("/waiting/{ticket}", status_code=204)
async def cancel(daemon: Daemon, editing: Editing, ticket: str) -> None:
    """Take a waiting request out; its client gets ``cancelled_by_admin``."""
    place = await _place_of(daemon, ticket)
    if not await daemon.queue.cancel(ticket):
        raise _not_waiting()
    async with editing.begin() as change:
        change.note("queue.cancel", ticket, place.model, owner=place.owner, level=place.level)


@router.patch("/waiting/{ticket}")
async def set_level(daemon: Daemon, editing: Editing, ticket: str, body: schemas.LevelChange) -> schemas.Waiting:
    """Move a waiting request to another level; its aging starts anew."""
    before = await _place_of(daemon, ticket)
    moved = await daemon.queue.set_level(ticket, body.level)
    place = await daemon.queue.position(ticket)
    if not moved or place is None:
        raise _not_waiting()
    async with editing.begin() as change:
        change.note("queue.level", ticket, place.model, owner=place.owner, level=[before.level, body.level])
    return schemas.Waiting.model_validate(place)


@router.post("/pools/{pool}/pause")
async def pause(editing: Editing, pool: str) -> schemas.PoolStats:
    """Grant nothing in this pool; requests may still come and wait."""
    return await _told(editing, pool, "pause", editing.daemon.queue.pause)


@router.post("/pools/{pool}/resume")
async def resume(editing: Editing, pool: str) -> schemas.PoolStats:
    """End a pause or a drain."""
    return await _told(editing, pool, "resume", editing.daemon.queue.resume)


@router.post("/pools/{pool}/drain")
async def drain(editing: Editing, pool: str) -> schemas.PoolStats:
    """Accept nothing new in this pool; what waits is still served."""
    return await _told(editing, pool, "drain", editing.daemon.queue.drain)


async def _told(editing: Edit, pool: str, verb: str, tell: Callable[[str], Awaitable[None]]) -> schemas.PoolStats:
    before = _stats_of(editing.daemon, pool)
    async with editing.begin() as change:
        change.note(f"pool.{verb}", pool, pool, state=before.state)
    await tell(pool)
    return _stats_of(editing.daemon, pool)


async def _place_of(daemon: Services, ticket: str) -> Position:
    place = await daemon.queue.position(ticket)
    if place is None:
        raise _not_waiting()
    return place


def _stats_of(daemon: Services, pool: str) -> schemas.PoolStats:
    for known in daemon.queue.stats():
        if known.pool == pool:
            return schemas.PoolStats.model_validate(known)
    raise NotFound("There is no such pool.")


def _not_waiting() -> NotFound:
    return NotFound("No such request waits (any more).")
