"""One's own waiting requests."""

from __future__ import annotations

from fastapi import APIRouter

from llmgate import schemas
from llmgate.daemon.admin.dependencies import Caller, Daemon
from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.queue.ticket import Position
from llmgate.daemon.queue.wanted import Wanted
from llmgate.errors import NotFound

router = APIRouter(prefix="/queue", tags=["queue"])


@router.get("")
async def list_waiting(daemon: Daemon, caller: Caller) -> schemas.Page[schemas.Waiting]:
    """The caller's waiting requests, in the order of service."""
    places = await daemon.queue.waiting(Wanted.of(caller.owner))
    return schemas.Page(data=[_shown(place, caller) for place in places])


@router.get("/{request_id}")
async def show(daemon: Daemon, caller: Caller, request_id: str) -> schemas.Waiting:
    """One of them, by the id of its answer's header, or by the ``X-Request-Id`` that the client sent with it."""
    found = await daemon.queue.position(request_id)
    if found is not None and found.owner == caller.owner:
        return _shown(found, caller)
    for place in await daemon.queue.waiting(Wanted.of(caller.owner), daemon.settings.queue.max_waiting_per_principal):
        # The gateway keeps what the client sent as the beginning of its own id.
        if place.ticket_id.rpartition("-")[0] == request_id:
            return _shown(place, caller)
    raise NotFound("None of your requests with this id waits (any more).")


def _shown(place: Position, caller: Principal) -> schemas.Waiting:
    row = schemas.Waiting.model_validate(place)
    row.owner_name = caller.owner_name
    return row
