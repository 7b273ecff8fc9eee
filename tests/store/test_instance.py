"""Facts about the installation."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from llmgate.daemon.store import instance
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.types import UtcDateTime
from llmgate.errors import StartupError


async def test_the_database_belongs_to_the_first_secret_that_used_it(database: Database) -> None:
    for _ in range(2):
        async with database.begin() as tx:
            await instance.check_secret(tx, "fingerprint-1")
    with pytest.raises(StartupError, match="another secret key") as caught:
        async with database.begin() as tx:
            await instance.check_secret(tx, "fingerprint-2")
    assert "secret.key" in (caught.value.hint or "")


async def test_of_concurrent_claims_one_succeeds(database: Database) -> None:
    async def claim(number: int) -> bool:
        async with database.begin() as tx:
            return await instance.claim(tx, "place", str(number))

    assert sorted(await asyncio.gather(*(claim(number) for number in range(20)))) == [False] * 19 + [True]


async def test_times_are_kept_as_utc_to_the_microsecond(database: Database) -> None:
    column = UtcDateTime()
    east = datetime(2026, 3, 1, 1, 2, 3, 456789, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    async with database.read() as tx:
        stored = column.process_bind_param(east, tx.dialect)
        assert column.process_result_value(stored, tx.dialect) == east
        assert stored is not None
        assert stored.utcoffset() == timedelta(0)
        assert column.process_result_value(datetime(2026, 1, 1), tx.dialect) == datetime(2026, 1, 1, tzinfo=UTC)  # noqa: DTZ001  # as SQLite gives it
        with pytest.raises(ValueError, match="time zone"):
            column.process_bind_param(datetime(2026, 1, 1), tx.dialect)  # noqa: DTZ001  # the mistake under test
