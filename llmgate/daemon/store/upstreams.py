"""Upstreams that were added at run time; those of the configuration file are not in here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Double, Integer, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.store import settings, sql
from llmgate.daemon.store.types import Text, UtcDateTime, columns_of, metadata, utc_now
from llmgate.errors import NotFound

upstreams = Table(
    "upstreams",
    metadata,
    Column("name", Text(40), primary_key=True),
    Column("kind", Text(20), nullable=False),
    Column("url", Text(500), nullable=False),
    Column("slots", Integer, nullable=False),
    Column("pool", Text(40)),
    Column("api_key_sealed", Text(2000)),
    Column("connect_timeout", Double, nullable=False),
    Column("first_byte_timeout", Double, nullable=False),
    Column("idle_timeout", Double, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredUpstream:
    """An upstream as the database knows it. ``api_key_sealed`` is its bearer token, encrypted."""

    name: str
    kind: str
    url: str
    slots: int
    pool: str | None
    api_key_sealed: str | None
    connect_timeout: float
    first_byte_timeout: float
    idle_timeout: float
    created_at: datetime
    updated_at: datetime


_COLUMNS = columns_of(upstreams, StoredUpstream)


async def all(tx: AsyncConnection) -> list[StoredUpstream]:  # noqa: A001  # read as upstreams.all(...)
    """Every one, by name."""
    return [StoredUpstream(*row) for row in await tx.execute(select(*_COLUMNS).order_by(upstreams.c.name))]


async def get(tx: AsyncConnection, name: str) -> StoredUpstream:
    row = (await tx.execute(select(*_COLUMNS).where(upstreams.c.name == name))).first()
    if row is None:
        raise NotFound("There is no such upstream.")
    return StoredUpstream(*row)


async def create(tx: AsyncConnection, **values: Any) -> StoredUpstream:
    """Add one. Conflict when the name is taken."""
    now = utc_now()
    with sql.conflict(f"There is already an upstream named {values['name']!r}."):
        await tx.execute(upstreams.insert().values(**values, created_at=now, updated_at=now))
    await settings.bump(tx)
    return await get(tx, values["name"])


async def update(tx: AsyncConnection, name: str, **changes: Any) -> StoredUpstream:
    await tx.execute(upstreams.update().where(upstreams.c.name == name).values(**changes, updated_at=utc_now()))
    await settings.bump(tx)
    return await get(tx, name)


async def delete(tx: AsyncConnection, name: str) -> None:
    if not (await tx.execute(upstreams.delete().where(upstreams.c.name == name))).rowcount:
        raise NotFound("There is no such upstream.")
    await settings.bump(tx)
