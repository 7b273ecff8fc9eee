"""Usage, read: sums of the hours by one or two dimensions, narrowed to some of what was used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, RowMapping, Select, String, and_, cast, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.auth.principals import PrincipalKind
from llmgate.daemon.store.usage import usage, usage_principals
from llmgate.daemon.store.users import users

GroupBy = Literal["principal", "user", "key", "model", "hour", "day", "level"]

MOST_OWN = 5000
"""Databases take only so many parameters."""
SUMS = ("requests", "errors", "input_tokens", "output_tokens", "wait_seconds")
_IN_THEIR_ORDER = ("hour", "day", "level")


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One group's sums. ``key`` identifies the group (``key:1a2b``, a user's id, a model, a level, an ISO hour or
    day), ``name`` is for people; the same of the second dimension, None where there is none. ``errors`` are requests
    that failed through no act of the client's.
    """

    key: str
    name: str
    then_key: str | None
    then_name: str | None
    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What is counted; None stands for everything. ``principal`` is written like ``key:1a2b``, the others are ids;
    ``own`` are those of sessions and keys."""

    principal: str | None = None
    user: str | None = None
    key: str | None = None
    model: str | None = None
    level: int | None = None
    own: Sequence[str] | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.principal is not None:
            kind, _, principal_id = self.principal.partition(":")
            found += [usage.c.principal_kind == kind, usage.c.principal_id == principal_id]
        if self.key is not None:
            found += [usage.c.principal_kind == PrincipalKind.KEY.value, usage.c.principal_id == self.key]
        if self.own is not None:
            kinds = (PrincipalKind.KEY.value, PrincipalKind.SESSION.value)
            found += [usage.c.principal_kind.in_(kinds), usage.c.principal_id.in_(self.own)]
        if self.user is not None:
            found.append(usage_principals.c.user_id == self.user)
        if self.model is not None:
            found.append(usage.c.model == self.model)
        if self.level is not None:
            found.append(usage.c.level == self.level)
        return found


EVERYTHING = Narrowed()


async def summary(
    tx: AsyncConnection,
    *,
    group_by: GroupBy,
    then_by: GroupBy | None = None,
    since: datetime,
    until: datetime,
    narrowed: Narrowed = EVERYTHING,
    limit: int | None = None,
) -> list[UsageRow]:
    """Sums of the hours that begin in [since, until), at most ``limit`` of them.

    Times and levels come in their order, other groups with most requests first; with two dimensions the groups of the
    first stay together. Grouped by "user", what belongs to no user is summed under the key "-"; grouped by "key",
    only API keys count.
    """
    key, name = _group(group_by)
    groups = [key]
    shown = [key.label("key"), func.max(name).label("name")]
    if then_by is not None:
        then_key, then_name = _group(then_by)
        groups.append(then_key)
        shown += [then_key.label("then_key"), func.max(then_name).label("then_name")]
    sums = [func.sum(usage.c[column]).label(column) for column in SUMS]
    statement = _joined(select(*shown, *sums)).where(usage.c.hour >= since, usage.c.hour < until)
    statement = statement.where(*narrowed.conditions()).group_by(*groups)
    if "key" in (group_by, then_by):
        statement = statement.where(usage.c.principal_kind == PrincipalKind.KEY.value)
    rows = await tx.execute(statement.order_by(*_order(group_by, then_by, groups)).limit(limit))
    return [_usage_row(row) for row in rows.mappings()]


async def own(tx: AsyncConnection, user_id: str) -> list[str]:
    """Under which ids, of sessions and keys, this user has used something: at most ``MOST_OWN`` of them."""
    statement = select(usage_principals.c.id).where(usage_principals.c.user_id == user_id).limit(MOST_OWN)
    return list((await tx.execute(statement)).scalars())


def _order(group_by: GroupBy, then_by: GroupBy | None, groups: Sequence[ColumnElement[Any]]) -> list[Any]:
    most_first = func.sum(usage.c.requests).desc()
    if then_by is None:
        return [*groups] if group_by in _IN_THEIR_ORDER else [most_first, *groups]
    first, second = groups
    return [first, second] if then_by in _IN_THEIR_ORDER else [first, most_first, second]


def _joined(statement: Select[Any]) -> Select[Any]:
    """Add who a sum belongs to, and the user behind that."""
    who = and_(usage_principals.c.kind == usage.c.principal_kind, usage_principals.c.id == usage.c.principal_id)
    return statement.select_from(
        usage.outerjoin(usage_principals, who).outerjoin(users, users.c.id == usage_principals.c.user_id)
    )


def _group(group_by: GroupBy) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """What identifies a group, and what it is called."""
    match group_by:
        case "principal":
            return usage.c.principal_kind + ":" + usage.c.principal_id, usage_principals.c.name
        case "key":
            return usage.c.principal_id, usage_principals.c.name
        case "user":
            user_id = func.coalesce(usage_principals.c.user_id, literal("-"))
            return user_id, func.coalesce(users.c.name, user_id)
        case _:
            column: ColumnElement[Any] = usage.c[group_by]
            return column, cast(literal(""), String)


def _usage_row(row: RowMapping) -> UsageRow:
    key = _text(row["key"])
    then_key = _text(row["then_key"]) if "then_key" in row else None
    return UsageRow(
        key=key,
        name=row["name"] or key,
        then_key=then_key,
        then_name=None if then_key is None else row["then_name"] or then_key,
        requests=int(row["requests"]),
        errors=int(row["errors"]),
        input_tokens=int(row["input_tokens"]),
        output_tokens=int(row["output_tokens"]),
        wait_seconds=float(row["wait_seconds"]),
    )


def _text(key: Any) -> str:
    return key.isoformat() if isinstance(key, date) else str(key)
