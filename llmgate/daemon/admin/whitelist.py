"""Whitelisted networks: who comes from there needs no credential."""

from __future__ import annotations

from fastapi import APIRouter

from llmgate import schemas
from llmgate.daemon.admin.dependencies import Daemon, Part, in_future
from llmgate.daemon.services import Services
from llmgate.daemon.store import whitelist

router = APIRouter(prefix="/whitelist", tags=["whitelist"])


@router.get("")
async def list_entries(daemon: Daemon, part: Part) -> schemas.Page[schemas.WhitelistEntry]:
    async with daemon.database.read() as tx:
        rows = await whitelist.page(tx, after=part.after, limit=part.and_one)
    return part.page(rows, schemas.WhitelistEntry)


@router.post("", status_code=201)
async def create(daemon: Daemon, body: schemas.WhitelistCreate) -> schemas.WhitelistEntry:
    """Add a network. 409 when it is listed already."""
    async with daemon.database.begin() as tx:
        entry = await whitelist.create(
            tx, cidr=body.cidr, label=body.label, level=body.level, expires_at=in_future(body.expires_at)
        )
    await _apply(daemon)
    return schemas.WhitelistEntry.model_validate(entry)


@router.get("/{entry}")
async def show(daemon: Daemon, entry: str) -> schemas.WhitelistEntry:
    async with daemon.database.read() as tx:
        return schemas.WhitelistEntry.model_validate(await whitelist.get(tx, entry))


@router.patch("/{entry}")
async def update(daemon: Daemon, entry: str, body: schemas.WhitelistUpdate) -> schemas.WhitelistEntry:
    async with daemon.database.begin() as tx:
        changed = await whitelist.update(tx, entry, **body.changes())
    await _apply(daemon)
    return schemas.WhitelistEntry.model_validate(changed)


@router.delete("/{entry}", status_code=204)
async def delete(daemon: Daemon, entry: str) -> None:
    async with daemon.database.begin() as tx:
        await whitelist.delete(tx, entry)
    await _apply(daemon)


async def _apply(daemon: Services) -> None:
    """Let the change take effect with the next request."""
    async with daemon.database.read() as tx:
        await daemon.whitelist.reload(tx)
    daemon.rights_changed()
