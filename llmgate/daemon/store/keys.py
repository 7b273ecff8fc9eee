"""API keys. What is kept is a digest; the key itself is shown once, when it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypedDict, Unpack

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    bindparam,
    false,
    func,
    or_,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.auth.principals import UNLIMITED, Limits, Role
from llmgate.daemon.store import checks, sql, users
from llmgate.daemon.store.types import StringList, Text, UtcDateTime, metadata, utc_now, word
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
    Index(None, "user_id", "created_at", "id"),
    Index(None, "name"),
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


class KeyState(StrEnum):
    """What a key is good for. ``OWNER_DISABLED``: it is refused because its user is disabled."""

    ACTIVE = "active"
    OWNER_DISABLED = "owner_disabled"
    DISABLED = "disabled"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret.

    ``level`` is None where the setting ``levels.api_key`` decides; ``models``, ``routes`` and ``cidrs`` where all are
    allowed; ``user_id`` (and ``user``, the name) for a key that belongs to no person; a limit where there is none.
    ``weight`` is its share among flows of one level. After a rotation the secret before works until
    ``previous_until``.
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
    routes: list[str] | None = None
    cidrs: list[str] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrent: int | None = None
    max_waiting: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    rotated_at: datetime | None = None
    previous_until: datetime | None = None
    user: str | None = None
    user_disabled: bool = False

    def is_live(self, now: datetime) -> bool:
        return self.state_at(now) is KeyState.ACTIVE

    def state_at(self, now: datetime) -> KeyState:
        """What the key is good for; of several reasons why not, the one that is hardest to undo."""
        if self.revoked_at is not None:
            return KeyState.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return KeyState.EXPIRED
        if self.disabled:
            return KeyState.DISABLED
        return KeyState.OWNER_DISABLED if self.user_disabled else KeyState.ACTIVE

    @property
    def state(self) -> KeyState:
        return self.state_at(utc_now())

    @property
    def limits(self) -> Limits | None:
        """None when it has none at all."""
        limits = Limits(**{field.name: getattr(self, field.name) for field in fields(Limits)})
        return None if limits == UNLIMITED else limits


class KeyValues(TypedDict, total=False):
    role: Role
    level: int | None
    models: list[str] | None
    routes: list[str] | None
    cidrs: list[str] | None
    weight: float
    expires_at: datetime | None
    disabled: bool
    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_concurrent: int | None
    max_waiting: int | None
    tokens_per_day: int | None
    tokens_per_month: int | None


class KeyChanges(KeyValues, total=False):
    name: str


_OF_OWNER = {"user": users.users.c.name, "user_disabled": func.coalesce(users.users.c.disabled, false())}
_STORED = [field.name for field in fields(ApiKey) if field.name not in _OF_OWNER]
_ALL = select(*(keys.c[name] for name in _STORED), *_OF_OWNER.values()).select_from(keys.outerjoin(users.users))


async def create(
    tx: AsyncConnection,
    *,
    key_id: str,
    digest: str,
    last4: str,
    name: str,
    user_id: str | None = None,
    **more: Unpack[KeyValues],
) -> ApiKey:
    """Add a key. NotFound: no such user; Conflict: a key that is not revoked has this name."""
    owner = await users.get(tx, user_id) if user_id is not None else None
    wanted: dict[str, Any] = {"role": Role.USER, "level": None, "models": None, "weight": 1.0, "expires_at": None}
    wanted |= {"disabled": False, **_checked({**more, "name": name})}
    key = ApiKey(
        id=key_id,
        user_id=user_id,
        revoked_at=None,
        created_at=utc_now(),
        last_used_at=None,
        last4=last4,
        user=owner.name if owner else None,
        user_disabled=owner.disabled if owner else False,
        **wanted,
    )
    values = {name: getattr(key, name) for name in _STORED}
    with sql.conflict(f"There is already a key named {name!r}.", hint="Revoke it first, or choose another name."):
        await tx.execute(keys.insert().values(**values, digest=digest))
    return key


async def by_digest(tx: AsyncConnection, digest: str) -> ApiKey:
    """The key with this digest, whatever its state; NotFound."""
    return _key((await tx.execute(_ALL.where(keys.c.digest == digest))).first())


async def by_secret(tx: AsyncConnection, digest: str, now: datetime) -> tuple[ApiKey, datetime | None]:
    """The key whose secret, or the one before, has this digest, and until when that is good; NotFound."""
    try:
        return await by_digest(tx, digest), None
    except NotFound:
        before = (keys.c.previous_digest == digest, keys.c.previous_until > now)
        key = _key((await tx.execute(_ALL.where(*before))).first())
        return key, key.previous_until


async def get(tx: AsyncConnection, key_id: str) -> ApiKey:
    return _key((await tx.execute(_ALL.where(keys.c.id == key_id))).first())


async def resolve(tx: AsyncConnection, id_or_name: str) -> ApiKey:
    """The key with this id, or the one with this name: the active one before revoked ones."""
    try:
        return await get(tx, id_or_name)
    except NotFound:
        statement = _ALL.where(keys.c.name == id_or_name)
        newest_first = statement.order_by(keys.c.revoked_at.is_not(None), keys.c.created_at.desc()).limit(1)
        return _key((await tx.execute(newest_first)).first())


async def names(tx: AsyncConnection, ids: Iterable[str]) -> dict[str, tuple[str, str | None]]:
    """Id → name of these keys and, of a person's key, the person's name."""
    statement = select(keys.c.id, keys.c.name, users.users.c.name).select_from(keys.outerjoin(users.users))
    return {row[0]: (row[1], row[2]) for row in await tx.execute(statement.where(keys.c.id.in_(list(ids))))}


async def ids(tx: AsyncConnection, id_or_name: str | None = None, *, user_id: str | None = None) -> list[str]:
    """Ids of the keys of this name or id, and of this user: of all of them, since a name may be used again."""
    statement = select(keys.c.id)
    if id_or_name is not None:
        statement = statement.where(or_(keys.c.id == id_or_name, keys.c.name == id_or_name))
    if user_id is not None:
        statement = statement.where(keys.c.user_id == user_id)
    return list((await tx.execute(statement)).scalars())


async def count(tx: AsyncConnection, user_id: str) -> int:
    """How many keys of this user are neither revoked nor expired; those that are disabled may be enabled again."""
    lasting = or_(keys.c.expires_at.is_(None), keys.c.expires_at > utc_now())
    statement = select(func.count()).where(keys.c.user_id == user_id, keys.c.revoked_at.is_(None), lasting)
    return int(await tx.scalar(statement) or 0)


async def count_ended(tx: AsyncConnection, user_id: str) -> int:
    """How many keys of this user are revoked or expired, and not forgotten yet."""
    ended = or_(keys.c.revoked_at.is_not(None), keys.c.expires_at <= utc_now())
    return int(await tx.scalar(select(func.count()).where(keys.c.user_id == user_id, ended)) or 0)


async def delete_ended(tx: AsyncConnection, before: datetime, limit: int) -> int:
    """Forget at most ``limit`` of the keys that were revoked or expired before then; returns how many."""
    return await sql.delete_some(tx, keys, or_(keys.c.expires_at < before, keys.c.revoked_at < before), limit)


async def page(
    tx: AsyncConnection,
    *,
    after: str | None = None,
    limit: int = 100,
    search: str | None = None,
    user_id: str | None = None,
    role: Role | None = None,
    level: int | None = None,
    state: KeyState | None = None,
) -> list[ApiKey]:
    """Keys in the order of their creation, behind the one with the id ``after``; ``search`` is part of a name."""
    statement = _ALL.order_by(keys.c.created_at, keys.c.id).limit(limit)
    if after is not None:
        created_at = await sql.cursor_value(tx, keys.c.id, keys.c.created_at, after)
        statement = statement.where(tuple_(keys.c.created_at, keys.c.id) > tuple_(created_at, after))
    if search:
        statement = statement.where(keys.c.name.contains(search.lower(), autoescape=True))
    for column, value in ((keys.c.user_id, user_id), (keys.c.role, role), (keys.c.level, level)):
        if value is not None:
            statement = statement.where(column == value)
    if state is not None:
        statement = statement.where(*_in_state(state, utc_now()))
    return [ApiKey(*row) for row in await tx.execute(statement)]


def _in_state(state: KeyState, now: datetime) -> list[ColumnElement[bool]]:
    """As ``ApiKey.state_at`` decides."""
    if state is KeyState.REVOKED:
        return [keys.c.revoked_at.is_not(None)]
    found: list[ColumnElement[bool]] = [keys.c.revoked_at.is_(None)]
    if state is KeyState.EXPIRED:
        return [*found, keys.c.expires_at <= now]
    found.append(or_(keys.c.expires_at.is_(None), keys.c.expires_at > now))
    if state is KeyState.DISABLED:
        return [*found, keys.c.disabled.is_(True)]
    owner_disabled = _OF_OWNER["user_disabled"].is_(true())
    return [*found, keys.c.disabled.is_(False), owner_disabled if state is KeyState.OWNER_DISABLED else ~owner_disabled]


async def update(tx: AsyncConnection, key_id: str, **changes: Unpack[KeyChanges]) -> ApiKey:
    """Change what is named. Conflict: the name is taken."""
    values = _checked(changes)
    if values:
        with sql.conflict(f"There is already a key named {values.get('name')!r}."):
            await tx.execute(keys.update().where(keys.c.id == key_id).values(**values))
    return await get(tx, key_id)


async def rotate(tx: AsyncConnection, key_id: str, *, digest: str, last4: str, overlap: timedelta) -> ApiKey:
    """Give the key a new secret; the one before works for ``overlap``, one before that not any more. Conflict when
    the key is revoked."""
    key = await get(tx, key_id)
    if key.revoked_at is not None:
        raise Conflict(f"The key {key.name!r} is revoked.", hint="Create a new one.")
    now = utc_now()
    values: dict[str, Any] = {"digest": digest, "last4": last4, "rotated_at": now}
    values |= {
        "previous_digest": keys.c.digest if overlap else None,
        "previous_until": now + overlap if overlap else None,
    }
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


def _checked(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The values to store. Raises InvalidRequest."""
    values = dict(changes)
    for name, check in _CHECKS.items():
        if name in values:
            values[name] = check(values[name])
    return values


def _weight(value: float) -> float:
    if not 0.01 <= value <= 100:
        raise InvalidRequest("The weight must be 0.01 to 100.", hint="1 is an ordinary share.", param="weight")
    return value


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "name": checks.key_name,
    "level": checks.level,
    "weight": _weight,
    "cidrs": checks.networks,
}


def _key(row: Any) -> ApiKey:
    if row is None:
        raise _missing()
    return ApiKey(*row)


def _missing() -> NotFound:
    return NotFound("There is no such key.")
