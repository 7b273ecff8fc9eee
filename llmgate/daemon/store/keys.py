"""API keys. What is kept is a digest; the key itself is shown once, when it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    bindparam,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.auth.principals import Role
from llmgate.daemon.store import checks, sql, users
from llmgate.daemon.store.types import StringList, Text, UtcDateTime, columns_of, metadata, utc_now, word
from llmgate.errors import Conflict, InvalidRequest, NotFound

keys = Table(
    "api_keys",
    metadata,
    Column("id", Text(10), primary_key=True),
    Column("digest", Text(64), nullable=False, unique=True),
    Column("name", Text(40), nullable=False),
    Column("user_id", Text(26), ForeignKey("users.id", ondelete="CASCADE")),
    Column("role", word(Role), nullable=False),
    Column("level", Integer),
    Column("models", StringList),
    Column("weight", Double, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime),
    Column("last4", Text(4), nullable=False),
    Column("routes", StringList),
    Column("cidrs", StringList),
    Column("requests_per_minute", Integer),
    Column("tokens_per_minute", BigInteger),
    Column("max_concurrent", Integer),
    Column("max_waiting", Integer),
    Column("tokens_per_day", BigInteger),
    Column("tokens_per_month", BigInteger),
    Column("previous_digest", Text(64)),
    Column("previous_until", UtcDateTime),
    Column("rotated_at", UtcDateTime),
    Index(None, "user_id"),
    Index(None, "created_at", "id"),
    Index(None, "previous_digest", unique=True),
)
# A revoked key gives its name free for its successor.
Index(
    "uq_api_keys_active_name",
    keys.c.name,
    unique=True,
    sqlite_where=text("revoked_at IS NULL"),
    postgresql_where=text("revoked_at IS NULL"),
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret.

    ``level`` is None where the setting ``levels.api_key`` decides, ``models`` None where every model is allowed,
    ``user_id`` None for a key that belongs to no person. ``weight`` is its share among flows of one level.
    """

    id: str
    name: str
    user_id: str | None
    role: Role
    level: int | None
    models: list[str] | None
    weight: float
    expires_at: datetime | None
    revoked_at: datetime | None
    disabled: bool
    created_at: datetime
    last_used_at: datetime | None
    last4: str

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and not self.disabled and (self.expires_at is None or now < self.expires_at)


class KeyChanges(TypedDict, total=False):
    name: str
    role: Role
    level: int | None
    models: list[str] | None
    weight: float
    expires_at: datetime | None
    disabled: bool


_COLUMNS = columns_of(keys, ApiKey)


async def create(
    tx: AsyncConnection,
    *,
    key_id: str,
    digest: str,
    last4: str,
    name: str,
    user_id: str | None = None,
    role: Role = Role.USER,
    level: int | None = None,
    models: Sequence[str] | None = None,
    weight: float = 1.0,
    expires_at: datetime | None = None,
) -> ApiKey:
    """Add a key. NotFound: no such user; Conflict: a key that is not revoked has this name."""
    if user_id is not None:
        await users.get(tx, user_id)
    key = ApiKey(
        id=key_id,
        name=checks.key_name(name),
        user_id=user_id,
        role=role,
        level=checks.level(level),
        models=list(models) if models is not None else None,
        weight=_weight(weight),
        expires_at=expires_at,
        revoked_at=None,
        disabled=False,
        created_at=utc_now(),
        last_used_at=None,
        last4=last4,
    )
    values = {column.name: getattr(key, column.name) for column in _COLUMNS}
    with sql.conflict(f"There is already a key named {name!r}.", hint="Revoke it first, or choose another name."):
        await tx.execute(keys.insert().values(**values, digest=digest))
    return key


async def by_digest(tx: AsyncConnection, digest: str) -> ApiKey:
    """The key with this digest, whatever its state; NotFound."""
    return _key((await tx.execute(select(*_COLUMNS).where(keys.c.digest == digest))).first())


async def get(tx: AsyncConnection, key_id: str) -> ApiKey:
    return _key((await tx.execute(select(*_COLUMNS).where(keys.c.id == key_id))).first())


async def resolve(tx: AsyncConnection, id_or_name: str) -> ApiKey:
    """The key with this id, or the one with this name: the active one before revoked ones."""
    try:
        return await get(tx, id_or_name)
    except NotFound:
        statement = select(*_COLUMNS).where(keys.c.name == id_or_name)
        newest_first = statement.order_by(keys.c.revoked_at.is_not(None), keys.c.created_at.desc()).limit(1)
        return _key((await tx.execute(newest_first)).first())


async def page(
    tx: AsyncConnection,
    *,
    after: str | None = None,
    limit: int = 100,
    search: str | None = None,
    user_id: str | None = None,
) -> list[ApiKey]:
    """Keys in the order of their creation, behind the one with the id ``after``; ``search`` is part of a name."""
    statement = select(*_COLUMNS).order_by(keys.c.created_at, keys.c.id).limit(limit)
    if after is not None:
        created_at = await sql.cursor_value(tx, keys.c.id, keys.c.created_at, after)
        statement = statement.where(tuple_(keys.c.created_at, keys.c.id) > tuple_(created_at, after))
    if search:
        statement = statement.where(keys.c.name.contains(search.lower(), autoescape=True))
    if user_id is not None:
        statement = statement.where(keys.c.user_id == user_id)
    return [ApiKey(*row) for row in await tx.execute(statement)]


async def update(tx: AsyncConnection, key_id: str, **changes: Unpack[KeyChanges]) -> ApiKey:
    """Change what is named. Conflict: the name is taken."""
    if "name" in changes:
        checks.key_name(changes["name"])
    if "level" in changes:
        checks.level(changes["level"])
    if "weight" in changes:
        _weight(changes["weight"])
    values: dict[str, Any] = {**changes}
    if values:
        with sql.conflict(f"There is already a key named {values.get('name')!r}."):
            await tx.execute(keys.update().where(keys.c.id == key_id).values(**values))
    return await get(tx, key_id)


async def revoke(tx: AsyncConnection, key_id: str) -> ApiKey:
    """End a key for good. Conflict when it is revoked already."""
    active = (keys.c.id == key_id, keys.c.revoked_at.is_(None))
    result = await tx.execute(keys.update().where(*active).values(revoked_at=utc_now()))
    key = await get(tx, key_id)
    if not result.rowcount:
        raise Conflict(f"The key {key.name!r} is revoked already.")
    return key


async def delete(tx: AsyncConnection, key_id: str) -> None:
    if not (await tx.execute(keys.delete().where(keys.c.id == key_id))).rowcount:
        raise _missing()


async def touch_used(tx: AsyncConnection, used: Mapping[str, datetime]) -> None:
    """Note when keys were last used; an older time never replaces a newer one."""
    if not used:
        return
    when = bindparam("used_at", type_=UtcDateTime())
    statement = (
        keys.update()
        .where(keys.c.id == bindparam("key_id"), or_(keys.c.last_used_at.is_(None), keys.c.last_used_at < when))
        .values(last_used_at=when)
    )
    # One order for all daemons, so that their transactions cannot wait for each other in a circle.
    await tx.execute(statement, [{"key_id": key_id, "used_at": used[key_id]} for key_id in sorted(used)])


def _weight(value: float) -> float:
    if not 0.01 <= value <= 100:
        raise InvalidRequest("The weight must be 0.01 to 100.", hint="1 is an ordinary share.", param="weight")
    return value


def _key(row: Any) -> ApiKey:
    if row is None:
        raise _missing()
    return ApiKey(*row)


def _missing() -> NotFound:
    return NotFound("There is no such key.")
