"""A migration that is killed at any of its statements leaves a database that the next start brings up to date."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from llmgate.daemon import store
from llmgate.daemon.store import instance, schema
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.types import metadata
from tests.services.fixtures import opened

KILLER = """
import asyncio, json, os, signal, sys
from sqlalchemy import Engine, event
from llmgate.daemon.store import schema
from llmgate.daemon.store.database import Database

url, step = sys.argv[1], int(sys.argv[2])
seen = {"count": 0, "armed": False}

def count(*_):
    seen["count"] += seen["armed"]

def die_at(number):
    def look(*_):
        count()
        if seen["count"] == number:
            os.kill(os.getpid(), signal.SIGKILL)
    for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(Engine, name, look)

async def migrate():
    database = Database(url, timeout=20)
    await database.connect()
    seen["armed"] = True
    await database.migrate()
    await database.close()

number, killed = 1, 0
while True:
    child = os.fork()
    if child == 0:
        die_at(number)
        asyncio.run(migrate())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        print(json.dumps({"killed": killed, "code": os.waitstatus_to_exitcode(status)}))
        break
    killed += 1
    number += step
"""
"""Kills a migration at its first statement, at a later one, and so on, until it gets to its end: each time on what the
one before has left."""


@pytest.mark.parametrize(
    ("before", "step"),
    [
        pytest.param(None, 1, id="new, at every statement", marks=pytest.mark.long),
        pytest.param("0001", 5, id="old", marks=pytest.mark.long),
        pytest.param("0002", 3, id="last", marks=pytest.mark.long),
    ],
)
async def test_the_next_start_brings_it_up_to_date(empty_database_url: str, before: str | None, step: int) -> None:
    async with opened(empty_database_url) as database:
        if before is not None:
            async with database.begin() as tx:
                await tx.run_sync(schema.upgrade, before)
                await instance.set(tx, "kept", "through all of it")
    command = [sys.executable, "-c", KILLER, empty_database_url, str(step)]
    done = subprocess.run(command, check=True, capture_output=True, timeout=600)  # noqa: ASYNC221 - nothing else runs
    found = json.loads(done.stdout)
    assert found["code"] == 0
    assert found["killed"] >= 2
    async with opened(empty_database_url) as database:
        await database.migrate()
        assert await _is_newest(database)
        async with database.begin() as tx:
            kept = await instance.get(tx, "kept")
            assert kept == (None if before is None else "through all of it")
            if database.is_sqlite:
                assert await tx.scalar(text("PRAGMA integrity_check")) == "ok"


async def _is_newest(database: Database) -> bool:
    for module in pkgutil.iter_modules(store.__path__):  # so that every table is known
        if not module.ispkg:
            importlib.import_module(f"llmgate.daemon.store.{module.name}")

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with database.read() as tx:
        return (
            await tx.run_sync(differences) == [] and await tx.run_sync(schema.current) == list(schema.revisions())[-1]
        )
