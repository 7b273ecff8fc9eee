"""Reads a backup: it is checked wholly before anything is written, and then written in one transaction."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.auth import secrets
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.changes import local_actor
from llmgate.daemon.operations.archive import ArchiveReader, Manifest, TableContents
from llmgate.daemon.operations.backup import Progress, no_progress
from llmgate.daemon.operations.tables import every_table, found_in
from llmgate.daemon.operations.values import kind_of
from llmgate.daemon.services import ACTIVITY_KEY
from llmgate.daemon.store import activity, instance, schema
from llmgate.daemon.store.activity import Note
from llmgate.daemon.store.database import Database, reason_of
from llmgate.errors import Conflict, InvalidRequest, StartupError, StateUnreadable


@dataclass(frozen=True, slots=True)
class Source:
    """A backup that is to be restored."""

    path: Path
    passphrase: str


async def check(source: Source, progress: Progress = no_progress) -> Manifest:
    """Read all of a backup, and say what is in it. Raises InvalidRequest, AuthenticationFailed, StateUnreadable."""
    return await asyncio.to_thread(_check, source, progress)


async def restore(
    source: Source, manifest: Manifest, database: Database, secret_path: Path, progress: Progress = no_progress
) -> None:
    """Fill an empty database, and write the secret key. ``manifest`` is what ``check`` has returned.

    Raises Conflict when anything is there already; whatever is raised, nothing was changed.
    """
    secret = secrets.of_text(manifest.secret)
    _check_secret_place(secret_path, secret)
    is_new = False
    try:
        async with database.refill() as tx:
            await _prepare(tx, manifest.schema)
            await _fill(tx, source, manifest, progress)
            await _check_counts(tx, manifest)
            await tx.run_sync(schema.upgrade)
            await _note(tx, secret, manifest)
            is_new = await asyncio.to_thread(secrets.install, secret_path, secret)
    except BaseException as failure:
        if is_new:
            await asyncio.to_thread(secret_path.unlink, missing_ok=True)
        if isinstance(failure, DBAPIError):
            raise StartupError(
                f"The backup could not be restored: {reason_of(failure)}.",
                hint="Nothing was changed. Give llmgate a database, and a database user, of its own.",
            ) from failure
        raise


def _check(source: Source, progress: Progress) -> Manifest:
    with closing(_open(source.path)) as file:
        reader = ArchiveReader(file, source.passphrase)
        manifest = reader.manifest
        _check_manifest(manifest)
        fingerprint, done = None, 0
        for table, rows in reader.batches():
            done += len(rows)
            if table.name == instance.instance.name:
                facts = [_named(table, row) for row in rows]
                fingerprint = next((one["value"] for one in facts if one["key"] == instance.FINGERPRINT), fingerprint)
            progress(table.name, done, manifest.rows)
    if fingerprint != _secret_in(manifest).fingerprint:
        raise InvalidRequest("The secret key in this backup is not the one of its database.", hint="Use another one.")
    return manifest


def _check_manifest(manifest: Manifest) -> None:
    """Raises InvalidRequest unless this program knows everything in it."""
    if manifest.schema not in schema.revisions():
        raise InvalidRequest(
            f"This backup is of llmgate {manifest.llmgate[:40]}, whose schema {manifest.schema[:40]} is newer than "
            "this program.",
            hint="Restore it with that version of llmgate, or a newer one.",
        )
    known = {table.name: {column.name: kind_of(column) for column in table.columns} for table in every_table()}
    for table in manifest.tables:
        unknown = [name for name, kind in table.columns if known.get(table.name, {}).get(name) != kind]
        if unknown or table.name not in known:
            raise InvalidRequest(
                f"This backup holds {table.name}.{(unknown or ['*'])[0]}, which this version of llmgate does not know.",
                hint=f"Restore it with llmgate {manifest.llmgate[:40]}, and upgrade then.",
            )


def _secret_in(manifest: Manifest) -> ServerSecret:
    try:
        return secrets.of_text(manifest.secret)
    except ValueError as fault:
        raise InvalidRequest(f"The secret key in this backup {fault}.", hint="Use another one.") from None


def _check_secret_place(path: Path, secret: ServerSecret) -> None:
    if path.exists() and secrets.load_or_create(path, may_create=False) != secret:
        raise Conflict(
            f"There is another secret key in {path}: an installation is there already.",
            hint="Restore into an empty state directory and an empty database, or move the old ones away.",
        )


async def _prepare(tx: AsyncConnection, revision: str) -> None:
    """Make the tables as they were when the backup was made. Raises Conflict unless the database is empty."""
    used = [found.table.name for found in await tx.run_sync(found_in) if found.rows]
    if used:
        raise Conflict(
            f"The database is not empty: there are rows in {', '.join(used[:3])}.",
            hint="Restore into an empty database: name another one, or move the old one away.",
        )
    there = await tx.run_sync(schema.current)
    if revision not in (there, *schema.pending(there)):
        raise Conflict(
            f"The database has newer tables (schema {there}) than the backup (schema {revision}).",
            hint="Restore into a database without any tables; they are migrated then.",
        )
    await tx.run_sync(schema.upgrade, revision)


async def _fill(tx: AsyncConnection, source: Source, manifest: Manifest, progress: Progress) -> None:
    """Write the rows. The file is checked once more with that: it may have changed meanwhile, or be another one, whose
    rows were made with another secret key."""
    with closing(_open(source.path)) as file:
        reader = await asyncio.to_thread(ArchiveReader, file, source.passphrase)
        if reader.manifest != manifest:
            raise Conflict(f"{source.path} is not the one that was checked any more.", hint="Begin again.")
        batches, done = reader.batches(), 0
        while batch := await asyncio.to_thread(next, batches, None):
            contents, rows = batch
            await tx.execute(_insert(contents), [_named(contents, row) for row in rows])
            done += len(rows)
            progress(contents.name, done, reader.manifest.rows)


def _insert(contents: TableContents) -> sa.Insert:
    """For exactly these columns: the table of an older revision lacks some, which have defaults perhaps."""
    table = next(table for table in every_table() if table.name == contents.name)
    columns: list[sa.ColumnClause[Any]] = [sa.column(name, table.c[name].type) for name, _ in contents.columns]
    return sa.insert(sa.table(contents.name, *columns))


def _named(contents: TableContents, row: list[Any]) -> dict[str, Any]:
    return {name: value for (name, _), value in zip(contents.columns, row, strict=True)}


async def _check_counts(tx: AsyncConnection, manifest: Manifest) -> None:
    found = {found.table.name: found.rows for found in await tx.run_sync(found_in)}
    missing = [table.name for table in manifest.tables if found.get(table.name) != table.rows]
    if missing:
        raise StartupError(f"{missing[0]} has not all rows of the backup.", hint="Nothing was changed.")


async def _note(tx: AsyncConnection, secret: ServerSecret, manifest: Manifest) -> None:
    """Who reads the activity log later must see that there is a gap between the backup and what follows."""
    await activity.lock(tx)
    made = {"created_at": manifest.created_at, "llmgate": manifest.llmgate, "rows": manifest.rows}
    note = Note("backup.restore", "", "", made)
    await activity.append(tx, secret.derive(ACTIVITY_KEY), local_actor(), [note])


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as failure:
        raise StateUnreadable(f"Cannot read {path}: {failure.strerror}.", hint="Check its path and its mode.") from None
