"""The waiting lines: who waits, who runs, and the pools."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar

import structlog
from fastapi import APIRouter, Depends, Query

from llmgate import schemas
from llmgate.daemon.admin.dependencies import Daemon
from llmgate.daemon.admin.editing import Acting, Edit
from llmgate.daemon.queue.ticket import Position
from llmgate.daemon.queue.wanted import Wanted
from llmgate.daemon.services import Services
from llmgate.daemon.upstreams.pool import tagged
from llmgate.errors import NotFound, StoreUnavailable

router = APIRouter(prefix="/queue", tags=["queue"])

Done = TypeVar("Done")
Row = TypeVar("Row", schemas.Waiting, schemas.Running)
_OWNER = (
    "Only this one's: an owner as in `key:aB3dE5gH7j`, the name or id of a key or a user (with all keys of that user), "
    "`ann/editor`, or an address."
)
Owner = Annotated[str | None, Query(max_length=200, description=_OWNER)]
PoolFilter = Annotated[str | None, Query(max_length=40, description="Only in this pool.")]
Model = Annotated[str | None, Query(max_length=512, description="Only of this model, with or without `:latest`.")]
Level = Annotated[int | None, Query(ge=1, le=5, description="Only what was submitted at this level.")]


async def _filters(
    daemon: Daemon, owner: Owner = None, pool: PoolFilter = None, model: Model = None, level: Level = None
) -> Wanted:
    owners = None if owner is None else await daemon.owners.called(owner)
    return Wanted(owners, pool, None if model is None else frozenset((model, tagged(model))), level)


Filters = Annotated[Wanted, Depends(_filters)]


@router.get("/stats")
async def stats(daemon: Daemon) -> schemas.Page[schemas.PoolStats]:
    """Every pool at this moment, in all daemons together."""
    return schemas.Page(data=[schemas.PoolStats.model_validate(pool) for pool in daemon.queue.stats()])


@router.get("/status")
async def status(daemon: Daemon) -> schemas.QueueStatus:
    """How the queue itself does, and which daemons take part in it; the one that was asked is the first."""
    return schemas.QueueStatus.model_validate(daemon.queue.status())


@router.get("/waiting")
async def waiting(
    daemon: Daemon, wanted: Filters, limit: Annotated[int, Query(ge=1, le=500)] = 500
) -> schemas.WaitingPage:
    """Who waits, in the order of service: the first ``limit`` of them, since no cursor could stand still here.

    ``total`` is how many there are. Who does not match the filters does not count.
    """
    places, count = await asyncio.gather(daemon.queue.waiting(wanted, limit), daemon.queue.count(wanted))
    rows = await _named(daemon, [schemas.Waiting.model_validate(place) for place in places])
    return schemas.WaitingPage(data=rows, total=max(count, len(rows)))


@router.get("/running")
async def running(
    daemon: Daemon, wanted: Filters, limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000
) -> schemas.Page[schemas.Running]:
    """Who holds a slot."""
    held = await daemon.queue.running(wanted, limit)
    return schemas.Page(data=await _named(daemon, [schemas.Running.model_validate(one) for one in held]))


@router.delete("/waiting/{ticket}", status_code=204)
async def cancel(daemon: Daemon, editing: Acting, ticket: str) -> None:
    """Take a waiting request out; its client gets ``cancelled_by_admin``."""
    place = await _place_of(daemon, ticket)

    async def take_out() -> None:
        if not await daemon.queue.cancel(ticket):
            raise _not_waiting()

    await _do(editing, take_out, "queue.cancel", ticket, place.model, owner=place.owner, level=place.level)


@router.delete("/running/{ticket}", status_code=204)
async def stop(daemon: Daemon, editing: Acting, ticket: str) -> None:
    """End a request that is being answered, and the upstream's work; its client gets ``cancelled_by_admin``."""
    held = next((one for one in await daemon.queue.running() if one.ticket_id == ticket), None)
    if held is None:
        raise NotFound("No such request runs (any more).")

    async def end() -> None:
        daemon.stop_running(ticket)

    await _do(editing, end, "queue.stop", ticket, held.model, owner=held.owner, upstream=held.upstream)


@router.patch("/waiting/{ticket}")
async def set_level(daemon: Daemon, editing: Acting, ticket: str, body: schemas.LevelChange) -> schemas.Waiting:
    """Move a waiting request to another level; its aging starts anew."""
    before = await _place_of(daemon, ticket)

    async def move() -> Position:
        moved = await daemon.queue.set_level(ticket, body.level)
        place = await daemon.queue.position(ticket)
        if not moved or place is None:
            raise _not_waiting()
        return place

    levels = [before.level, body.level]
    place = await _do(editing, move, "queue.level", ticket, before.model, owner=before.owner, level=levels)
    (row,) = await _named(daemon, [schemas.Waiting.model_validate(place)])
    return row


@router.post("/pools/{pool}/pause")
async def pause(editing: Acting, pool: str) -> schemas.PoolStats:
    """Grant nothing in this pool; requests may still come and wait."""
    return await _told(editing, pool, "pause", editing.daemon.queue.pause)


@router.post("/pools/{pool}/resume")
async def resume(editing: Acting, pool: str) -> schemas.PoolStats:
    """End a pause or a drain."""
    return await _told(editing, pool, "resume", editing.daemon.queue.resume)


@router.post("/pools/{pool}/drain")
async def drain(editing: Acting, pool: str) -> schemas.PoolStats:
    """Accept nothing new in this pool; what waits is still served."""
    return await _told(editing, pool, "drain", editing.daemon.queue.drain)


async def _named(daemon: Services, rows: Sequence[Row]) -> Sequence[Row]:
    """The rows, with the names of their owners."""
    names = await daemon.owners.names(row.owner for row in rows)
    for row in rows:
        row.owner_name = names[row.owner]
    return rows


async def _told(editing: Edit, pool: str, verb: str, tell: Callable[[str], Awaitable[None]]) -> schemas.PoolStats:
    before = _stats_of(editing.daemon, pool)
    await _do(editing, lambda: tell(pool), f"pool.{verb}", pool, pool, state=before.state)
    return _stats_of(editing.daemon, pool)


async def _do(
    editing: Edit, effect: Callable[[], Awaitable[Done]], action: str, target: str, name: str, **detail: Any
) -> Done:
    """Do what no database can undo, and note it in the activity log.

    It is done between the entry and its commit: without a database nothing happens that nobody could see afterwards,
    and what fails leaves no entry. Only when the commit itself fails is it done without an entry; then the daemon's
    own log tells.
    """
    done = False
    try:
        async with editing.begin() as change:
            change.note(action, target, name, **detail)
            result = await effect()
            done = True
    except StoreUnavailable:
        if done:
            actor = f"{editing.actor.kind}:{editing.actor.id}"
            structlog.get_logger("llmgate.admin").error("done_without_entry", action=action, target=target, actor=actor)
        raise
    return result


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
