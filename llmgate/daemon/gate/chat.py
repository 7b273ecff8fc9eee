"""Asking models, for clients that have no WebSocket; pages have one, at ``/gate/ws``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from llmgate import schemas
from llmgate.daemon.admin.answers import raises
from llmgate.daemon.admin.dependencies import Daemon, Person
from llmgate.daemon.admin.large import LargeBody
from llmgate.daemon.chat.stream import HEADERS, TurnStream
from llmgate.errors import (
    Conflict,
    Draining,
    InvalidRequest,
    LimitExceeded,
    ModelNotFound,
    NotFound,
    QueueFull,
    TooManyConcurrent,
    UpstreamUnavailable,
)

router = APIRouter(prefix="/chat", tags=["chat"])

_LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": schemas.ServerFrame,
        "description": "The frames of the turn, one JSON object a line, up to `done`. An empty line means nothing.",
        "headers": {
            "Cache-Control": {"required": True, "schema": {"type": "string", "const": HEADERS["cache-control"]}}
        },
    }
}
_REFUSALS = (InvalidRequest, ModelNotFound, NotFound, Conflict, TooManyConcurrent, LimitExceeded)
_BUSY = (QueueFull, Draining, UpstreamUnavailable)


async def start(daemon: Daemon, caller: Person, body: schemas.Start) -> TurnStream:
    """Ask a model, and follow its answer.

    The turn goes on for half a minute when the connection is lost: the same request with the same `ref`, or
    `GET /gate/chat/{turn}`, follows it again, from all that there is.
    """
    return await TurnStream(daemon.chat, caller).start(body)


router.add_api_route(
    "",
    start,
    methods=["POST"],
    status_code=200,
    response_class=TurnStream,
    responses={**_LINES, **raises(*_REFUSALS, *_BUSY)},
    route_class_override=LargeBody,
)


@router.get("")
async def list_turns(daemon: Daemon, caller: Person) -> schemas.Page[schemas.RunningTurn]:
    """The caller's turns that go on, in all daemons."""
    return schemas.Page(data=await daemon.chat.running(caller.id))


@router.get("/{turn}", status_code=200, response_class=TurnStream, responses={**_LINES, **raises(TooManyConcurrent)})
async def show(daemon: Daemon, caller: Person, turn: str) -> TurnStream:
    """Follow one of the caller's turns, from all that there is so far."""
    return await TurnStream(daemon.chat, caller).attach(turn)


@router.post("/bye", status_code=204)
async def bye(daemon: Daemon, caller: Person, body: schemas.TurnsLeft) -> None:
    """The page that followed these turns is closed: what nobody else follows ends at once."""
    daemon.chat.bye(caller.id, body.turns)


@router.post("/{turn}/stop", status_code=204)
async def stop(daemon: Daemon, caller: Person, turn: str) -> None:
    """End a turn: out of the line, or its generation. Its followers are told how far it came."""
    if not await daemon.chat.stop(caller.id, turn):
        raise NotFound("You have no such turn (any more).")
