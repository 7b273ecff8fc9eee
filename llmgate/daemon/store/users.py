"""Users."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import Boolean, Column, Integer, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.auth.principals import Role
from llmgate.daemon.ids import new_id
from llmgate.daemon.store import checks, instance, sql
from llmgate.daemon.store.types import Text, UtcDateTime, columns_of, metadata, utc_now, word
from llmgate.errors import Conflict, NotFound

users = Table(
    "users",
    metadata,
    Column("id", Text(26), primary_key=True),
    Column("name", Text(64), nullable=False),
    Column("name_key", Text(200), nullable=False, unique=True),
    Column("password_hash", Text(400)),
    Column("role", word(Role), nullable=False),
    Column("level", Integer),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("last_login_at", UtcDateTime),
)

_FIRST_ADMIN = "first_admin"
"""The row of ``instance`` that decides who is the first administrator, and that there was one."""


@dataclass(frozen=True, slots=True)
class User:
    """A person. ``level`` is None where the setting ``levels.user`` decides."""

    id: str
    name: str
    role: Role
    level: int | None
    disabled: bool
    created_at: datetime
    updated_at: datetime
    last_login_at: datetime | None


class UserChanges(TypedDict, total=False):
    name: str
    role: Role
    level: int | None
    disabled: bool


_COLUMNS = columns_of(users, User)


async def create(
    tx: AsyncConnection, *, name: str, password_hash: str | None, role: Role, level: int | None = None
) -> User:
    """Add a user; without a password it cannot log in. Conflict when the name is taken in any spelling."""
    now = utc_now()
    name = checks.user_name(name)
    user = User(new_id(), name, role, checks.level(level), False, now, now, None)
    values = {column.name: getattr(user, column.name) for column in _COLUMNS}
    with sql.conflict(_taken(name)):
        await tx.execute(users.insert().values(**values, name_key=_name_key(name), password_hash=password_hash))
    if role is Role.ADMIN:
        await instance.claim(tx, _FIRST_ADMIN, user.id)
    return user


async def check_free(tx: AsyncConnection, name: str) -> None:
    """Raises Conflict when the name is taken, in any spelling; a cheap look before the expensive hashing of a password.
    It is ``create`` that decides."""
    if await tx.scalar(select(users.c.id).where(users.c.name_key == _name_key(name))) is not None:
        raise Conflict(_taken(checks.user_name(name)))


async def create_first_admin(tx: AsyncConnection, *, name: str, password_hash: str) -> User:
    """Add the first administrator. Conflict when there is one, or ever was: one unique row decides."""
    if not await instance.claim(tx, _FIRST_ADMIN, name):
        raise Conflict("There is already an administrator.", hint="Log in as that one to add others.")
    return await create(tx, name=name, password_hash=password_hash, role=Role.ADMIN)


async def any_admin(tx: AsyncConnection) -> bool:
    """Whether there is, or ever was, an administrator."""
    return await instance.get(tx, _FIRST_ADMIN) is not None


async def administrators(tx: AsyncConnection) -> list[User]:
    """All of them, also the disabled ones, in the order of their creation."""
    statement = select(*_COLUMNS).where(users.c.role == Role.ADMIN).order_by(users.c.id)
    return [User(*row) for row in await tx.execute(statement)]


async def get(tx: AsyncConnection, user_id: str) -> User:
    row = (await tx.execute(select(*_COLUMNS).where(users.c.id == user_id))).first()
    if row is None:
        raise _missing()
    return User(*row)


async def by_name(tx: AsyncConnection, name: str) -> User:
    """The user of this name, in any spelling; NotFound."""
    row = (await tx.execute(select(*_COLUMNS).where(users.c.name_key == _name_key(name)))).first()
    if row is None:
        raise _missing()
    return User(*row)


async def resolve(tx: AsyncConnection, id_or_name: str) -> User:
    try:
        return await get(tx, id_or_name)
    except NotFound:
        return await by_name(tx, id_or_name)


async def names(tx: AsyncConnection, ids: set[str]) -> dict[str, str]:
    """Id → name of these users."""
    rows = await tx.execute(select(users.c.id, users.c.name).where(users.c.id.in_(ids)))
    return {row.id: row.name for row in rows}


async def page(
    tx: AsyncConnection, *, after: str | None = None, limit: int = 100, search: str | None = None
) -> list[User]:
    """Users in the order of their creation, behind the one with the id ``after``; ``search`` is part of a name."""
    statement = select(*_COLUMNS).order_by(users.c.id).limit(limit)
    if after is not None:
        statement = statement.where(users.c.id > after)
    if search:
        statement = statement.where(users.c.name_key.contains(_name_key(search), autoescape=True))
    return [User(*row) for row in await tx.execute(statement)]


async def update(tx: AsyncConnection, user_id: str, **changes: Unpack[UserChanges]) -> User:
    """Change what is named. Conflict: the name is taken, or it would leave no enabled administrator."""
    user = await get(tx, user_id)
    if changes.get("disabled") or changes.get("role", user.role) is not Role.ADMIN:
        await keep_an_admin(tx, user)
    values: dict[str, Any] = {**changes, "updated_at": utc_now()}
    if "level" in changes:
        checks.level(changes["level"])
    if "name" in changes:
        values["name"] = checks.user_name(changes["name"])
        values["name_key"] = _name_key(values["name"])
    with sql.conflict(_taken(values.get("name"))):
        await tx.execute(users.update().where(users.c.id == user_id).values(**values))
    if changes.get("role") is Role.ADMIN:
        await instance.claim(tx, _FIRST_ADMIN, user_id)
    return await get(tx, user_id)


async def delete(tx: AsyncConnection, user_id: str) -> None:
    """Remove the user with everything that is its own. Conflict for the last enabled administrator."""
    await keep_an_admin(tx, await get(tx, user_id))
    await tx.execute(users.delete().where(users.c.id == user_id))


async def password_hash(tx: AsyncConnection, user_id: str) -> str | None:
    value: str | None = await tx.scalar(select(users.c.password_hash).where(users.c.id == user_id))
    return value


async def set_password(tx: AsyncConnection, user_id: str, hashed: str) -> None:
    values = {"password_hash": hashed, "updated_at": utc_now()}
    result = await tx.execute(users.update().where(users.c.id == user_id).values(**values))
    if not result.rowcount:
        raise _missing()


async def touch_login(tx: AsyncConnection, user_id: str) -> None:
    await tx.execute(users.update().where(users.c.id == user_id).values(last_login_at=utc_now()))


async def keep_an_admin(tx: AsyncConnection, user: User) -> None:
    """Refuse to lose the last enabled administrator.

    The rows are locked, so that two administrators who remove each other at once cannot both succeed.
    """
    if user.role is not Role.ADMIN or user.disabled:
        return
    admins = select(users.c.id).where(users.c.role == Role.ADMIN, users.c.disabled.is_(False))
    rows = await tx.execute(admins.order_by(users.c.id).with_for_update())
    if {row.id for row in rows} <= {user.id}:
        raise Conflict(
            f"{user.name!r} is the last administrator who can log in.", hint="Make another user an administrator first."
        )


def _name_key(name: str) -> str:
    return checks.normalised(name).casefold()


def _taken(name: str | None) -> str:
    return f"There is already a user named {name!r}."


def _missing() -> NotFound:
    return NotFound("There is no such user.")
