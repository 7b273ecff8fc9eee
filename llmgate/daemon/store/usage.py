"""Usage: hourly sums per principal, level and model, kept after the single requests are forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Date,
    Double,
    Index,
    Integer,
    RowMapping,
    Select,
    String,
    Table,
    and_,
    cast,
    func,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.auth.principals import PrincipalKind
from llmgate.daemon.events import RequestFinished
from llmgate.daemon.queue.ticket import Outcome
from llmgate.daemon.store import sql
from llmgate.daemon.store.types import Text, UtcDateTime, metadata, storable
from llmgate.daemon.store.users import users

usage = Table(
    "usage",
    metadata,
    Column("hour", UtcDateTime, primary_key=True),
    Column("principal_kind", Text(20), primary_key=True),
    Column("principal_id", Text(100), primary_key=True),
    Column("level", Integer, primary_key=True),
    Column("model", Text(200), primary_key=True),
    # SQLite and PostgreSQL have no common way to cut an hour to its day.
    Column("day", Date, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("wait_seconds", Double, nullable=False),
    Index(None, "principal_kind", "principal_id", "hour"),
)

usage_principals = Table(
    "usage_principals",
    metadata,
    Column("kind", Text(20), primary_key=True),
    Column("id", Text(100), primary_key=True),
    Column("name", Text(200), nullable=False),
    Column("user_id", Text(26)),
)
"""Whom the sums belong to, by the last name known; it outlives the key or the user."""

GroupBy = Literal["principal", "user", "key", "model", "hour", "day", "level"]

_GROUP = ("hour", "principal_kind", "principal_id", "level", "model")
_SUMS = ("requests", "errors", "input_tokens", "output_tokens", "wait_seconds")
_NO_FAULT = {Outcome.CLIENT_DISCONNECTED, Outcome.CANCELLED_IN_QUEUE}


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One group's sums. ``key`` identifies the group (``key:1a2b``, a user's id, a model, a level, an ISO hour or
    day), ``name`` is for people. ``errors`` are requests that failed through no act of the client's.
    """

    key: str
    name: str
    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    wait_seconds: float


async def add(tx: AsyncConnection, finished: Sequence[RequestFinished]) -> None:
    """Add requests to the sums. Call it with what ``requests.insert_many`` returned, so that none counts twice."""
    if not finished:
        return
    sums: dict[tuple[Any, ...], dict[str, Any]] = {}
    principals: dict[tuple[str, str], dict[str, Any]] = {}
    for event in finished:
        # As the column will hold the model's name: two odd names may become the same one.
        hour, model = _hour(event.finished_at), storable(event.model, 200)
        group = (hour, event.principal_kind, event.principal_id, event.submitted_level, model)
        row = sums.get(group)
        if row is None:
            row = sums[group] = {**dict(zip(_GROUP, group, strict=True)), "day": hour.date(), **dict.fromkeys(_SUMS, 0)}
        row["requests"] += 1
        row["errors"] += _has_failed(event)
        row["input_tokens"] += event.input_tokens or 0
        row["output_tokens"] += event.output_tokens or 0
        row["wait_seconds"] += event.wait
        who = (event.principal_kind, event.principal_id)
        principals[who] = {"kind": who[0], "id": who[1], "name": event.principal_name, "user_id": event.user_id}
    # Sorted: one order for all daemons, so that their transactions cannot wait for each other in a circle.
    dialect = tx.dialect.name
    await tx.execute(_add_sums(dialect), [sums[group] for group in sorted(sums)])
    await tx.execute(_remember_names(dialect), [principals[who] for who in sorted(principals)])


@cache  # building a statement costs as much as writing ten rows
def _add_sums(dialect: str) -> postgresql.Insert:
    insert = sql.insert_of(dialect, usage)
    added: Mapping[str, Any] = {name: usage.c[name] + insert.excluded[name] for name in _SUMS}
    return insert.on_conflict_do_update(index_elements=list(usage.primary_key), set_=added)


@cache
def _remember_names(dialect: str) -> postgresql.Insert:
    insert = sql.insert_of(dialect, usage_principals)
    latest = {"name": insert.excluded.name, "user_id": insert.excluded.user_id}
    return insert.on_conflict_do_update(index_elements=list(usage_principals.primary_key), set_=latest)


async def summary(
    tx: AsyncConnection,
    *,
    group_by: GroupBy,
    since: datetime,
    until: datetime,
    principal: str | None = None,
    model: str | None = None,
) -> list[UsageRow]:
    """Sums of the hours that begin in [since, until): times in their order, other groups with most requests first.

    ``principal`` (as in ``key:1a2b``) and ``model`` narrow it. Grouped by "user", what belongs to no user is summed
    under the key "-"; grouped by "key", only API keys count.
    """
    key, name = _group(group_by)
    sums = [func.sum(usage.c[column]).label(column) for column in _SUMS]
    statement = _joined(select(key.label("key"), func.max(name).label("name"), *sums))
    statement = statement.where(usage.c.hour >= since, usage.c.hour < until).group_by(key)
    if principal is not None:
        kind, _, principal_id = principal.partition(":")
        statement = statement.where(usage.c.principal_kind == kind, usage.c.principal_id == principal_id)
    if model is not None:
        statement = statement.where(usage.c.model == model)
    if group_by == "key":
        statement = statement.where(usage.c.principal_kind == PrincipalKind.KEY.value)
    in_order = [key] if group_by in ("hour", "day", "level") else [func.sum(usage.c.requests).desc(), key]
    rows = await tx.execute(statement.order_by(*in_order))
    return [_usage_row(row) for row in rows.mappings()]


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
    key = row["key"]
    text = key.isoformat() if isinstance(key, date) else str(key)
    return UsageRow(
        key=text,
        name=row["name"] or text,
        requests=int(row["requests"]),
        errors=int(row["errors"]),
        input_tokens=int(row["input_tokens"]),
        output_tokens=int(row["output_tokens"]),
        wait_seconds=float(row["wait_seconds"]),
    )


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _has_failed(event: RequestFinished) -> bool:
    return event.outcome not in _NO_FAULT and (event.outcome is not Outcome.COMPLETED or event.status >= 400)
