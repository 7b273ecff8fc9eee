"""Whitelisted networks: who comes from there needs no credential."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import Column, Integer, Table, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.ids import new_id
from llmgate.daemon.store import checks, sql
from llmgate.daemon.store.types import Text, UtcDateTime, columns_of, metadata, utc_now
from llmgate.errors import InvalidRequest, NotFound

whitelist = Table(
    "whitelist",
    metadata,
    Column("id", Text(26), primary_key=True),
    Column("cidr", Text(64), nullable=False, unique=True),
    Column("label", Text(200), nullable=False),
    Column("level", Integer),
    Column("expires_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
)

_WIDEST_IPV4 = 8
_WIDEST_IPV6 = 16


@dataclass(frozen=True, slots=True)
class WhitelistEntry:
    """A network. ``level`` is None where the setting ``levels.whitelist`` decides."""

    id: str
    cidr: str
    label: str
    level: int | None
    expires_at: datetime | None
    created_at: datetime


class EntryChanges(TypedDict, total=False):
    cidr: str
    label: str
    level: int | None
    expires_at: datetime | None


_COLUMNS = columns_of(whitelist, WhitelistEntry)


def normalise(cidr: str) -> str:
    """The network as ``address/prefix`` with host bits cleared and IPv4-mapped IPv6 unmapped.

    Raises InvalidRequest for anything that is not a plain network, or one so wide that it can only be a mistake.
    """
    network = checks.network(cidr)
    widest = _WIDEST_IPV4 if network.version == 4 else _WIDEST_IPV6
    if network.prefixlen < widest:
        raise InvalidRequest(
            f"{network} is too wide: {network.num_addresses:,} addresses would need no credential.",
            hint=f"Use /{widest} or longer.",
            param="cidr",
        )
    return str(network)


async def create(
    tx: AsyncConnection, *, cidr: str, label: str = "", level: int | None = None, expires_at: datetime | None = None
) -> WhitelistEntry:
    """Add a network; see ``normalise``. Conflict when it is listed already."""
    entry = WhitelistEntry(
        id=new_id(),
        cidr=normalise(cidr),
        label=checks.label(label),
        level=checks.level(level),
        expires_at=expires_at,
        created_at=utc_now(),
    )
    with sql.conflict(f"{entry.cidr} is whitelisted already."):
        await tx.execute(whitelist.insert().values({column.name: getattr(entry, column.name) for column in _COLUMNS}))
    return entry


async def get(tx: AsyncConnection, entry_id: str) -> WhitelistEntry:
    row = (await tx.execute(select(*_COLUMNS).where(whitelist.c.id == entry_id))).first()
    if row is None:
        raise _missing()
    return WhitelistEntry(*row)


async def page(
    tx: AsyncConnection, *, after: str | None = None, limit: int = 100, search: str | None = None
) -> list[WhitelistEntry]:
    """Entries in the order of their creation, behind the one with the id ``after``; ``search`` is part of a network
    or of a label, in any case."""
    statement = select(*_COLUMNS).order_by(whitelist.c.id).limit(limit)
    if after is not None:
        statement = statement.where(whitelist.c.id > after)
    if search:
        in_either = (column.icontains(search, autoescape=True) for column in (whitelist.c.cidr, whitelist.c.label))
        statement = statement.where(or_(*in_either))
    return [WhitelistEntry(*row) for row in await tx.execute(statement)]


async def all(tx: AsyncConnection) -> list[WhitelistEntry]:  # noqa: A001  # read as whitelist.all(...)
    return [WhitelistEntry(*row) for row in await tx.execute(select(*_COLUMNS).order_by(whitelist.c.id))]


async def update(tx: AsyncConnection, entry_id: str, **changes: Unpack[EntryChanges]) -> WhitelistEntry:
    """Change what is named. Conflict when the network is listed already."""
    values: dict[str, Any] = {**changes}
    if "cidr" in changes:
        values["cidr"] = normalise(changes["cidr"])
    if "label" in changes:
        checks.label(changes["label"])
    if "level" in changes:
        checks.level(changes["level"])
    if values:
        with sql.conflict(f"{values.get('cidr')} is whitelisted already."):
            await tx.execute(whitelist.update().where(whitelist.c.id == entry_id).values(**values))
    return await get(tx, entry_id)


async def delete(tx: AsyncConnection, entry_id: str) -> None:
    if not (await tx.execute(whitelist.delete().where(whitelist.c.id == entry_id))).rowcount:
        raise _missing()


def _missing() -> NotFound:
    return NotFound("There is no such whitelist entry.")
