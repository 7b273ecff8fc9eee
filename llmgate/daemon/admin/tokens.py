"""Registration tokens. The text of a token is in the answer to its creation, and nowhere else."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from llmgate import schemas
from llmgate.daemon.admin.dependencies import Daemon, Part, in_future
from llmgate.daemon.admin.editing import Creating, Editing, tagged
from llmgate.daemon.auth import registration
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.store import tokens
from llmgate.daemon.store.tokens import TokenState

router = APIRouter(prefix="/tokens", tags=["tokens"])


@router.get("")
async def list_tokens(
    daemon: Daemon,
    part: Part,
    state: Annotated[TokenState | None, Query(description="Only those in this state; each is in one.")] = None,
    created_by: Annotated[str | None, Query(max_length=100, description="Only those that this one made.")] = None,
) -> schemas.Page[schemas.RegistrationToken]:
    """Registration tokens in the order of their creation."""
    async with daemon.database.read() as tx:
        rows = await tokens.page(tx, after=part.after, limit=part.and_one, state=state, created_by=created_by)
    return part.page(rows, schemas.RegistrationToken)


@router.post("", status_code=201)
async def create(daemon: Daemon, creation: Creating, body: schemas.TokenCreate) -> schemas.NewRegistrationToken:
    """Make a registration token; its text is in this answer, and nowhere else."""
    text, digest = registration.new_token(daemon.secret)
    async with creation.begin() as change:
        token = await tokens.create(
            change.tx,
            digest=digest,
            label=body.label,
            role=Role(body.role),
            level=body.level,
            max_uses=body.max_uses,
            expires_at=in_future(body.expires_at),
            created_by=creation.caller.name[:100],
        )
        granted = {"role": token.role, "level": token.level, "max_uses": token.max_uses, "expires_at": token.expires_at}
        change.note("token.create", token.id, token.label, **granted)
    shown = schemas.RegistrationToken.model_validate(token)
    return schemas.NewRegistrationToken(**shown.model_dump(), token=text)


@router.get("/{token}")
async def show(daemon: Daemon, response: Response, token: str) -> schemas.RegistrationToken:
    """A registration token."""
    async with daemon.database.read() as tx:
        return tagged(response, schemas.RegistrationToken.model_validate(await tokens.get(tx, token)))


@router.post("/{token}/revoke")
async def revoke(editing: Editing, response: Response, token: str) -> schemas.RegistrationToken:
    """Let the token make no more accounts. 409 when it is revoked already."""
    async with editing.begin() as change:
        found = await tokens.get(change.tx, token)
        editing.expect(schemas.RegistrationToken.model_validate(found))
        revoked = await tokens.revoke(change.tx, found.id)
        change.note("token.revoke", found.id, found.label)
    return tagged(response, schemas.RegistrationToken.model_validate(revoked))


@router.delete("/{token}", status_code=204)
async def delete(editing: Editing, token: str) -> None:
    """Remove the token. The accounts made with it stay."""
    async with editing.begin() as change:
        found = await tokens.get(change.tx, token)
        editing.expect(schemas.RegistrationToken.model_validate(found))
        await tokens.delete(change.tx, found.id)
        change.note("token.delete", found.id, found.label)
