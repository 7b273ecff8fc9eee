"""The schema, on both databases."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from llmgate.daemon import store
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.types import metadata
from llmgate.errors import StartupError
from tests.services.fixtures import opened

MIGRATE = """
import asyncio, sys
from llmgate.daemon.store.database import Database

async def main():
    database = Database(sys.argv[1], timeout=20)
    await database.connect()
    print("ready", flush=True)
    sys.stdin.readline()
    await database.migrate()
    await database.close()

asyncio.run(main())
"""


def _load_every_table() -> None:
    for module in pkgutil.iter_modules(store.__path__):
        if not module.ispkg:
            importlib.import_module(f"llmgate.daemon.store.{module.name}")


async def test_the_migrated_schema_is_the_one_that_the_code_declares(database: Database) -> None:
    _load_every_table()

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with database.read() as tx:
        assert await tx.run_sync(differences) == []


async def test_constraints_and_indexes_have_the_names_that_the_code_gives_them(database: Database) -> None:
    _load_every_table()

    def names(connection: Connection) -> set[str | None]:
        inspector = inspect(connection)
        found: set[str | None] = set()
        for table in metadata.tables:
            found |= {index["name"] for index in inspector.get_indexes(table)}
            found |= {constraint["name"] for constraint in inspector.get_unique_constraints(table)}
        return found

    declared = {str(index.name) for table in metadata.tables.values() for index in table.indexes}
    async with database.read() as tx:
        assert declared <= await tx.run_sync(names)


async def test_migrating_again_changes_nothing(database: Database) -> None:
    await database.migrate()
    await database.migrate()
    async with database.read() as tx:
        assert await tx.scalar(text("SELECT count(*) FROM alembic_version")) == 1


async def test_a_schema_of_a_newer_program_is_refused(database: Database) -> None:
    async with database.begin() as tx:
        await tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StartupError, match="9999") as caught:
        await database.migrate()
    assert "newer llmgate" in (caught.value.hint or "")


async def test_a_migration_that_fails_says_so_and_leaves_nothing_behind(empty_database_url: str) -> None:
    async with opened(empty_database_url) as database:
        async with database.begin() as tx:
            await tx.execute(text("CREATE TABLE usage (id INTEGER)"))
        with pytest.raises(StartupError, match="usage"):
            await database.migrate()
        async with database.read() as tx:
            assert await tx.run_sync(lambda connection: inspect(connection).get_table_names()) == ["usage"]


def test_of_processes_that_migrate_at_once_each_finds_the_new_schema(empty_database_url: str) -> None:
    command = [sys.executable, "-c", MIGRATE, empty_database_url]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    results = []
    for process in processes:  # all of them have imported and connected: now they race
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=60)
        results.append((process.returncode, errors))
    assert results == [(0, b"")] * 3
