"""What a backup holds comes back as it was, whichever database it came from and goes to."""

from __future__ import annotations

import base64
import io
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from llmgate.daemon.auth.secrets import load_or_create
from llmgate.daemon.chain import ActivityChain
from llmgate.daemon.operations.archive import ArchiveReader, ArchiveWriter, Manifest, TableContents
from llmgate.daemon.operations.backup import _batch_of
from llmgate.daemon.operations.restore import Source, check, restore
from llmgate.daemon.operations.tables import every_table, found_in
from llmgate.daemon.operations.values import kind_of
from llmgate.daemon.store import schema
from llmgate.daemon.store.database import Database
from llmgate.errors import Conflict, InvalidRequest, StartupError
from tests.operations.support import PASSPHRASE, SECRET, contents, fill, load, save
from tests.services.fixtures import opened

NewDatabase = Callable[[str], str]


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
async def test_every_row_of_every_table_comes_back(
    database: Database, target: str, tmp_path: Path, new_database: NewDatabase
) -> None:
    await fill(database, rows=600)
    before = await contents(database)
    summary = await save(database, tmp_path / "saved")
    assert dict(summary.rows) == {name: len(rows) for name, rows in before.items()}

    url, key = new_database(target), tmp_path / "restored" / "secret.key"
    await load(tmp_path / "saved", url, key)
    async with opened(url) as restored:
        assert await contents(restored) == before
        async with restored.read() as tx:
            assert await tx.run_sync(schema.current) == list(schema.revisions())[-1]
    assert load_or_create(key, may_create=False) == SECRET
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


async def test_no_table_is_left_out(database: Database, tmp_path: Path) -> None:
    await fill(database)
    await save(database, tmp_path / "saved")
    manifest = await check(Source(tmp_path / "saved", PASSPHRASE))
    async with database.read() as tx:
        there = set(await tx.run_sync(lambda connection: inspect(connection).get_table_names()))
    assert {table.name for table in manifest.tables} == there - {"alembic_version"}
    for table in every_table():
        columns = next(one.columns for one in manifest.tables if one.name == table.name)
        assert [name for name, _ in columns] == [column.name for column in table.columns]


async def test_of_long_rows_few_are_in_memory_at_once(database: Database) -> None:
    """A batch of 500 pictures would take more than two gigabytes."""
    async with database.read() as tx:
        found = {one.table.name: _batch_of(one) for one in await tx.run_sync(found_in)}
    assert (found["images"], found["messages"], found["users"]) == (4, 40, 500)

    file = io.BytesIO()
    writer = ArchiveWriter(file, PASSPHRASE)
    table = TableContents("images", (("data", "bytes"),), 5)
    writer.manifest(Manifest("1", "0003", "sqlite", datetime.now(UTC), (table,), "secret"))
    writer.table("images")
    row = [base64.b64encode(os.urandom(3 * 1024 * 1024)).decode()]
    writer.rows([row] * 5)
    writer.finish()
    file.seek(0)
    batches = [rows for _, rows in ArchiveReader(file, PASSPHRASE).batches()]
    assert [len(rows) for rows in batches] == [2, 2, 1]
    assert batches[2] == [[base64.b64decode(row[0])]]


def test_every_type_of_column_has_a_kind_and_null_is_never_the_word_null() -> None:
    columns = [column for table in every_table() for column in table.columns]
    assert len(columns) > 50
    assert all(getattr(column.type, "none_as_null", True) for column in columns if kind_of(column) == "json")


async def test_restoring_is_noted_in_a_chain_that_is_whole(
    database: Database, tmp_path: Path, new_database: NewDatabase
) -> None:
    await fill(database)
    async with database.begin() as tx:
        await tx.execute(text("DELETE FROM activity_checkpoints"))
    await save(database, tmp_path / "saved")
    url = new_database("sqlite")
    await load(tmp_path / "saved", url, tmp_path / "secret.key")
    async with opened(url) as restored:
        verdict = await ActivityChain(restored, SECRET.derive("activity")).verify()
        assert (verdict.ok, verdict.entries) == (True, 8)
        async with restored.read() as tx:
            last = (await tx.execute(text("SELECT action, actor_kind FROM activity ORDER BY seq DESC LIMIT 1"))).one()
    assert tuple(last) == ("backup.restore", "local")


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
async def test_a_backup_of_an_older_schema_is_migrated(
    empty_database_url: str, target: str, tmp_path: Path, new_database: NewDatabase
) -> None:
    async with opened(empty_database_url) as old, old.begin() as tx:
        await tx.run_sync(schema.upgrade, "0001")
        fingerprint = {"f": SECRET.fingerprint}
        await tx.execute(text("INSERT INTO instance VALUES ('secret_fingerprint', :f)"), fingerprint)
        await tx.execute(text("INSERT INTO usage_principals VALUES ('key', 'k1', 'batch', NULL)"))
    async with opened(empty_database_url) as old:
        summary = await save(old, tmp_path / "saved")
    assert summary.schema == "0001"
    assert "activity" not in summary.rows

    url = new_database(target)
    await load(tmp_path / "saved", url, tmp_path / "secret.key")
    async with opened(url) as restored, restored.read() as tx:
        assert await tx.run_sync(schema.current) == list(schema.revisions())[-1]
        assert (await tx.execute(text("SELECT name FROM usage_principals"))).scalars().all() == ["batch"]


async def test_what_this_program_does_not_know_is_not_saved_by_halves(database: Database, tmp_path: Path) -> None:
    await fill(database)
    async with database.begin() as tx:
        await tx.execute(text("ALTER TABLE users ADD COLUMN shoe_size INTEGER"))
    with pytest.raises(StartupError, match="shoe_size"):
        await save(database, tmp_path / "saved")
    async with database.begin() as tx:
        await tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StartupError, match="9999"):
        await save(database, tmp_path / "saved")


async def test_a_database_of_another_secret_is_not_saved(database: Database, tmp_path: Path) -> None:
    other = load_or_create(tmp_path / "other.key")
    await fill(database)
    with pytest.raises(StartupError, match="another secret"):
        await save(database, tmp_path / "saved", other)


async def test_an_empty_database_has_nothing_to_save(empty_database_url: str, tmp_path: Path) -> None:
    async with opened(empty_database_url) as database:
        with pytest.raises(StartupError, match="is empty"):
            await save(database, tmp_path / "saved")


async def test_another_file_than_the_one_that_was_checked_is_not_restored(
    database: Database, tmp_path: Path, new_database: NewDatabase
) -> None:
    await fill(database)
    file = tmp_path / "saved"
    await save(database, file)
    source = Source(file, PASSPHRASE)
    manifest = await check(source)
    await save(database, file)  # in its place, between the check and its use
    async with opened(new_database("sqlite")) as target:
        with pytest.raises(Conflict, match="not the one that was checked"):
            await restore(source, manifest, target, tmp_path / "secret.key")
    assert not (tmp_path / "secret.key").exists()


async def test_a_backup_of_a_newer_program_is_refused(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database)
    await save(database, tmp_path / "saved")
    monkeypatch.setattr(schema, "revisions", lambda: {"0001": "first"})
    with pytest.raises(InvalidRequest, match="is newer than this program"):
        await check(Source(tmp_path / "saved", PASSPHRASE))
