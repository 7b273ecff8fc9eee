"""What a database is: its version, its size, the revision of its schema."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.store import schema


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """``size`` is in bytes; ``revision`` is None in a database without a schema."""

    version: str
    size: int
    revision: str | None


async def read(tx: AsyncConnection) -> DatabaseFacts:
    if tx.dialect.name == "sqlite":
        version = await tx.scalar(text("SELECT sqlite_version()"))
        size = await tx.scalar(text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"))
    else:
        version = await tx.scalar(text("SHOW server_version"))
        size = await tx.scalar(text("SELECT pg_database_size(current_database())"))
    return DatabaseFacts(str(version), int(size or 0), await tx.run_sync(schema.current))
