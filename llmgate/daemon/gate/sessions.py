"""One's own sessions: where one is logged in, and the end of that."""

from __future__ import annotations

from fastapi import APIRouter

from llmgate import schemas
from llmgate.daemon.admin.answers import raises
from llmgate.daemon.admin.dependencies import Caller, Daemon, Part
from llmgate.daemon.admin.editing import Acting
from llmgate.daemon.admin.sessions import shown
from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.store import sessions
from llmgate.daemon.store.types import utc_now
from llmgate.errors import Conflict, NotFound, PermissionDenied

router = APIRouter(prefix="/auth/sessions", tags=["auth"])


@router.get("", responses=raises(PermissionDenied))
async def list_sessions(daemon: Daemon, caller: Caller, part: Part) -> schemas.Page[schemas.Session]:
    """The caller's live sessions, the latest login first."""
    user_id = _user(caller)
    async with daemon.database.read() as tx:
        rows = await sessions.page(tx, after=part.after, limit=part.and_one, user_id=user_id, live=True)
    return part.page(shown(rows, {user_id: caller.name}, caller), schemas.Session)


@router.post("/{session}/revoke")
async def revoke(daemon: Daemon, editing: Acting, session: str) -> schemas.Session:
    """End one of the caller's sessions, at once and everywhere. 409 when it has ended already."""
    user_id = _user(editing.caller)
    async with editing.begin() as change:
        row = await sessions.get(change.tx, session)
        if row.user_id != user_id:
            raise NotFound("There is no such session.")
        if not row.is_live(utc_now()) or not await sessions.revoke(change.tx, row.id):
            raise Conflict("The session has ended already.")
        ended = await sessions.get(change.tx, row.id)
        change.note("session.revoke", row.id, editing.caller.name, client=row.client, address=row.address)
    daemon.rights_changed()
    return shown([ended], {user_id: editing.caller.name}, editing.caller)[0]


def _user(caller: Principal) -> str:
    """Whose sessions they are: a key may be in many hands, and has none."""
    if caller.session_id is None:
        raise PermissionDenied("Only who has logged in with a name and a password can do that.")
    return caller.id
