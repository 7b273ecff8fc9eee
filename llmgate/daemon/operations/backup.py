"""Writes a backup: one snapshot of the whole database, and the secret key without which it is worth nothing.

The daemon may go on serving. A batch of rows is read at a time, so that memory stays small whatever the size.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from sqlalchemy import LargeBinary, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate import __version__
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.clock import utc_now
from llmgate.daemon.operations.archive import BATCH, ArchiveWriter, Manifest, TableContents
from llmgate.daemon.operations.cipher import check_passphrase
from llmgate.daemon.operations.tables import Found, found_in
from llmgate.daemon.operations.values import encoder, kind_of
from llmgate.daemon.store import instance, schema
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.types import Text
from llmgate.errors import StartupError

LONG_TEXT = 10_000
"""Characters. Of rows that may be longer, a message of a chat for instance, fewer are in memory at once:"""
LONG_BATCH = 40
BINARY_BATCH = 4
"""Of those with bytes even fewer: a picture can have 5 MiB."""

Progress = Callable[[str, int, int], None]
"""Is told the table, how many rows of all tables are done, and how many there are."""


def no_progress(table: str, done: int, rows: int) -> None:
    """For nobody who looks."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a backup holds."""

    bytes: int
    schema: str
    rows: Mapping[str, int]


async def back_up(
    database: Database,
    secret: ServerSecret,
    target: BinaryIO,
    passphrase: str,
    progress: Progress = no_progress,
) -> Summary:
    """Write everything to ``target``.

    Raises InvalidRequest for a passphrase that is too short, StartupError for a database that is empty, that belongs
    to a newer program, or that was made with another secret.
    """
    check_passphrase(passphrase)
    writer = await asyncio.to_thread(ArchiveWriter, target, passphrase)
    async with database.snapshot() as tx:
        revision = await _check(tx, secret)
        tables = await tx.run_sync(found_in)
        manifest = Manifest(
            llmgate=__version__,
            schema=revision,
            database=tx.dialect.name,
            created_at=utc_now(),
            tables=tuple(_contents(found) for found in tables),
            secret=secret.reveal(),
        )
        await asyncio.to_thread(writer.manifest, manifest)
        done = 0
        for found in tables:
            done = await _copy(tx, found, writer, progress, (done, manifest.rows))
    await asyncio.to_thread(writer.finish)
    return Summary(writer.bytes_written, revision, {table.name: table.rows for table in manifest.tables})


async def _check(tx: AsyncConnection, secret: ServerSecret) -> str:
    """The revision of the database, if it can be backed up."""
    revision = await tx.run_sync(schema.current)
    if revision is None:
        raise StartupError("The database is empty.", hint="There is something to back up once llmgate has run.")
    schema.pending(revision)
    if await instance.get(tx, instance.FINGERPRINT) != secret.fingerprint:
        raise StartupError(
            "This database was made with another secret key: together they could not be used again.",
            hint="Bring back the secret.key that belongs to it.",
        )
    return revision


def _contents(found: Found) -> TableContents:
    return TableContents(found.table.name, tuple((one.name, kind_of(one)) for one in found.columns), found.rows)


async def _copy(
    tx: AsyncConnection, found: Found, writer: ArchiveWriter, progress: Progress, so_far: tuple[int, int]
) -> int:
    """Write one table. Returns how many rows of all tables are done; ``so_far`` is that, and how many there are."""
    done, rows_in_all = so_far
    progress(found.table.name, done, rows_in_all)
    encode = encoder([kind_of(column) for column in found.columns])
    statement = select(*found.columns).order_by(*found.table.primary_key)
    copied = 0
    await asyncio.to_thread(writer.table, found.table.name)
    async with tx.stream(statement.execution_options(yield_per=_batch_of(found))) as rows:
        async for batch in rows.partitions():
            copied += await asyncio.to_thread(writer.rows, (encode(tuple(row)) for row in batch))
            progress(found.table.name, done + copied, rows_in_all)
    if copied != found.rows:  # a snapshot holds still: this is a defect, and must not become a backup
        raise RuntimeError(f"{found.table.name} had {copied} rows instead of {found.rows} while it was read")
    return done + copied


def _batch_of(found: Found) -> int:
    """How many of a table's rows may be in memory at once."""
    types = [column.type for column in found.columns]
    if any(isinstance(one, LargeBinary) for one in types):
        return BINARY_BATCH
    return LONG_BATCH if any(isinstance(one, Text) and one.longest > LONG_TEXT for one in types) else BATCH
