"""Sessions: who is logged in, from where. An ended one stays listed for a week."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from llmgate import schemas
from llmgate.daemon.admin.answers import raises
from llmgate.daemon.admin.dependencies import Admin, Daemon, Part
from llmgate.daemon.admin.editing import Acting
from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.store import sessions, users
from llmgate.daemon.store.sessions import Session
from llmgate.daemon.store.types import utc_now
from llmgate.errors import Conflict, NotFound

router = APIRouter(prefix="/sessions", tags=["sessions"])


@router.get("", responses=raises(NotFound))
async def list_sessions(
    daemon: Daemon,
    part: Part,
    caller: Admin,
    user: Annotated[str | None, Query(max_length=200, description="Only those of this user, by id or name.")] = None,
    live: Annotated[bool | None, Query(description="Only those that can be used, or only those that ended.")] = None,
) -> schemas.Page[schemas.Session]:
    """Sessions, the latest login first."""
    async with daemon.database.read() as tx:
        user_id = (await users.resolve(tx, user)).id if user is not None else None
        rows = await sessions.page(tx, after=part.after, limit=part.and_one, user_id=user_id, live=live)
        names = await users.names(tx, {row.user_id for row in rows})
    return part.page(shown(rows, names, caller), schemas.Session)


@router.get("/{session}")
async def show(daemon: Daemon, caller: Admin, session: str) -> schemas.Session:
    """A session."""
    async with daemon.database.read() as tx:
        row = await sessions.get(tx, session)
        user = await users.get(tx, row.user_id)
    return shown([row], {user.id: user.name}, caller)[0]


@router.post("/{session}/revoke")
async def revoke(daemon: Daemon, editing: Acting, session: str) -> schemas.Session:
    """End a session, at once and everywhere: its streams are cut. 409 when it has ended already."""
    async with editing.begin() as change:
        row = await sessions.get(change.tx, session)
        user = await users.get(change.tx, row.user_id)
        if not row.is_live(utc_now()) or not await sessions.revoke(change.tx, row.id):
            raise Conflict("The session has ended already.")
        ended = await sessions.get(change.tx, row.id)
        change.note("session.revoke", row.id, user.name, client=row.client, address=row.address)
    daemon.rights_changed()
    return shown([ended], {user.id: user.name}, editing.caller)[0]


@router.post("/revoke", responses=raises(NotFound))
async def revoke_all(daemon: Daemon, editing: Acting, body: schemas.SessionsOf) -> schemas.SessionsRevoked:
    """End every session of a user, the caller's own included if it is one of them. Its API keys go on."""
    async with editing.begin() as change:
        user = await users.resolve(change.tx, body.user)
        ended = await sessions.revoke_user(change.tx, user.id)
        change.note("session.revoke_all", user.id, user.name, sessions=ended)
    daemon.rights_changed()
    return schemas.SessionsRevoked(revoked=ended)


def shown(rows: Sequence[Session], names: dict[str, str], caller: Principal) -> list[schemas.Session]:
    """Sessions as ``caller`` sees them."""
    now = utc_now()
    return [
        schemas.Session(
            id=row.id,
            user_id=row.user_id,
            user=names.get(row.user_id, row.user_id),
            client=row.client,
            address=row.address,
            created_at=row.created_at,
            last_used_at=row.last_used_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            live=row.is_live(now),
            current=row.id == caller.session_id,
        )
        for row in rows
    ]
