"""Users. In paths a user is named by id or name."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate import schemas
from llmgate.daemon.admin.dependencies import Daemon, Part
from llmgate.daemon.admin.editing import FORCE_HINT, Creating, Edit, Editing, Force, tagged
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.changes import difference
from llmgate.daemon.store import conversations, sessions, users
from llmgate.daemon.store.users import User
from llmgate.errors import WouldLockOut

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
async def create(daemon: Daemon, creation: Creating, response: Response, body: schemas.UserCreate) -> schemas.User:
    """Add a user. 409 when the name is taken."""
    hashed = await daemon.hasher.hash(body.password.get_secret_value())
    async with creation.begin() as change:
        user = await users.create(
            change.tx, name=body.name, password_hash=hashed, role=Role(body.role), level=body.level
        )
        change.note("user.create", user.id, user.name, role=user.role, level=user.level)
        made = creation.keep(schemas.User.model_validate(user))
    return tagged(response, made)


@router.get("/{user}")
async def show(daemon: Daemon, response: Response, user: str) -> schemas.User:
    """A user, by id or name."""
    async with daemon.database.read() as tx:
        return tagged(response, schemas.User.model_validate(await users.resolve(tx, user)))


@router.patch("/{user}")
async def update(
    daemon: Daemon, editing: Editing, response: Response, user: str, body: schemas.UserUpdate, force: Force = False
) -> schemas.User:
    """Change a user; disabling ends its sessions. 409 when no enabled administrator would be left, or when callers
    would lock themselves out."""
    changes = body.changes()
    if "role" in changes:
        changes["role"] = Role(changes["role"])
    async with editing.begin() as change:
        found = await users.resolve(change.tx, user)
        editing.expect(schemas.User.model_validate(found))
        changed = await users.update(change.tx, found.id, **changes)
        if changed.disabled or (found.role is Role.ADMIN and changed.role is not Role.ADMIN):
            _keep_oneself(editing, found, "disabled" if changed.disabled else "no administrator any more", force)
        if changed.disabled:
            await sessions.revoke_user(change.tx, found.id)
        change.note("user.update", found.id, changed.name, **difference(found, changed))
    daemon.rights_changed()
    return tagged(response, schemas.User.model_validate(changed))


@router.put("/{user}/password", status_code=204)
async def set_password(daemon: Daemon, editing: Editing, user: str, body: schemas.NewPassword) -> None:
    """Set the password and end the user's sessions."""
    hashed = await daemon.hasher.hash(body.password.get_secret_value())
    async with editing.begin() as change:
        found = await users.resolve(change.tx, user)
        editing.expect(schemas.User.model_validate(found))
        await users.set_password(change.tx, found.id, hashed)
        await sessions.revoke_user(change.tx, found.id)
        change.note("user.password", found.id, found.name)
    daemon.rights_changed()


@router.delete("/{user}", status_code=204)
async def delete(daemon: Daemon, editing: Editing, user: str, force: Force = False) -> None:
    """Remove a user with its keys, sessions and conversations. 409 for the last enabled administrator, and for
    oneself."""
    async with daemon.database.begin() as tx:
        found = await _removable(editing, tx, user, force)
    # Before, since it can take longer than one transaction may: what is left goes with the user.
    await conversations.forget_user(daemon.database, found.id)
    async with editing.begin() as change:
        found = await _removable(editing, change.tx, user, force)
        await users.delete(change.tx, found.id)
        change.note("user.delete", found.id, found.name)
    daemon.rights_changed()


async def _removable(editing: Edit, tx: AsyncConnection, user: str, force: bool) -> User:
    found = await users.resolve(tx, user)
    editing.expect(schemas.User.model_validate(found))
    await users.keep_an_admin(tx, found)
    _keep_oneself(editing, found, "deleted", force)
    return found


def _keep_oneself(editing: Edit, user: User, what: str, force: bool) -> None:
    """Raises WouldLockOut when the caller is this user: who loses the rights cannot give them back to themselves."""
    if editing.caller.user_id == user.id and not force:
        raise WouldLockOut(f"This is you: {user.name!r} would be {what}, and you could not undo it.", hint=FORCE_HINT)
