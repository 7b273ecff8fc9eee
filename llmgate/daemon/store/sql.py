"""Small pieces of SQL that several nouns share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, Table, select
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
