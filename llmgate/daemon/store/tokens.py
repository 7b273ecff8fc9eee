"""Registration tokens: whoever holds one may make an account, a stated number of times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Column, ColumnElement, Integer, Table, and_, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.auth.principals import Role
from llmgate.daemon.ids import new_id
from llmgate.daemon.store import checks, sql
from llmgate.daemon.store.types import Text, UtcDateTime, columns_of, metadata, utc_now, word
from llmgate.errors import AuthenticationFailed, Conflict, InvalidRequest, NotFound

tokens = Table(
    "registration_tokens",
    metadata,
    Column("id", Text(26), primary_key=True),
    Column("digest", Text(64), nullable=False, unique=True),
    Column("label", Text(200), nullable=False),
    Column("role", word(Role), nullable=False),
    Column("level", Integer),
    Column("max_uses", Integer, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", Text(100)),
)

TokenState = Literal["usable", "used", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class RegistrationToken:
    """A token without its secret. Who registers with it gets ``role`` and ``level``."""

    id: str
    label: str
    role: Role
    level: int | None
    max_uses: int
    uses: int
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime
    created_by: str | None


_COLUMNS = columns_of(tokens, RegistrationToken)


async def create(
    tx: AsyncConnection,
    *,
    digest: str,
    label: str = "",
    role: Role = Role.USER,
    level: int | None = None,
    max_uses: int = 1,
    expires_at: datetime | None = None,
    created_by: str | None = None,
) -> RegistrationToken:
    if not 1 <= max_uses <= 100_000:
        raise InvalidRequest("A token can be used 1 to 100,000 times.", param="max_uses")
    token = RegistrationToken(
        id=new_id(),
        label=checks.label(label),
        role=role,
        level=checks.level(level),
        max_uses=max_uses,
        uses=0,
        expires_at=expires_at,
        revoked_at=None,
        created_at=utc_now(),
        created_by=created_by,
    )
    values = {column.name: getattr(token, column.name) for column in _COLUMNS}
    await tx.execute(tokens.insert().values(**values, digest=digest))
    return token


async def get(tx: AsyncConnection, token_id: str) -> RegistrationToken:
    row = (await tx.execute(select(*_COLUMNS).where(tokens.c.id == token_id))).first()
    if row is None:
        raise _missing()
    return RegistrationToken(*row)


async def page(
    tx: AsyncConnection,
    *,
    after: str | None = None,
    limit: int = 100,
    state: TokenState | None = None,
    created_by: str | None = None,
) -> list[RegistrationToken]:
    """Tokens in the order of their creation, behind the one with the id ``after``; of a state, made by whom."""
    statement = select(*_COLUMNS).order_by(tokens.c.id).limit(limit)
    if after is not None:
        statement = statement.where(tokens.c.id > after)
    if state is not None:
        statement = statement.where(_is(state))
    if created_by is not None:
        statement = statement.where(tokens.c.created_by == created_by)
    return [RegistrationToken(*row) for row in await tx.execute(statement)]


async def revoke(tx: AsyncConnection, token_id: str) -> RegistrationToken:
    """End a token for good. Conflict when it is revoked already."""
    active = (tokens.c.id == token_id, tokens.c.revoked_at.is_(None))
    result = await tx.execute(tokens.update().where(*active).values(revoked_at=utc_now()))
    token = await get(tx, token_id)
    if not result.rowcount:
        raise Conflict("The token is revoked already.")
    return token


async def delete(tx: AsyncConnection, token_id: str) -> None:
    if not (await tx.execute(tokens.delete().where(tokens.c.id == token_id))).rowcount:
        raise _missing()


async def usable_id(tx: AsyncConnection, digest: str) -> str | None:
    """The token's id if ``take`` would succeed now; a cheap look before the expensive hashing of a password."""
    found: str | None = await tx.scalar(select(tokens.c.id).where(_usable(digest)))
    return found


async def take(tx: AsyncConnection, digest: str) -> RegistrationToken:
    """Use the token once, atomically. AuthenticationFailed when it is spent, expired, revoked or unknown."""
    statement = tokens.update().where(_usable(digest)).values(uses=tokens.c.uses + 1).returning(*_COLUMNS)
    row: Any = (await tx.execute(statement)).first()
    if row is None:
        raise AuthenticationFailed("The registration token is not valid.", hint="Ask an administrator for a new one.")
    return RegistrationToken(*row)


async def delete_ended(tx: AsyncConnection, before: datetime, limit: int) -> int:
    """Forget at most ``limit`` of the tokens that were revoked or expired before then, and of those that were made
    before then and are used up; returns how many."""
    used_up = and_(tokens.c.uses >= tokens.c.max_uses, tokens.c.created_at < before)
    ended = or_(tokens.c.revoked_at < before, tokens.c.expires_at < before, used_up)
    return await sql.delete_some(tx, tokens, ended, limit)


def _usable(digest: str) -> ColumnElement[bool]:
    return and_(tokens.c.digest == digest, _is("usable"))


def _is(state: TokenState) -> ColumnElement[bool]:
    """A token is in exactly one state: what ended it for good counts before what may also be the case."""
    revoked, used_up = tokens.c.revoked_at.is_not(None), tokens.c.uses >= tokens.c.max_uses
    expired = and_(tokens.c.expires_at.is_not(None), tokens.c.expires_at <= utc_now())
    match state:
        case "revoked":
            return revoked
        case "used":
            return and_(not_(revoked), used_up)
        case "expired":
            return and_(not_(revoked), not_(used_up), expired)
        case "usable":
            return and_(not_(revoked), not_(used_up), not_(expired))


def _missing() -> NotFound:
    return NotFound("There is no such registration token.")
