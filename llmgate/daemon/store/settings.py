"""Settings that were changed at run time, and upstreams that were added at run time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.store import instance, sql
from llmgate.daemon.store.types import Text, UtcDateTime, columns_of, metadata, utc_now

settings = Table(
    "settings",
    metadata,
    Column("key", Text(100), primary_key=True),
    Column("value", Text(4000), nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("updated_by", Text(200), nullable=False),
)


_VERSION = "settings_version"


@dataclass(frozen=True, slots=True)
class StoredSetting:
    """A setting that the database decides."""

    key: str
    value: Any
    updated_at: datetime
    updated_by: str


async def version(tx: AsyncConnection) -> int:
    """How often settings or upstreams were changed at run time: whoever knows another number looks again."""
    return int(await instance.get(tx, _VERSION) or 0)


async def bump(tx: AsyncConnection) -> int:
    """In a change of settings or upstreams: the version that is reached by it."""
    following = await version(tx) + 1
    await instance.set(tx, _VERSION, str(following))
    return following


async def rows(tx: AsyncConnection) -> dict[str, StoredSetting]:
    """Every setting that the database decides, by key."""
    found = await tx.execute(select(*columns_of(settings, StoredSetting)).order_by(settings.c.key))
    return {row.key: StoredSetting(row.key, _value(row.value), row.updated_at, row.updated_by) for row in found}


async def all(tx: AsyncConnection) -> dict[str, Any]:  # noqa: A001  # read as settings.all(...)
    """Every setting that the database decides: ``queue.aging_seconds`` → its value."""
    rows = await tx.execute(select(settings.c.key, settings.c.value).order_by(settings.c.key))
    return {row.key: _value(row.value) for row in rows}


def _value(text: str) -> Any:
    """None, which no setting takes, for what was not written by us: it must keep no daemon from starting."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


async def put(tx: AsyncConnection, key: str, value: Any, *, by: str) -> None:
    """Decide a setting. ``value`` is a JSON value."""
    values = {"value": json.dumps(value), "updated_at": utc_now(), "updated_by": by}
    insert = sql.insert(tx, settings).values(key=key, **values)
    await tx.execute(insert.on_conflict_do_update(index_elements=["key"], set_=values))


async def delete(tx: AsyncConnection, key: str) -> bool:
    """Let file, environment or default decide again. False when the database did not decide it."""
    return bool((await tx.execute(settings.delete().where(settings.c.key == key))).rowcount)
