"""Idempotency keys: a creation that is asked for again, because its answer was lost, is not carried out again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.store import sql
from llmgate.daemon.store.types import Text, UtcDateTime, metadata, utc_now

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("owner", Text(100), primary_key=True),
    Column("key", Text(200), primary_key=True),
    Column("request_hash", Text(64), nullable=False),
    Column("target_id", Text(200), nullable=False),
    Column("answer", Text(100_000)),
    Column("created_at", UtcDateTime, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Done:
    """What a request with this key has made. ``answer`` is None where it held a secret."""

    request_hash: str
    target_id: str
    answer: str | None


async def find(tx: AsyncConnection, owner: str, key: str) -> Done | None:
    table = idempotency_keys
    statement = select(table.c.request_hash, table.c.target_id, table.c.answer)
    row = (await tx.execute(statement.where(table.c.owner == owner, table.c.key == key))).first()
    return Done(*row) if row is not None else None


async def remember(tx: AsyncConnection, owner: str, key: str, done: Done) -> None:
    values = {"request_hash": done.request_hash, "target_id": done.target_id, "answer": done.answer}
    await tx.execute(idempotency_keys.insert().values(owner=owner, key=key, created_at=utc_now(), **values))


async def forget_before(tx: AsyncConnection, when: datetime, limit: int) -> int:
    """Forget at most ``limit`` of the keys that were used before then; returns how many."""
    return await sql.delete_some(tx, idempotency_keys, idempotency_keys.c.created_at < when, limit)
