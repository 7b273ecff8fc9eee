"""The upstreams: which there are, how they do, and what they serve. Those of the configuration file are read-only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate import schemas
from llmgate.addresses import is_own
from llmgate.config import UpstreamSettings
from llmgate.daemon.admin.answers import raises
from llmgate.daemon.admin.dependencies import Daemon, Part
from llmgate.daemon.admin.editing import Creating, Editing, tagged
from llmgate.daemon.changes import difference
from llmgate.daemon.services import Services
from llmgate.daemon.store import upstreams
from llmgate.daemon.store.upstreams import StoredUpstream
from llmgate.daemon.upstreams import effective
from llmgate.daemon.upstreams.effective import SETTINGS, Known
from llmgate.errors import BrokerUnavailable, Conflict, InvalidRequest, NotFound, ReadOnly
from llmgate.validation import compose

UPSTREAMS_MAX = 200

router = APIRouter(prefix="/upstreams", tags=["upstreams"])
Force = Annotated[bool, Query(description="Also when requests wait that nobody else can serve, or run on what moves.")]


@router.get("")
async def list_upstreams(daemon: Daemon, part: Part) -> schemas.Page[schemas.Upstream]:
    """Every upstream: those of the configuration file in its order, then the others by name."""
    async with daemon.database.read() as tx:
        known = await _known(tx, daemon)
    return part.out_of([_row(daemon, one) for one in known])


@router.post("", status_code=201)
async def create(
    daemon: Daemon, creation: Creating, response: Response, body: schemas.UpstreamCreate
) -> schemas.Upstream:
    """Add an upstream, in all daemons. 409 when the name is taken.

    While the configuration file names no upstream, the first one that is added replaces the built-in default.
    """
    values = {name: getattr(body, name) for name in body.model_fields_set if getattr(body, name) is not None}
    wanted = _another(daemon, compose(UpstreamSettings, **values))
    async with creation.begin() as change:
        there = {one.settings.name: one.origin for one in await _known(change.tx, daemon)}
        if there.get(wanted.name) == "file":
            raise Conflict(f"The configuration file has an upstream named {wanted.name!r}.")
        if len(there) >= UPSTREAMS_MAX:
            raise Conflict(f"There are {UPSTREAMS_MAX} upstreams, and there may not be more.")
        await upstreams.create(change.tx, name=wanted.name, **_columns(daemon, wanted))
        shown = wanted.model_dump(mode="json", include=set(SETTINGS) - {"name"})
        change.note("upstream.create", wanted.name, wanted.name, **shown, api_key_set=_has_token(wanted))
        creation.keep(_row(daemon, Known(wanted, "database")))
    return tagged(response, await _taken_over(daemon, wanted.name))


@router.get("/{upstream}")
async def show(daemon: Daemon, response: Response, upstream: str) -> schemas.Upstream:
    """An upstream."""
    async with daemon.database.read() as tx:
        return tagged(response, _row(daemon, await _one(tx, daemon, upstream)))


@router.patch("/{upstream}", responses=raises(BrokerUnavailable))
async def update(
    daemon: Daemon,
    editing: Editing,
    response: Response,
    upstream: str,
    body: schemas.UpstreamUpdate,
    force: Force = False,
) -> schemas.Upstream:
    """Change an upstream, in all daemons. Running answers end where they are; slots that are taken away are so when
    they are free. 409 when its pool would be left without any upstream while requests wait there, and for another pool,
    with RabbitMQ, also while requests run on it."""
    waiting = await _waiting(daemon) if "pool" in body.model_fields_set and not force else {}
    async with editing.begin() as change:
        known = await _one(change.tx, daemon, upstream)
        editing.expect(_row(daemon, known))
        _check_mutable(daemon, known)
        wanted = _another(daemon, _changed(known.settings, body.changes()))
        if wanted.pool_name != known.settings.pool_name and not force:
            await _check_idle(daemon, known)
            await _check_leaving(change.tx, daemon, known, waiting)
        before = await upstreams.get(change.tx, upstream)
        after = await upstreams.update(change.tx, upstream, **_columns(daemon, wanted))
        detail: dict[str, Any] = difference(_without_token(before), _without_token(after))
        if wanted.api_key != known.settings.api_key:
            detail["api_key"] = "changed" if _has_token(wanted) else "removed"
        change.note("upstream.update", upstream, upstream, **detail)
    return tagged(response, await _taken_over(daemon, upstream))


@router.delete("/{upstream}", status_code=204, responses=raises(BrokerUnavailable))
async def delete(daemon: Daemon, editing: Editing, upstream: str, force: Force = False) -> None:
    """Remove an upstream, in all daemons. Running answers end where they are. 409 when its pool would be left without
    any upstream while requests wait there."""
    waiting = await _waiting(daemon) if not force else {}
    async with editing.begin() as change:
        found = [one for one in await _known(change.tx, daemon) if one.settings.name == upstream]
        for known in found:  # none where its row is of another version and cannot be used: it must be deletable still
            editing.expect(_row(daemon, known))
            _check_mutable(daemon, known)
            if not force:
                await _check_leaving(change.tx, daemon, known, waiting)
        row = await upstreams.get(change.tx, upstream)
        await upstreams.delete(change.tx, upstream)
        change.note("upstream.delete", upstream, upstream, url=row.url, pool=row.pool or row.name)
    await daemon.upstreams_changed()


async def _known(tx: AsyncConnection, daemon: Services) -> list[Known]:
    return await effective.read(tx, daemon.settings, daemon.seal)


async def _one(tx: AsyncConnection, daemon: Services, name: str) -> Known:
    for one in await _known(tx, daemon):
        if one.settings.name == name:
            return one
    raise NotFound("There is no such upstream.")


def _check_mutable(daemon: Services, known: Known) -> None:
    """Raises ReadOnly, which says who decides and what to do."""
    name = known.settings.name
    if known.origin == "file":
        raise ReadOnly(
            f"The upstream {name} is decided by {daemon.configuration_file}.",
            hint="Change it there, then: llmgate config reload",
        )
    if known.origin == "default":
        raise ReadOnly(f"The upstream {name} is the built-in default.", hint="It goes when you add one of your own.")


async def _waiting(daemon: Services) -> Mapping[str, int]:
    """How many requests wait in each pool. The broker may take seconds to tell, for which no change should wait: ask
    before one begins."""
    return Counter(place.pool for place in await daemon.queue.waiting())


async def _check_leaving(tx: AsyncConnection, daemon: Services, leaving: Known, waiting: Mapping[str, int]) -> None:
    """Raises Conflict when requests wait that only this upstream can serve."""
    pool = leaving.settings.pool_name
    others = [one for one in await _known(tx, daemon) if one.settings.pool_name == pool and one != leaving]
    if others:
        return
    if waiting.get(pool):
        raise Conflict(
            f"{waiting[pool]} requests wait in the pool {pool}, which has no other upstream.",
            hint="Let them end first (llmgate queue drain), or force it: they get 503 then.",
        )


async def _check_idle(daemon: Services, moving: Known) -> None:
    """Raises Conflict when requests run on an upstream of which the dispatcher of another pool cannot know."""
    if daemon.queue.status().backend == "memory":
        return  # one book counts the slots of all pools
    name = moving.settings.name
    running = sum(held.upstream == name for held in await daemon.queue.running())
    if running:
        raise Conflict(
            f"{running} requests run on the upstream {name}, which the new pool would not count.",
            hint="Let them end first, or force it: for a while it may get more requests than it has slots.",
        )


def _another(daemon: Services, upstream: UpstreamSettings) -> UpstreamSettings:
    """The same. Raises InvalidRequest when it is the gateway itself."""
    server = daemon.settings.server
    if is_own(upstream.url, server.host, server.port, server.public_url):
        raise InvalidRequest("This is the gateway's own address.", hint="Look at the port.", param="url")
    return upstream


def _changed(settings: UpstreamSettings, changes: dict[str, Any]) -> UpstreamSettings:
    """Raises InvalidRequest when the result is not usable."""
    if (
        changes.get("url", settings.url).rstrip("/") != settings.url
        and _has_token(settings)
        and "api_key" not in changes
    ):
        raise InvalidRequest(
            "An api_key was given for the old URL, and is not sent elsewhere.",
            hint="Give the api_key for the new one, or null.",
            param="api_key",
        )
    if "api_key" in changes:
        changes["api_key"] = changes["api_key"] or SecretStr("")
    values = {name: getattr(settings, name) for name in UpstreamSettings.model_fields}
    return compose(UpstreamSettings, **{**values, **changes})


def _columns(daemon: Services, upstream: UpstreamSettings) -> dict[str, Any]:
    """An upstream as its row has it, but for the name."""
    values = {name: getattr(upstream, name) for name in SETTINGS if name != "name"}
    token = upstream.api_key.get_secret_value()
    values["api_key_sealed"] = daemon.seal.seal(token, name=upstream.name, url=upstream.url) if token else None
    return values


def _has_token(upstream: UpstreamSettings) -> bool:
    return bool(upstream.api_key.get_secret_value())


def _without_token(row: StoredUpstream) -> StoredUpstream:
    return replace(row, api_key_sealed=None)


async def _taken_over(daemon: Services, name: str) -> schemas.Upstream:
    """Let a change take effect, and tell how the upstream does with it."""
    await daemon.upstreams_changed()
    await daemon.upstreams.refresh([name])
    async with daemon.database.read() as tx:
        return _row(daemon, await _one(tx, daemon, name))


def _row(daemon: Services, known: Known) -> schemas.Upstream:
    settings = known.settings
    status = next((one for one in daemon.upstreams.status() if one.name == settings.name), None)
    return schemas.Upstream(
        name=settings.name,
        kind=settings.kind,
        url=settings.url,
        pool=settings.pool_name,
        slots=settings.slots,
        api_key_set=_has_token(settings),
        connect_timeout=settings.connect_timeout,
        first_byte_timeout=settings.first_byte_timeout,
        idle_timeout=settings.idle_timeout,
        origin=known.origin,
        state=status.state.value if status else "unknown",
        reason=status.reason if status else "",
        models=list(status.models) if status else [],
        loaded=list(status.loaded) if status else [],
        version=status.version if status else "",
    )
