"""One's own API keys: an application that uses one is that person, and never more than that.

The names of keys are unique over all users. So that nobody learns from a conflict how other people call theirs, a key
that is made here has an ending that is its user's alone: ``laptop`` becomes ``laptop-7gq2m4``.
"""

from __future__ import annotations

from fastapi import APIRouter

from llmgate import schemas
from llmgate.daemon.admin.answers import raises
from llmgate.daemon.admin.dependencies import Daemon, Part, Person, in_future
from llmgate.daemon.admin.editing import Acting, Creating
from llmgate.daemon.admin.keys import granted
from llmgate.daemon.auth import api_keys
from llmgate.daemon.auth.principals import Principal, Role
from llmgate.daemon.changes import Change
from llmgate.daemon.retention import ENDED_KEYS_KEPT
from llmgate.daemon.services import Services
from llmgate.daemon.store import checks, keys
from llmgate.daemon.store.keys import KeyState
from llmgate.errors import Conflict, InvalidRequest, NotFound, PermissionDenied

router = APIRouter(prefix="/keys", tags=["keys"])

MOST_ENDED = 100
"""Keys of a user that are revoked or expired, until they are forgotten: else one could fill the database with them."""
ENDING = 6
"""Characters of the user's id behind the name: 30 random bits."""


@router.get("")
async def list_keys(
    daemon: Daemon, caller: Person, part: Part, state: schemas.KeyState | None = None
) -> schemas.Page[schemas.ApiKey]:
    """The caller's keys in the order of their creation, also those that an administrator has made."""
    async with daemon.database.read() as tx:
        rows = await keys.page(
            tx,
            after=part.after,
            limit=part.and_one,
            user_id=caller.id,
            state=KeyState(state) if state else None,
        )
    return part.page(rows, schemas.ApiKey)


@router.post("", status_code=201, responses=raises(InvalidRequest, Conflict))
async def create(daemon: Daemon, caller: Person, creation: Creating, body: schemas.MyKeyCreate) -> schemas.NewApiKey:
    """Make a key of one's own. Its level is the caller's at best.

    403 where users make none, 409 when the caller has as many as ``auth.keys_per_user`` allows, or one of this name, or
    has ended a hundred lately.
    """
    level = body.level or max(caller.level, daemon.settings.levels.api_key)
    api_keys.check_within(caller.name, caller.role, caller.level, role=Role.USER, level=level)
    in_future(body.expires_at)
    name = f"{checks.key_name(body.name)}-{caller.id[-ENDING:].lower()}"
    new = api_keys.generate(daemon.secret)
    async with creation.begin() as change:
        await _check_number(daemon, caller, change)
        key = await keys.create(
            change.tx,
            key_id=new.id,
            digest=new.digest,
            last4=new.last4,
            name=name,
            user_id=caller.id,
            level=level,
            models=body.models,
            expires_at=body.expires_at,
        )
        change.note("key.create", key.id, key.name, **granted(key))
    return schemas.NewApiKey(**schemas.ApiKey.model_validate(key).model_dump(), key=new.text)


@router.post("/{key}/revoke")
async def revoke(daemon: Daemon, caller: Person, acting: Acting, key: str) -> schemas.ApiKey:
    """Refuse one of the caller's keys from now on, for good; it is named by its id. 409 when it is revoked already."""
    async with acting.begin() as change:
        found = await keys.get(change.tx, key)
        if found.user_id != caller.id:
            raise NotFound("There is no such key.")
        revoked = await keys.revoke(change.tx, found.id)
        change.note("key.revoke", found.id, found.name)
    daemon.rights_changed()
    return schemas.ApiKey.model_validate(revoked)


async def _check_number(daemon: Services, caller: Principal, change: Change) -> None:
    most = daemon.settings.auth.keys_per_user
    if most == 0:
        raise PermissionDenied("Users make no API keys here.", hint="Ask an administrator for one.")
    if await keys.count(change.tx, caller.id) >= most:
        raise Conflict(
            f"You have {most} API {'key' if most == 1 else 'keys'}, and may have no more.",
            hint="Revoke one that is not used any more, or ask an administrator.",
        )
    if await keys.count_ended(change.tx, caller.id) >= MOST_ENDED:
        raise Conflict(
            f"{MOST_ENDED} of your API keys have been revoked or have expired lately: you may make no more for now.",
            hint=f"They are forgotten {ENDED_KEYS_KEPT.days} days after their end; an administrator can delete them.",
        )
