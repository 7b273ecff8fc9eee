"""Whitelisted networks: who comes from there needs no credential."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate import schemas
from llmgate.daemon.admin.answers import raises
from llmgate.daemon.admin.dependencies import Daemon, Part, in_future
from llmgate.daemon.admin.editing import FORCE_HINT, Creating, Editing, Force, tagged
from llmgate.daemon.auth.ip_whitelist import Whitelist, normalised
from llmgate.daemon.changes import difference
from llmgate.daemon.services import Services
from llmgate.daemon.store import whitelist
from llmgate.daemon.store.whitelist import WhitelistEntry as Entry
from llmgate.errors import InvalidRequest, StoreUnavailable, WouldLockOut

router = APIRouter(prefix="/whitelist", tags=["whitelist"])

AskedAddress = Annotated[str | None, Query(max_length=64, description="Default: where this request comes from.")]


@router.get("")
async def list_entries(
    daemon: Daemon, part: Part, search: Annotated[str | None, Query(max_length=200)] = None
) -> schemas.Page[schemas.WhitelistEntry]:
    """Entries in the order of their creation; ``search`` is part of a network or of a label."""
    async with daemon.database.read() as tx:
        rows = await whitelist.page(tx, after=part.after, limit=part.and_one, search=search)
    return part.page(rows, schemas.WhitelistEntry)


@router.get("/test")
async def test(
    daemon: Daemon,
    request: Request,
    address: AskedAddress = None,  # noqa: PT028 - it is a route, and no test
) -> schemas.WhitelistTest:
    """What the whitelist says of an address, and where the gateway thinks that the caller comes from."""
    own = daemon.client_address(request.scope)
    asked = own if address is None else normalised(address)
    if asked is None:
        raise InvalidRequest("This is not an address.", hint="Write 10.1.2.3 or 2001:db8::7.", param="address")
    entry = daemon.whitelist.match(asked) if daemon.settings.auth.whitelist else None
    peer = request.client.host if request.client else ""
    forwarded = request.headers.getlist("x-forwarded-for")
    return schemas.WhitelistTest(
        address=asked,
        entry=None if entry is None else schemas.WhitelistEntry.model_validate(entry),
        level=_level(daemon, entry),
        enabled=daemon.settings.auth.whitelist,
        your_address=own,
        peer=peer,
        forwarded_for=[line[:1000] for line in forwarded[:16]],
        explanation=_explain(own, peer, is_forwarded=bool(forwarded)),
    )


@router.post("", status_code=201, responses=raises(WouldLockOut))
async def add(
    daemon: Daemon, creation: Creating, response: Response, body: schemas.WhitelistCreate, force: Force = False
) -> schemas.WhitelistEntry:
    """Add a network. 409 when it is listed already, or when it would give the caller's own address a worse level."""
    async with creation.begin() as change, _guarded(daemon, change.tx, creation.actor.address, force):
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
    """An entry."""
    async with daemon.database.read() as tx:
        return tagged(response, schemas.WhitelistEntry.model_validate(await whitelist.get(tx, entry)))


@router.patch("/{entry}")
async def update(
    daemon: Daemon,
    editing: Editing,
    response: Response,
    entry: str,
    body: schemas.WhitelistUpdate,
    force: Force = False,
) -> schemas.WhitelistEntry:
    """Change an entry. 409 when the caller's own address would lose its free access by that, or get a worse level."""
    async with editing.begin() as change, _guarded(daemon, change.tx, editing.actor.address, force):
        found = await whitelist.get(change.tx, entry)
        editing.expect(schemas.WhitelistEntry.model_validate(found))
        changed = await whitelist.update(change.tx, found.id, **body.changes())
        change.note("whitelist.update", found.id, changed.cidr, **difference(found, changed))
    await _apply(daemon)
    return tagged(response, schemas.WhitelistEntry.model_validate(changed))


@router.delete("/{entry}", status_code=204)
async def delete(daemon: Daemon, editing: Editing, entry: str, force: Force = False) -> None:
    """Ask this network for a credential again. 409 when the caller's own address would lose its free access by that,
    or get a worse level."""
    async with editing.begin() as change, _guarded(daemon, change.tx, editing.actor.address, force):
        found = await whitelist.get(change.tx, entry)
        editing.expect(schemas.WhitelistEntry.model_validate(found))
        await whitelist.delete(change.tx, found.id)
        change.note("whitelist.delete", found.id, found.cidr)
    await _apply(daemon)


async def _apply(daemon: Services) -> None:
    """Let the change take effect with the next request."""
    with suppress(StoreUnavailable):  # it is written: every daemon finds it when the database is back
        async with daemon.database.read() as tx:
            await daemon.whitelist.reload(tx)
    daemon.rights_changed()


@asynccontextmanager
async def _guarded(daemon: Services, tx: AsyncConnection, address: str, force: bool) -> AsyncIterator[None]:
    """Around a change of the whitelist: raises WouldLockOut when it makes this address, the caller's, worse off."""
    before = await _match(tx, address) if daemon.settings.auth.whitelist and not force else None
    yield
    if before is None:
        return
    after = await _match(tx, address)
    was, will_be = _level(daemon, before), _level(daemon, after)
    if will_be is None:
        raise WouldLockOut(
            f"You come from {address}, which {before.cidr} lets in: it would need a credential.", hint=FORCE_HINT
        )
    if was is not None and will_be > was:
        raise WouldLockOut(f"You come from {address}: it would fall from level {was} to {will_be}.", hint=FORCE_HINT)


async def _match(tx: AsyncConnection, address: str) -> Entry | None:
    """What lets the address in, as this transaction sees it."""
    seen = Whitelist()
    await seen.reload(tx)
    return seen.match(address)


def _level(daemon: Services, entry: Entry | None) -> int | None:
    return None if entry is None else entry.level or daemon.settings.levels.whitelist


def _explain(own: str, peer: str, *, is_forwarded: bool) -> str:
    if not is_forwarded:
        return "There is no X-Forwarded-For: your address is the other end of the connection."
    if own == peer:
        return (
            "X-Forwarded-For is not believed, because this connection does not come from one of "
            "server.trusted_proxies. If it is your own proxy, name it there; else whoever wrote the header lied."
        )
    return (
        "X-Forwarded-For is read from the right, as far as server.trusted_proxies vouch for it. What stands further "
        "to the left can be invented, and does not count."
    )
