"""Users. In paths a user is named by id or name."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from llmgate import schemas
from llmgate.daemon.admin.dependencies import Daemon, Part
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.store import sessions, users

router = APIRouter(prefix="/users", tags=["users"])


@router.get("")
async def list_users(
    daemon: Daemon, part: Part, search: Annotated[str | None, Query(max_length=200)] = None
) -> schemas.Page[schemas.User]:
    """Users in the order of their creation; ``search`` is part of a name."""
    async with daemon.database.read() as tx:
        rows = await users.page(tx, after=part.after, limit=part.and_one, search=search)
    return part.page(rows, schemas.User)


@router.post("", status_code=201)
async def create(daemon: Daemon, body: schemas.UserCreate) -> schemas.User:
    """Add a user. 409 when the name is taken."""
    hashed = await daemon.hasher.hash(body.password.get_secret_value())
    async with daemon.database.begin() as tx:
        user = await users.create(tx, name=body.name, password_hash=hashed, role=Role(body.role), level=body.level)
    return schemas.User.model_validate(user)


@router.get("/{user}")
async def show(daemon: Daemon, user: str) -> schemas.User:
    async with daemon.database.read() as tx:
        return schemas.User.model_validate(await users.resolve(tx, user))


@router.patch("/{user}")
async def update(daemon: Daemon, user: str, body: schemas.UserUpdate) -> schemas.User:
    """Change a user; disabling ends its sessions. 409 when no enabled administrator would be left."""
    changes = body.changes()
    if "role" in changes:
        changes["role"] = Role(changes["role"])
    async with daemon.database.begin() as tx:
        found = await users.resolve(tx, user)
        changed = await users.update(tx, found.id, **changes)
        if changed.disabled:
            await sessions.revoke_user(tx, found.id)
    daemon.rights_changed()
    return schemas.User.model_validate(changed)


@router.put("/{user}/password", status_code=204)
async def set_password(daemon: Daemon, user: str, body: schemas.NewPassword) -> None:
    """Set the password and end the user's sessions."""
    hashed = await daemon.hasher.hash(body.password.get_secret_value())
    async with daemon.database.begin() as tx:
        found = await users.resolve(tx, user)
        await users.set_password(tx, found.id, hashed)
        await sessions.revoke_user(tx, found.id)
    daemon.rights_changed()


@router.delete("/{user}", status_code=204)
async def delete(daemon: Daemon, user: str) -> None:
    """Remove a user with its keys and sessions. 409 for the last enabled administrator."""
    async with daemon.database.begin() as tx:
        found = await users.resolve(tx, user)
        await users.delete(tx, found.id)
    daemon.rights_changed()
