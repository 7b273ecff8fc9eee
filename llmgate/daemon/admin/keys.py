"""API keys. In paths a key is named by id or name; its secret is in the answer to its creation, and nowhere else."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from llmgate import schemas
from llmgate.daemon.admin.dependencies import Daemon, Part, in_future
from llmgate.daemon.auth import api_keys
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.store import keys, users
from llmgate.errors import InvalidRequest

router = APIRouter(prefix="/keys", tags=["keys"])


@router.get("")
async def list_keys(
    daemon: Daemon,
    part: Part,
    search: Annotated[str | None, Query(max_length=200)] = None,
    user: Annotated[str | None, Query(max_length=200)] = None,
) -> schemas.Page[schemas.ApiKey]:
    """Keys in the order of their creation; ``search`` is part of a name, ``user`` an id or name."""
    async with daemon.database.read() as tx:
        user_id = (await users.resolve(tx, user)).id if user is not None else None
        rows = await keys.page(tx, after=part.after, limit=part.and_one, search=search, user_id=user_id)
    return part.page(rows, schemas.ApiKey)


@router.post("", status_code=201)
async def create(daemon: Daemon, body: schemas.KeyCreate) -> schemas.NewApiKey:
    """Make a key; without ``user`` it belongs to an application. 409 when the name is taken."""
    new = api_keys.generate(daemon.secret)
    async with daemon.database.begin() as tx:
        owner = await users.resolve(tx, body.user) if body.user is not None else None
        if owner is not None and owner.role is not Role.ADMIN and Role(body.role) is Role.ADMIN:
            raise InvalidRequest(
                f"{owner.name!r} is no administrator, so its key cannot be one's.",
                hint="Make the user an administrator first, or leave the user out.",
                param="role",
            )
        key = await keys.create(
            tx,
            key_id=new.id,
            digest=new.digest,
            last4=new.last4,
            name=body.name,
            user_id=owner.id if owner else None,
            role=Role(body.role),
            level=body.level,
            models=body.models,
            weight=body.weight,
            expires_at=in_future(body.expires_at),
        )
    shown = schemas.ApiKey.model_validate(key)
    return schemas.NewApiKey(**shown.model_dump(), key=new.text)


@router.get("/{key}")
async def show(daemon: Daemon, key: str) -> schemas.ApiKey:
    async with daemon.database.read() as tx:
        return schemas.ApiKey.model_validate(await keys.resolve(tx, key))


@router.patch("/{key}")
async def update(daemon: Daemon, key: str, body: schemas.KeyUpdate) -> schemas.ApiKey:
    """Change a key. It takes effect with the next request."""
    async with daemon.database.begin() as tx:
        found = await keys.resolve(tx, key)
        changed = await keys.update(tx, found.id, **body.changes())
    daemon.rights_changed()
    return schemas.ApiKey.model_validate(changed)


@router.post("/{key}/revoke")
async def revoke(daemon: Daemon, key: str) -> schemas.ApiKey:
    """Refuse the key from now on, for good. 409 when it is revoked already."""
    async with daemon.database.begin() as tx:
        found = await keys.resolve(tx, key)
        revoked = await keys.revoke(tx, found.id)
    daemon.rights_changed()
    return schemas.ApiKey.model_validate(revoked)


@router.delete("/{key}", status_code=204)
async def delete(daemon: Daemon, key: str) -> None:
    """Remove the key. What it has used stays counted."""
    async with daemon.database.begin() as tx:
        found = await keys.resolve(tx, key)
        await keys.delete(tx, found.id)
    daemon.rights_changed()
