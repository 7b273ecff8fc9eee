"""API keys. In paths a key is named by id or name; its secret is in the answer to its creation, and nowhere else."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from llmgate import schemas
from llmgate.daemon.admin.answers import raises
from llmgate.daemon.admin.dependencies import Daemon, Part, in_future
from llmgate.daemon.admin.editing import FORCE_HINT, Creating, Edit, Editing, Force, tagged
from llmgate.daemon.auth import api_keys, routes
from llmgate.daemon.auth.ip_whitelist import is_within
from llmgate.daemon.auth.principals import PrincipalKind, Role
from llmgate.daemon.changes import difference
from llmgate.daemon.store import checks, keys, users
from llmgate.daemon.store.keys import ApiKey, KeyState
from llmgate.daemon.store.types import utc_now
from llmgate.daemon.store.users import User
from llmgate.errors import Conflict, NotFound, WouldLockOut

router = APIRouter(prefix="/keys", tags=["keys"])

SOON = timedelta(hours=1)
"""Whoever lets the own key end within this time may be about to lock itself out."""
_NOTED = ("user", "role", "level", "models", "routes", "cidrs", "weight", "expires_at", *schemas.KeyLimits.model_fields)


@router.get("", responses=raises(NotFound))
async def list_keys(
    daemon: Daemon,
    part: Part,
    search: Annotated[str | None, Query(max_length=200)] = None,
    user: Annotated[str | None, Query(max_length=200)] = None,
    role: schemas.RoleName | None = None,
    level: Annotated[int | None, Query(ge=1, le=5)] = None,
    state: schemas.KeyState | None = None,
) -> schemas.Page[schemas.ApiKey]:
    """Keys in the order of their creation; ``search`` is part of a name, ``user`` an id or name, ``level`` one that
    the key has itself."""
    async with daemon.database.read() as tx:
        rows = await keys.page(
            tx,
            after=part.after,
            limit=part.and_one,
            search=search,
            user_id=(await users.resolve(tx, user)).id if user is not None else None,
            role=Role(role) if role else None,
            level=level,
            state=KeyState(state) if state else None,
        )
    return part.page(rows, schemas.ApiKey)


@router.post("", status_code=201, responses=raises(NotFound))
async def create(daemon: Daemon, creation: Creating, response: Response, body: schemas.KeyCreate) -> schemas.NewApiKey:
    """Make a key; without ``user`` it belongs to an application. 409 when the name is taken."""
    new = api_keys.generate(daemon.secret)
    values = {**_values(body.model_dump(exclude={"name", "user"})), "role": Role(body.role)}
    in_future(body.expires_at)
    async with creation.begin() as change:
        owner = await users.resolve(change.tx, body.user) if body.user is not None else None
        _keep_within(owner, values["role"], body.level)
        key = await keys.create(
            change.tx,
            key_id=new.id,
            digest=new.digest,
            last4=new.last4,
            name=body.name,
            user_id=owner.id if owner else None,
            **values,
        )
        change.note("key.create", key.id, key.name, **granted(key))
    return _with_secret(response, key, new)


@router.get("/{key}")
async def show(daemon: Daemon, response: Response, key: str) -> schemas.ApiKey:
    """A key, by id or name; its secret is nowhere any more."""
    async with daemon.database.read() as tx:
        return tagged(response, schemas.ApiKey.model_validate(await keys.resolve(tx, key)))


@router.patch("/{key}")
async def update(
    daemon: Daemon, editing: Editing, response: Response, key: str, body: schemas.KeyUpdate, force: Force = False
) -> schemas.ApiKey:
    """Change a key. It takes effect with the next request. 409 for the caller's own key, when the caller could not
    use it here any more."""
    values = _values(body.changes())
    async with editing.begin() as change:
        found = await keys.resolve(change.tx, key)
        editing.expect(schemas.ApiKey.model_validate(found))
        if values.get("level") is not None and found.user_id is not None:
            _keep_within(await users.get(change.tx, found.user_id), found.role, values["level"])
        changed = await keys.update(change.tx, found.id, **values)
        _keep_in(editing, changed, _loss(editing, values), force)
        change.note("key.update", found.id, changed.name, **difference(found, changed))
    daemon.rights_changed()
    return tagged(response, schemas.ApiKey.model_validate(changed))


@router.post("/{key}/rotate", responses=raises(Conflict))
async def rotate(
    daemon: Daemon, editing: Editing, creation: Creating, response: Response, key: str, body: schemas.KeyRotate
) -> schemas.NewApiKey:
    """Give the key a new secret; id, name, limits and what it has used stay. The one before works for
    ``overlap_seconds`` more, one before that not any more. 409 when the key is revoked."""
    overlap = timedelta(seconds=body.overlap_seconds)
    async with creation.begin() as change:
        found = await keys.resolve(change.tx, key)
        editing.expect(schemas.ApiKey.model_validate(found))
        new = api_keys.generate(daemon.secret, found.id)
        rotated = await keys.rotate(change.tx, found.id, digest=new.digest, last4=new.last4, overlap=overlap)
        change.note("key.rotate", found.id, found.name, previous_until=rotated.previous_until)
    daemon.rights_changed()
    return _with_secret(response, rotated, new)


@router.post("/{key}/revoke")
async def revoke(
    daemon: Daemon, editing: Editing, response: Response, key: str, force: Force = False
) -> schemas.ApiKey:
    """Refuse the key from now on, for good. 409 when it is revoked already, and for the caller's own."""
    async with editing.begin() as change:
        found = await keys.resolve(change.tx, key)
        editing.expect(schemas.ApiKey.model_validate(found))
        _keep_in(editing, found, "be revoked", force)
        revoked = await keys.revoke(change.tx, found.id)
        change.note("key.revoke", found.id, found.name)
    daemon.rights_changed()
    return tagged(response, schemas.ApiKey.model_validate(revoked))


@router.delete("/{key}", status_code=204)
async def delete(daemon: Daemon, editing: Editing, key: str, force: Force = False) -> None:
    """Remove the key. What it has used stays counted. 409 for the caller's own."""
    async with editing.begin() as change:
        found = await keys.resolve(change.tx, key)
        editing.expect(schemas.ApiKey.model_validate(found))
        _keep_in(editing, found, "be deleted", force)
        await keys.delete(change.tx, found.id)
        change.note("key.delete", found.id, found.name)
    daemon.rights_changed()


def _values(values: dict[str, Any]) -> dict[str, Any]:
    """What a client wants, in the form in which it is stored. Raises InvalidRequest."""
    if "routes" in values:
        values["routes"] = routes.checked(values["routes"])
    if "cidrs" in values:
        values["cidrs"] = checks.networks(values["cidrs"])
    return values


def granted(key: ApiKey) -> dict[str, Any]:
    """What a new key may, for the activity log."""
    return {name: value for name in _NOTED if (value := getattr(key, name))}


def _with_secret(response: Response, key: ApiKey, new: api_keys.NewKey) -> schemas.NewApiKey:
    shown = tagged(response, schemas.ApiKey.model_validate(key))
    return schemas.NewApiKey(**shown.model_dump(), key=new.text)


def _keep_within(owner: User | None, role: Role, level: int | None) -> None:
    if owner is not None:
        api_keys.check_within(owner.name, owner.role, owner.level, role=role, level=level)


def _loss(editing: Edit, values: dict[str, Any]) -> str | None:
    """Why a key with these changes could not do here, or not for long, what the caller does at this moment."""
    if values.get("disabled"):
        return "be disabled"
    ends: datetime | None = values.get("expires_at")
    if ends is not None and ends <= utc_now() + SOON:
        return "expire within the hour"
    cidrs = values.get("cidrs")
    if cidrs is not None and not is_within(editing.actor.address, map(checks.network, cidrs)):
        return f"not be for {editing.actor.address}, where you are"
    allowed = values.get("routes")
    return "not be for the admin API" if allowed is not None and routes.ADMIN not in allowed else None


def _keep_in(editing: Edit, key: ApiKey, loss: str | None, force: bool) -> None:
    """Raises WouldLockOut when the key is the one that the caller uses, and would lose so much."""
    is_own = editing.caller.kind is PrincipalKind.KEY and editing.caller.id == key.id
    if loss is not None and is_own and not force:
        raise WouldLockOut(f"This is the key that you use: {key.name!r} would {loss}.", hint=FORCE_HINT)
