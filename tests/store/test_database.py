"""Connections and transactions: what is kept, what is undone, and what a broken database looks like."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from llmgate.daemon.store import instance
from llmgate.daemon.store.database import Database, sqlite_url
from llmgate.errors import ConfigError, Conflict, InvalidRequest, StateUnreadable, StoreUnavailable
from tests.services.fixtures import opened
from tests.services.postgres import PostgresServer


async def test_a_transaction_is_undone_when_its_block_raises(database: Database) -> None:
    async def fail_halfway() -> None:
        async with database.begin() as tx:
            await instance.set(tx, "a", "1")
            raise Conflict

    with pytest.raises(Conflict):
        await fail_halfway()
    async with database.read() as tx:
        assert await instance.get(tx, "a") is None


async def test_values_are_overwritten_and_survive_a_reconnect(database_url: str) -> None:
    async with opened(database_url) as database, database.begin() as tx:
        await instance.set(tx, "a", "1")
        await instance.set(tx, "a", "2")
    async with opened(database_url) as database, database.read() as tx:
        assert await instance.get(tx, "a") == "2"


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "'; DROP TABLE users; --", "日本語 %s {x} :name \\", "\r\n\t"])
async def test_any_text_can_be_stored(database: Database, value: str) -> None:
    async with database.begin() as tx:
        await instance.set(tx, "a", value)
        stored = await instance.get(tx, "a")
    assert stored is not None
    assert len(stored) == len(value)
    assert "\0" not in stored
    assert stored == value or value in ("a\0b", "\ud800")


async def test_concurrent_writers_wait_for_each_other(database: Database) -> None:
    async def count_one_up() -> None:
        async with database.begin() as tx:
            await instance.claim(tx, "count", "0")
            await tx.execute(
                text("UPDATE instance SET value = CAST(CAST(value AS INTEGER) + 1 AS VARCHAR(9)) WHERE key = 'count'")
            )

    await asyncio.gather(*(count_one_up() for _ in range(50)))
    async with database.read() as tx:
        assert await instance.get(tx, "count") == "50"


async def test_waiting_for_a_lock_has_a_deadline(database_url: str) -> None:
    async with opened(database_url) as holder, opened(database_url, timeout=0.5) as other:
        async with holder.begin() as tx:
            await instance.set(tx, "a", "1")
            with pytest.raises(StoreUnavailable) as caught:
                async with other.begin() as late:
                    await instance.set(late, "a", "2")
        assert caught.value.retry_after == 1
        async with other.begin() as tx:
            await instance.set(tx, "a", "3")


async def test_readers_do_not_wait_for_a_writer(database_url: str) -> None:
    async with opened(database_url) as writer, opened(database_url, timeout=0.5) as reader, writer.begin() as tx:
        await instance.set(tx, "a", "1")
        async with reader.read() as other:
            assert await instance.get(other, "a") is None


async def test_cancelled_transactions_give_their_connections_back(database_url: str) -> None:
    async with opened(database_url, timeout=2) as database:
        for _ in range(30):
            entered = asyncio.Event()

            async def hold(entered: asyncio.Event = entered) -> None:
                async with database.begin() as tx:
                    await instance.set(tx, "a", "1")
                    entered.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(hold())
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with database.read() as tx:
            assert await instance.get(tx, "a") is None


async def test_a_mistake_in_the_sql_is_not_reported_as_an_outage(database: Database) -> None:
    with pytest.raises(DBAPIError):
        async with database.read() as tx:
            await tx.execute(text("SELECT * FROM no_such_table"))


async def test_a_database_that_was_not_opened_is_unavailable(database_url: str) -> None:
    with pytest.raises(StoreUnavailable):
        await Database(database_url).ping()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "mysql://root:hunter2@localhost/x",
        "sqlite://",
        "http://a:hunter2@b",
        "postgresql://a:b@c:hunter2@localhost/x",
    ],
)
def test_the_address_of_something_else_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Database(url)
    assert "hunter2" not in caught.value.text()


async def test_the_files_of_sqlite_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = tmp_path / "state" / "llmgate.db"
        async with opened(sqlite_url(path)) as database:
            await database.migrate()
            async with database.begin() as tx:
                await instance.set(tx, "a", "1")
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"llmgate.db": 0o600, "llmgate.db-wal": 0o600, "llmgate.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_sqlite_file_that_others_may_read_is_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    path = tmp_path / "llmgate.db"
    path.touch(0o644)
    path.chmod(0o644)
    with pytest.raises(StateUnreadable) as caught:
        await Database(sqlite_url(path)).connect()
    assert caught.value.hint == f"Run: chmod 600 '{path}'"


async def test_a_directory_in_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateUnreadable, match="Cannot write"):
        await Database(sqlite_url(tmp_path)).connect()


async def test_a_file_that_is_no_database_is_named_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "llmgate.db"
    path.write_text("this is not a database, it is a letter to my aunt" * 100)
    path.chmod(0o600)
    with pytest.raises(StoreUnavailable, match="file is not a database") as caught:
        await Database(sqlite_url(path)).connect()
    assert str(path) in caught.value.text()
    assert path.read_text().startswith("this is not")


async def test_an_unreachable_server_is_unavailable_at_once(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"postgresql://user:hunter2@127.0.0.1:{unused.getsockname()[1]}/llmgate"
        with pytest.raises(StoreUnavailable) as caught:
            await Database(url).connect()
    assert "hunter2" not in caught.value.text()
    assert "127.0.0.1" in caught.value.text()


async def test_after_postgresql_closed_the_connections_new_ones_are_made(postgres: PostgresServer) -> None:
    async with opened(postgres.url("template")) as database:
        async with database.read() as tx:
            pid = await tx.scalar(text("SELECT pg_backend_pid()"))
        postgres.execute(f"SELECT pg_terminate_backend({pid}, 5000)")
        await database.ping()


async def test_a_frozen_postgresql_is_unavailable_after_the_timeout(postgres: PostgresServer) -> None:
    async with opened(postgres.url("template"), timeout=1) as database:
        async with database.read() as tx:
            pid = await tx.scalar(text("SELECT pg_backend_pid()"))
        os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        try:
            with pytest.raises(StoreUnavailable):
                await database.ping()
            waited = time.monotonic() - started
        finally:
            os.kill(pid, signal.SIGCONT)
        assert waited < 4


async def test_a_number_that_does_not_fit_is_the_callers_mistake(postgres: PostgresServer) -> None:
    async with opened(postgres.url("template")) as database:
        with pytest.raises(InvalidRequest):
            async with database.read() as tx:
                await tx.execute(text("SELECT CAST(:n AS integer)"), {"n": 2**40})
