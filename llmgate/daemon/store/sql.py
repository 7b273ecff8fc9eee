"""Small pieces of SQL that several nouns share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, select, text, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.errors import Conflict, InvalidRequest


def insert(tx: AsyncConnection, table: Table) -> postgresql.Insert:
    """An INSERT that knows ON CONFLICT, for the database of this transaction."""
    return insert_of(tx.dialect.name, table)


def insert_of(dialect: str, table: Table) -> postgresql.Insert:
    """An INSERT that knows ON CONFLICT, which both databases spell alike but SQLAlchemy keeps in their dialects."""
    if dialect == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)  # type: ignore[return-value]  # the same methods, without a common base


@contextmanager
def conflict(message: str, *, hint: str | None = None) -> Iterator[None]:
    """Turn a violated unique index into Conflict. The transaction is lost then, on PostgreSQL."""
    try:
        yield
    except IntegrityError:
        raise Conflict(message, hint=hint) from None


async def cursor_value(tx: AsyncConnection, key: Column[str], order: Column[Any], after: str) -> Any:
    """Where the row with this key stands in the order of a listing; InvalidRequest when it is gone."""
    row = (await tx.execute(select(order).where(key == after))).first()
    if row is None:
        raise InvalidRequest("The listing cannot go on from there.", hint="Start again at the first page.")
    return row[0]


async def delete_some(tx: AsyncConnection, table: Table, condition: ColumnElement[bool], limit: int) -> int:
    """Delete at most ``limit`` of the rows for which it holds; returns how many. SQL has no DELETE … LIMIT."""
    key = list(table.primary_key)
    some = select(*key).where(condition).limit(limit)
    return (await tx.execute(table.delete().where(tuple_(*key).in_(some)))).rowcount


async def alone(tx: AsyncConnection, key: int) -> bool:
    """Whether this transaction is the only one, until it ends, that does what ``key`` stands for.

    SQLite has one writer anyhow.
    """
    if tx.dialect.name != "postgresql":
        return True
    return bool(await tx.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": key}))
