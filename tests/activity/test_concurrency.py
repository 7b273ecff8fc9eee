"""Changes and logins of many at once, through several connections to one database: one unbroken chain."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from llmgate.config import Settings
from llmgate.daemon.auth.passwords import PasswordHasher
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.auth.sessions import Sessions
from llmgate.daemon.auth.throttle import LoginThrottle
from llmgate.daemon.chain import BATCH_ROWS
from llmgate.daemon.store import activity, users
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.types import utc_now
from llmgate.errors import Conflict, StoreUnavailable
from tests.activity.support import ANN, Log
from tests.services.fixtures import opened

PASSWORD = "correct horse battery"


def sessions_of(log: Log, hasher: PasswordHasher) -> Sessions:
    return Sessions(log.database, log.changes, hasher, ServerSecret(bytes(range(32))), Settings(), LoginThrottle())


async def test_hundreds_of_changes_and_logins_over_two_connections_make_one_chain(database_url: str) -> None:
    hasher = PasswordHasher()
    async with opened(database_url, timeout=20) as first, opened(database_url, timeout=20) as second:
        logs = [Log(first), Log(second)]
        hashed = await hasher.hash(PASSWORD)
        async with logs[0].changes.begin(ANN) as change:
            ann = await users.create(change.tx, name="ann", password_hash=hashed, role=Role.ADMIN)
            change.note("user.create", ann.id, ann.name)

        async def rename(log: Log, number: int) -> None:
            async with log.changes.begin(ANN) as change:
                found = await users.get(change.tx, ann.id)
                await users.update(change.tx, found.id, level=number % 5 + 1)
                change.note("user.update", ann.id, ann.name, number=number)

        async def fail(log: Log) -> None:
            with contextlib.suppress(Conflict):
                async with log.changes.begin(ANN) as change:
                    change.note("user.delete", ann.id, ann.name)
                    raise Conflict

        async def log_in(login: Sessions, number: int) -> None:
            await login.login("ann", PASSWORD, address=f"192.0.2.{number}", client="test")

        logins = [sessions_of(log, hasher) for log in logs]
        await asyncio.gather(
            *(rename(log, number) for number in range(120) for log in logs),
            *(fail(log) for _ in range(20) for log in logs),
            *(log_in(login, number) for number in range(15) for login in logins),
        )
        found = await logs[0].verdict()
        assert (found.ok, found.entries) == (True, 1 + 240 + 30)
        assert max(log.changes.written[0] for log in logs if log.changes.written) == found.head.seq
    hasher.close()


async def test_changes_go_on_while_the_log_is_verified_and_pruned(database_url: str) -> None:
    async with opened(database_url, timeout=20) as first, opened(database_url, timeout=20) as second:
        log, other = Log(first), Log(second)
        await log.write_at_once(4 * BATCH_ROWS)
        verified, pruned, written = await asyncio.gather(
            log.verdict(), _prune_all(other, rows=200), other.write(60), return_exceptions=False
        )
        assert verified.ok, verified.fault
        assert pruned >= 4 * BATCH_ROWS - 200
        assert written.seq == 4 * BATCH_ROWS + 60
        again = await log.verdict(written)
        assert again.ok, again.fault
        assert again.checkpoint is not None


async def _prune_all(log: Log, rows: int) -> int:
    total = 0
    while (pruned := await log.prune(utc_now(), rows)) == rows:
        total += pruned
        await asyncio.sleep(0)
    return total + pruned


async def test_who_waits_for_the_chain_holds_no_connection(database_url: str) -> None:
    """A change that takes long must not keep others from asking who somebody is."""
    database = Database(database_url, pool_size=3, timeout=5)
    await database.connect()
    log = Log(database)
    begun, free = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        async with log.changes.begin(ANN) as change:
            begun.set()
            await free.wait()
            change.note("key.create", "1")

    changes = [asyncio.create_task(slow()) for _ in range(12)]
    await begun.wait()
    async with asyncio.timeout(2):
        await asyncio.gather(*(database.ping() for _ in range(20)))
    free.set()
    await asyncio.gather(*changes)
    assert (await log.verdict()).entries == 12
    await database.close()


async def test_waiting_for_another_change_has_a_deadline(database_url: str) -> None:
    async with opened(database_url, timeout=0.5) as database:
        log = Log(database)
        async with log.changes._turn:
            with pytest.raises(StoreUnavailable):
                await log.write()
        await log.write()
        assert await log.is_whole()


async def test_a_change_without_a_note_is_undone(log: Log) -> None:
    with pytest.raises(RuntimeError, match="without a note"):
        async with log.changes.begin(ANN) as change:
            await users.create(change.tx, name="eve", password_hash=None, role=Role.USER)
    async with log.database.read() as tx:
        assert await users.page(tx) == []
    assert await log.count() == 0


async def test_a_daemon_that_freezes_in_a_change_does_not_stop_the_others(postgres_url: str) -> None:
    async with opened(postgres_url) as frozen, opened(postgres_url) as other:

        async def freeze() -> None:
            async with frozen.begin() as tx:
                await activity.lock(tx, patience=0.3)
                await Log(other).write()

        with pytest.raises(StoreUnavailable):
            await freeze()
        assert (await Log(other).verdict()).entries == 1
