"""Whitelisted networks: who comes from there needs no credential."""

from __future__ import annotations

from fastapi import APIRouter, Response

from llmgate import schemas
from llmgate.daemon.admin.dependencies import Daemon, Part, in_future
from llmgate.daemon.admin.editing import Creating, Editing, tagged
from llmgate.daemon.changes import difference
from llmgate.daemon.services import Services
from llmgate.daemon.store import whitelist

router = APIRouter(prefix="/whitelist", tags=["whitelist"])


@router.get("")
async def list_entries(daemon: Daemon, part: Part) -> schemas.Page[schemas.WhitelistEntry]:
    async with daemon.database.read() as tx:
        rows = await whitelist.page(tx, after=part.after, limit=part.and_one)
    return part.page(rows, schemas.WhitelistEntry)


@router.post("", status_code=201)
async def create(
    daemon: Daemon, creation: Creating, response: Response, body: schemas.WhitelistCreate
) -> schemas.WhitelistEntry:
    """Add a network. 409 when it is listed already."""
    async with creation.begin() as change:
        entry = await whitelist.create(
            change.tx, cidr=body.cidr, label=body.label, level=body.level, expires_at=in_future(body.expires_at)
        )
        granted = {"label": entry.label, "level": entry.level, "expires_at": entry.expires_at}
        change.note("whitelist.create", entry.id, entry.cidr, **granted)
        made = creation.keep(schemas.WhitelistEntry.model_validate(entry))
    await _apply(daemon)
    return tagged(response, made)


@router.get("/{entry}")
async def show(daemon: Daemon, response: Response, entry: str) -> schemas.WhitelistEntry:
    async with daemon.database.read() as tx:
        return tagged(response, schemas.WhitelistEntry.model_validate(await whitelist.get(tx, entry)))


@router.patch("/{entry}")
async def update(
    daemon: Daemon, editing: Editing, response: Response, entry: str, body: schemas.WhitelistUpdate
) -> schemas.WhitelistEntry:
    async with editing.begin() as change:
        found = await whitelist.get(change.tx, entry)
        editing.expect(schemas.WhitelistEntry.model_validate(found))
        changed = await whitelist.update(change.tx, found.id, **body.changes())
        change.note("whitelist.update", found.id, changed.cidr, **difference(found, changed))
    await _apply(daemon)
    return tagged(response, schemas.WhitelistEntry.model_validate(changed))


@router.delete("/{entry}", status_code=204)
async def delete(daemon: Daemon, editing: Editing, entry: str) -> None:
    async with editing.begin() as change:
        found = await whitelist.get(change.tx, entry)
        editing.expect(schemas.WhitelistEntry.model_validate(found))
        await whitelist.delete(change.tx, found.id)
        change.note("whitelist.delete", found.id, found.cidr)
    await _apply(daemon)


async def _apply(daemon: Services) -> None:
    """Let the change take effect with the next request."""
    async with daemon.database.read() as tx:
        await daemon.whitelist.reload(tx)
    daemon.rights_changed()
