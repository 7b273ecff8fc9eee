"""Sessions of logged-in users: one row each, checked on every use, so that revoking is immediate."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Column, ForeignKey, Index, Table, and_, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.store import sql
from llmgate.daemon.store.types import Text, UtcDateTime, columns_of, metadata, utc_now
from llmgate.daemon.store.users import users
from llmgate.errors import NotFound

_AT_ONCE = 500
"""Ids in one question to the database, and sessions that one login ends."""

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text(26), primary_key=True),
    Column("user_id", Text(26), ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Column("refresh_hash", Text(64), nullable=False, unique=True),
    Column("previous_hash", Text(64)),
    Column("rotated_at", UtcDateTime),
    Column("client", Text(200), nullable=False),
    Column("address", Text(64), nullable=False),
    Index(None, "user_id", "id"),
)


@dataclass(frozen=True, slots=True)
class Session:
    """A login. ``refresh_hash`` is the digest of the refresh token that is valid now, ``previous_hash`` of the
    one before; ``client`` is what the browser or program called itself.
    """

    id: str
    user_id: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    refresh_hash: str = field(repr=False)
    previous_hash: str | None = field(repr=False)
    rotated_at: datetime | None
    client: str
    address: str

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and now < self.expires_at


_COLUMNS = columns_of(sessions, Session)


async def create(
    tx: AsyncConnection,
    *,
    session_id: str,
    user_id: str,
    refresh_hash: str,
    now: datetime,
    expires_at: datetime,
    client: str,
    address: str,
) -> Session:
    session = Session(session_id, user_id, now, now, expires_at, None, refresh_hash, None, None, client, address)
    await tx.execute(sessions.insert().values({column.name: getattr(session, column.name) for column in _COLUMNS}))
    return session


async def get(tx: AsyncConnection, session_id: str) -> Session:
    row = (await tx.execute(select(*_COLUMNS).where(sessions.c.id == session_id))).first()
    if row is None:
        raise NotFound("There is no such session.")
    return Session(*row)


async def alive(tx: AsyncConnection, session_ids: Collection[str], now: datetime) -> set[str]:
    """Those of these sessions that are live, and whose users are not disabled."""
    found: set[str] = set()
    good = (sessions.c.revoked_at.is_(None), sessions.c.expires_at > now, users.c.disabled.is_(False))
    statement = select(sessions.c.id).join(users, users.c.id == sessions.c.user_id).where(*good)
    wanted = list(session_ids)
    for start in range(0, len(wanted), _AT_ONCE):
        some = sessions.c.id.in_(wanted[start : start + _AT_ONCE])
        found.update((await tx.execute(statement.where(some))).scalars())
    return found


async def of_user(tx: AsyncConnection, user_id: str) -> list[Session]:
    """The live sessions of a user, newest first."""
    live = (sessions.c.user_id == user_id, sessions.c.revoked_at.is_(None), sessions.c.expires_at > utc_now())
    statement = select(*_COLUMNS).where(*live).order_by(sessions.c.id.desc())
    return [Session(*row) for row in await tx.execute(statement)]


async def page(
    tx: AsyncConnection,
    *,
    after: str | None = None,
    limit: int = 100,
    user_id: str | None = None,
    live: bool | None = None,
) -> list[Session]:
    """Sessions, the latest login first, behind the one with the id ``after``; of a user, and live or ended ones."""
    statement = select(*_COLUMNS).order_by(sessions.c.id.desc()).limit(limit)
    if after is not None:
        statement = statement.where(sessions.c.id < after)
    if user_id is not None:
        statement = statement.where(sessions.c.user_id == user_id)
    if live is not None:
        is_live = and_(sessions.c.revoked_at.is_(None), sessions.c.expires_at > utc_now())
        statement = statement.where(is_live if live else not_(is_live))
    return [Session(*row) for row in await tx.execute(statement)]


async def rotate(tx: AsyncConnection, session_id: str, *, old_hash: str, new_hash: str, now: datetime) -> bool:
    """Replace the refresh token. False when ``old_hash`` is not the valid one (any more), or the session ended."""
    statement = (
        sessions.update()
        .where(
            sessions.c.id == session_id,
            sessions.c.refresh_hash == old_hash,
            sessions.c.revoked_at.is_(None),
            sessions.c.expires_at > now,
        )
        .values(refresh_hash=new_hash, previous_hash=old_hash, rotated_at=now, last_used_at=now)
    )
    return bool((await tx.execute(statement)).rowcount)


async def revoke(tx: AsyncConnection, session_id: str) -> bool:
    """End a session. False when there is none, or it was ended before."""
    live = (sessions.c.id == session_id, sessions.c.revoked_at.is_(None))
    return bool((await tx.execute(sessions.update().where(*live).values(revoked_at=utc_now()))).rowcount)


async def revoke_user(tx: AsyncConnection, user_id: str) -> int:
    """End every session of a user that has not expired; returns how many."""
    live = (sessions.c.user_id == user_id, sessions.c.revoked_at.is_(None), sessions.c.expires_at > utc_now())
    return (await tx.execute(sessions.update().where(*live).values(revoked_at=utc_now()))).rowcount


async def surplus(tx: AsyncConnection, user_id: str, most: int, now: datetime) -> list[Session]:
    """The live sessions of a user but for the ``most`` that were renewed last; as many as go at once."""
    live = (sessions.c.user_id == user_id, sessions.c.revoked_at.is_(None), sessions.c.expires_at > now)
    by_use = (sessions.c.last_used_at.desc(), sessions.c.id.desc())
    statement = select(*_COLUMNS).where(*live).order_by(*by_use).offset(most).limit(_AT_ONCE)
    return [Session(*row) for row in await tx.execute(statement)]


async def forget_surplus(tx: AsyncConnection, user_id: str, most: int, now: datetime) -> None:
    """Forget the ended sessions of a user but for the ``most`` that began last; as many as go at once."""
    ended = or_(sessions.c.revoked_at.is_not(None), sessions.c.expires_at <= now)
    older = select(sessions.c.id).where(sessions.c.user_id == user_id, ended).order_by(sessions.c.id.desc())
    await tx.execute(sessions.delete().where(sessions.c.id.in_(older.offset(most).limit(_AT_ONCE))))


async def delete_ended(tx: AsyncConnection, before: datetime, limit: int) -> int:
    """Forget at most ``limit`` of the sessions that expired or were revoked before then; returns how many."""
    ended = or_(sessions.c.expires_at < before, sessions.c.revoked_at < before)
    return await sql.delete_some(tx, sessions, ended, limit)
