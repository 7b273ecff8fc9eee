"""The log of single requests: who asked for what, how it ended, how long it took. Never what was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Double,
    Index,
    Integer,
    Table,
    insert,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.auth.principals import PrincipalKind
from llmgate.daemon.events import RequestFinished
from llmgate.daemon.queue.ticket import Outcome
from llmgate.daemon.store import sql
from llmgate.daemon.store.types import Text, UtcDateTime, columns_of, metadata, word

requests = Table(
    "requests",
    metadata,
    Column("request_id", Text(100), primary_key=True),
    Column("finished_at", UtcDateTime, nullable=False),
    Column("principal_kind", Text(20), nullable=False),
    Column("principal_id", Text(100), nullable=False),
    Column("principal_name", Text(200), nullable=False),
    Column("user_id", Text(26)),
    Column("protocol", Text(20), nullable=False),
    Column("route", Text(200), nullable=False),
    Column("model", Text(200), nullable=False),
    Column("pool", Text(40)),
    Column("upstream", Text(40)),
    Column("submitted_level", Integer, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("outcome", word(Outcome), nullable=False),
    Column("status", Integer, nullable=False),
    Column("error_code", Text(100)),
    Column("wait", Double, nullable=False),
    Column("first_byte", Double),
    Column("duration", Double, nullable=False),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Index(None, "finished_at", "request_id"),
    Index(None, "principal_kind", "principal_id", "finished_at", "request_id"),
    Index(None, "model", "finished_at", "request_id"),
    Index(None, "outcome", "finished_at", "request_id"),
    Index(None, "user_id", "finished_at", "request_id"),
    Index(None, "submitted_level", "finished_at", "request_id"),
    Index(None, "upstream", "finished_at", "request_id"),
)

_COLUMNS = columns_of(requests, RequestFinished)


_values = attrgetter(*(column.name for column in _COLUMNS))
_names = tuple(column.name for column in _COLUMNS)


async def insert_many(tx: AsyncConnection, finished: Sequence[RequestFinished]) -> list[RequestFinished]:
    """Log requests. Returns those that were new, so that a batch may be written again after an unclear failure.

    One question and one plain INSERT for all: RETURNING would cost six times as much for each row.
    """
    if not finished:
        return []
    fresh = {event.request_id: event for event in finished}
    logged = await tx.execute(select(requests.c.request_id).where(requests.c.request_id.in_(_padded(list(fresh)))))
    for request_id in logged.scalars():
        del fresh[request_id]
    events = list(fresh.values())
    if events:
        rows = [dict(zip(_names, _values(event), strict=True)) for event in events]
        await tx.execute(insert(requests), rows)
    return events


def _padded(ids: list[str]) -> list[str]:
    """As many as a power of two, the last one repeated: of a statement each connection keeps, for long, every form that
    it has seen, and a list of a hundred lengths has a hundred."""
    return ids + ids[-1:] * ((1 << (len(ids) - 1).bit_length()) - len(ids))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which requests are asked for; None stands for all. ``owner`` is a principal's, as in ``key:1a2b``; ``user`` and
    ``key`` are ids, ``level`` is the submitted one. They ended in [since, until)."""

    owner: str | None = None
    user: str | None = None
    key: str | None = None
    model: str | None = None
    outcome: Outcome | None = None
    level: int | None = None
    upstream: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        owner = self.owner if self.key is None else f"{PrincipalKind.KEY}:{self.key}"
        if owner is not None:
            kind, _, principal_id = owner.partition(":")
            found += [requests.c.principal_kind == kind, requests.c.principal_id == principal_id]
        same = {
            "user_id": self.user,
            "model": self.model,
            "outcome": self.outcome,
            "submitted_level": self.level,
            "upstream": self.upstream,
        }
        found += [requests.c[column] == value for column, value in same.items() if value is not None]
        if self.since is not None:
            found.append(requests.c.finished_at >= self.since)
        if self.until is not None:
            found.append(requests.c.finished_at < self.until)
        return found


ALL = Wanted()


async def page(
    tx: AsyncConnection, *, after: str | None = None, limit: int = 100, wanted: Wanted = ALL
) -> list[RequestFinished]:
    """Requests, newest first, behind the one with the id ``after``."""
    statement = select(*_COLUMNS).order_by(requests.c.finished_at.desc(), requests.c.request_id.desc()).limit(limit)
    if after is not None:
        finished_at = await sql.cursor_value(tx, requests.c.request_id, requests.c.finished_at, after)
        place = tuple_(requests.c.finished_at, requests.c.request_id)
        statement = statement.where(place < tuple_(finished_at, after))
    rows = await tx.execute(statement.where(*wanted.conditions()))
    return [RequestFinished(*row) for row in rows]


async def delete_before(tx: AsyncConnection, when: datetime, limit: int) -> int:
    """Forget at most ``limit`` of the requests that ended before then; returns how many."""
    return await sql.delete_some(tx, requests, requests.c.finished_at < when, limit)
