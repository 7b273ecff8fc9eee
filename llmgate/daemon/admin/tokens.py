"""Registration tokens. The text of a token is in the answer to its creation, and nowhere else."""

from __future__ import annotations

from fastapi import APIRouter

from llmgate import schemas
from llmgate.daemon.admin.dependencies import Admin, Daemon, Part, in_future
from llmgate.daemon.auth import registration
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.store import tokens

router = APIRouter(prefix="/tokens", tags=["tokens"])


@router.get("")
async def list_tokens(daemon: Daemon, part: Part) -> schemas.Page[schemas.RegistrationToken]:
    async with daemon.database.read() as tx:
        rows = await tokens.page(tx, after=part.after, limit=part.and_one)
    return part.page(rows, schemas.RegistrationToken)


@router.post("", status_code=201)
async def create(daemon: Daemon, caller: Admin, body: schemas.TokenCreate) -> schemas.NewRegistrationToken:
    text, digest = registration.new_token(daemon.secret)
    async with daemon.database.begin() as tx:
        token = await tokens.create(
            tx,
            digest=digest,
            label=body.label,
            role=Role(body.role),
            level=body.level,
            max_uses=body.max_uses,
            expires_at=in_future(body.expires_at),
            created_by=caller.name[:100],
        )
    shown = schemas.RegistrationToken.model_validate(token)
    return schemas.NewRegistrationToken(**shown.model_dump(), token=text)


@router.get("/{token}")
async def show(daemon: Daemon, token: str) -> schemas.RegistrationToken:
    async with daemon.database.read() as tx:
        return schemas.RegistrationToken.model_validate(await tokens.get(tx, token))


@router.post("/{token}/revoke")
async def revoke(daemon: Daemon, token: str) -> schemas.RegistrationToken:
    """Let the token make no more accounts. 409 when it is revoked already."""
    async with daemon.database.begin() as tx:
        return schemas.RegistrationToken.model_validate(await tokens.revoke(tx, token))


@router.delete("/{token}", status_code=204)
async def delete(daemon: Daemon, token: str) -> None:
    """Remove the token. The accounts made with it stay."""
    async with daemon.database.begin() as tx:
        await tokens.delete(tx, token)
