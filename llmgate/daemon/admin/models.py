"""The models on the upstreams: what there is and where, and how it is changed. In paths a name may hold slashes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Response

from llmgate import schemas
from llmgate.daemon.admin.answers import raises
from llmgate.daemon.admin.dependencies import Daemon, Part
from llmgate.daemon.admin.editing import Acting
from llmgate.daemon.admin.streams import Lines, LinesResponse
from llmgate.daemon.upstreams.pulling import Pull
from llmgate.errors import (
    ModelNotFound,
    NotFound,
    QueueFull,
    UnsupportedByUpstream,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)

router = APIRouter(prefix="/models", tags=["models"])
FAILURES = (UpstreamError, UpstreamUnreachable, UpstreamProtocolError, UpstreamRefused, UpstreamTimeout)
"""What an upstream may answer or not. One that refuses with a status of its own is told with that."""
PoolQuery = Annotated[str | None, Query(max_length=40, description="Needed where several pools have the model.")]


@router.get("")
async def list_models(
    daemon: Daemon, part: Part, search: Annotated[str | None, Query(max_length=200)] = None
) -> schemas.Page[schemas.Model]:
    """Every model that any upstream has, by name; ``search`` is part of a name. Also those that are not served,
    because only some upstreams of a pool have them."""
    wanted = (search or "").casefold()
    found = [model for model in daemon.models.listing() if wanted in model.name.casefold()]
    rows = [model for model in found if part.after is None or model.name > part.after]
    return part.page(rows[: part.and_one], schemas.Model, key="name")


@router.get("/loaded")
async def loaded(daemon: Daemon) -> schemas.Page[schemas.LoadedModel]:
    """The models in memory, by upstream."""
    return schemas.Page(data=[schemas.LoadedModel.model_validate(model) for model in daemon.models.loaded()])


@router.get("/{model:path}", responses=raises(ModelNotFound, *FAILURES))
async def show(daemon: Daemon, model: str) -> schemas.ModelDetails:
    """A model, with what one of its upstreams tells of it."""
    view, details = await daemon.models.show(model)
    return schemas.ModelDetails(**schemas.Model.model_validate(view).model_dump(), details=details)


@router.post(
    "/pull",
    response_class=Lines,
    responses={
        200: {"model": schemas.PullEvent, "description": "One JSON object per line, as it happens."},
        **raises(NotFound, UnsupportedByUpstream, QueueFull),
    },
)
async def pull(daemon: Daemon, acting: Acting, body: schemas.ModelPull) -> Response:
    """Load a model onto every Ollama of a pool, or onto one upstream. Hanging up ends it.

    What goes wrong on an upstream is told by an event with ``error``; the last event of each upstream has ``done``.
    """
    running = await daemon.models.pull(acting.actor, body.model, pool=body.pool, upstream=body.upstream)
    return LinesResponse(_events(running), ended=running.cancel, refused=running.end)


@router.post("/copy", responses=raises(ModelNotFound, NotFound, UnsupportedByUpstream, *FAILURES))
async def copy(daemon: Daemon, acting: Acting, body: schemas.ModelCopy) -> schemas.ModelChange:
    """Give a model a second name, on every upstream of the pool that has it."""
    done = await daemon.models.copy(acting.actor, body.source, body.destination, pool=body.pool)
    return schemas.ModelChange.model_validate(done)


@router.delete("/{model:path}", responses=raises(ModelNotFound, UnsupportedByUpstream, *FAILURES))
async def delete(daemon: Daemon, acting: Acting, model: str, pool: PoolQuery = None) -> schemas.ModelChange:
    """Remove a model from every upstream of the pool that has it."""
    return schemas.ModelChange.model_validate(await daemon.models.delete(acting.actor, model, pool=pool))


async def _events(running: Pull) -> AsyncIterator[schemas.PullEvent]:
    async for event in running.events():
        yield schemas.PullEvent.model_validate(event)
