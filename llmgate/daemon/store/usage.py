"""Usage: hourly sums per principal, level and model, kept after the single requests are forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    Double,
    Index,
    Integer,
    Table,
    case,
    func,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.auth.principals import PrincipalKind
from llmgate.daemon.events import RequestFinished
from llmgate.daemon.queue.ticket import Outcome
from llmgate.daemon.store import sql
from llmgate.daemon.store.types import Text, UtcDateTime, metadata, storable

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

_GROUP = ("hour", "principal_kind", "principal_id", "level", "model")
_SUMS = ("requests", "errors", "input_tokens", "output_tokens", "wait_seconds")
_NO_FAULT = {Outcome.CLIENT_DISCONNECTED, Outcome.CANCELLED_IN_QUEUE}


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


async def delete_before(tx: AsyncConnection, when: datetime, limit: int) -> int:
    """Forget at most ``limit`` sums of hours that ended before then; returns how many."""
    return await sql.delete_some(tx, usage, usage.c.hour <= when - timedelta(hours=1), limit)


async def spent(tx: AsyncConnection, kind: PrincipalKind, ids: Sequence[str], day: date) -> dict[str, tuple[int, int]]:
    """Input and output tokens of these principals, by id: of this UTC day, and of its month up to now."""
    tokens = usage.c.input_tokens + usage.c.output_tokens
    month_begins = datetime(day.year, day.month, 1, tzinfo=UTC)
    statement = (
        select(usage.c.principal_id, func.sum(case((usage.c.day >= day, tokens), else_=0)), func.sum(tokens))
        .where(usage.c.principal_kind == kind.value, usage.c.principal_id.in_(ids), usage.c.hour >= month_begins)
        .group_by(usage.c.principal_id)
    )
    return {row[0]: (int(row[1]), int(row[2])) for row in await tx.execute(statement)}


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


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _has_failed(event: RequestFinished) -> bool:
    return event.outcome not in _NO_FAULT and (event.outcome is not Outcome.COMPLETED or event.status >= 400)
