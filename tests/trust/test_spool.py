"""Finished requests while the database is away: kept in a file, written once, bounded, and never mixed up."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import func, select

from llmgate.config import UsageSettings
from llmgate.daemon import usage as usage_module
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.events import RequestFinished
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.requests import requests
from llmgate.daemon.store.spool import LONGEST_LINE, UsageSpool
from llmgate.daemon.store.usage import usage
from llmgate.daemon.usage import UsageRecorder
from llmgate.errors import StoreUnavailable
from tests.store.test_accounting import DONE

NOW = datetime.now(UTC)
WHO = "key:aB3dE5gH7j"
TOKENS = 30
"""Of each row."""


class NobodyAsked:
    def used(self) -> dict[str, datetime]:
        return {}


def rows(count: int, first: int = 0) -> list[RequestFinished]:
    return [replace(DONE, request_id=f"r{number}", finished_at=NOW) for number in range(first, first + count)]


def a_recorder(database: Database, folder: Path, *, most_bytes: int = 1_000_000) -> UsageRecorder:
    spool = UsageSpool(folder / "spool", most_bytes)
    return UsageRecorder(database, cast("Authenticator", NobodyAsked()), UsageSettings(), spool)


@asynccontextmanager
async def away(database: Database) -> AsyncIterator[None]:
    """The database does not answer."""
    await database.close()
    yield
    await database.connect()


async def feed(recorder: UsageRecorder, events: Sequence[RequestFinished]) -> None:
    """These end while the database is away."""
    for event in events:
        recorder(event)
    with pytest.raises(StoreUnavailable):
        await recorder.flush()
    await recorder.spool()


async def catch_up(recorder: UsageRecorder) -> None:
    await recorder.flush()
    await recorder._catch_up()


async def written(database: Database) -> tuple[int, int, int]:
    """Rows of the log, requests of the sums, tokens of the sums."""
    async with database.read() as tx:
        logged = await tx.scalar(select(func.count()).select_from(requests))
        tokens = func.sum(usage.c.input_tokens + usage.c.output_tokens)
        counted = (await tx.execute(select(func.sum(usage.c.requests), tokens))).one()
        return int(logged or 0), int(counted[0] or 0), int(counted[1] or 0)


def files(folder: Path) -> list[Path]:
    return sorted((folder / "spool").glob("*"))


async def test_a_daemon_that_stops_in_an_outage_loses_nothing_and_the_next_writes_it_once(
    database: Database, tmp_path: Path
) -> None:
    recorder = a_recorder(database, tmp_path)
    for event in rows(150):
        recorder(event)
    await recorder.flush()
    async with away(database):
        for event in rows(250, 150):
            recorder(event)
        await recorder.finish(1)
        [file] = files(tmp_path)
        assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)
        assert len(file.read_bytes().splitlines()) == 250
    for _ in range(2):
        after = a_recorder(database, tmp_path)
        await catch_up(after)
        assert await written(database) == (400, 400, 400 * TOKENS)
        assert (files(tmp_path), after.pending, after.dropped, after.unwritten(WHO)) == ([], 0, 0, 0)


async def test_a_daemon_that_is_killed_in_an_outage_leaves_what_it_had_spooled(
    database: Database, tmp_path: Path
) -> None:
    recorder = a_recorder(database, tmp_path)
    async with away(database):
        await feed(recorder, rows(120))
        await feed(recorder, rows(5, 120))
        assert recorder._spool is not None
        recorder._spool.close()  # all that happens to a file when its process is killed
    await catch_up(a_recorder(database, tmp_path))
    assert await written(database) == (125, 125, 125 * TOKENS)


async def test_what_had_reached_the_database_as_well_is_not_counted_again(database: Database, tmp_path: Path) -> None:
    recorder = a_recorder(database, tmp_path)
    async with away(database):
        await feed(recorder, rows(130))
    assert recorder._spool is not None
    recorder._spool.close()
    other = UsageRecorder(database, cast("Authenticator", NobodyAsked()), UsageSettings())
    for event in rows(70):  # the transaction succeeded of which the daemon never heard
        other(event)
    await other.flush()
    await catch_up(a_recorder(database, tmp_path))
    assert await written(database) == (130, 130, 130 * TOKENS)


async def test_more_than_memory_holds_is_written_from_the_file_and_budgets_count_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_module, "PENDING_ROWS", 100)
    recorder = a_recorder(database, tmp_path)
    async with away(database):
        for first in range(0, 1000, 50):
            await feed(recorder, rows(50, first))
        assert (recorder.pending, recorder.dropped, len(recorder._pending)) == (1000, 0, 100)
        assert recorder.unwritten(WHO) == 1000 * TOKENS
    await catch_up(recorder)
    assert await written(database) == (1000, 1000, 1000 * TOKENS)
    assert (files(tmp_path), recorder.pending, recorder.dropped, recorder.unwritten(WHO)) == ([], 0, 0, 0)
    assert (await recorder.spent([WHO], NOW.date()))[WHO][0] == 1000 * TOKENS
    async with away(database):  # and it begins anew
        await feed(recorder, rows(10, 1000))
        assert len(files(tmp_path)) == 1
    await catch_up(recorder)
    assert await written(database) == (1010, 1010, 1010 * TOKENS)


async def test_the_database_may_go_away_again_while_the_file_is_written(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_module, "PENDING_ROWS", 100)
    recorder = a_recorder(database, tmp_path)
    async with away(database):
        for first in range(0, 500, 50):
            await feed(recorder, rows(50, first))
    insert, calls = UsageRecorder._insert, 0

    async def three_times(self: UsageRecorder, batch: Sequence[RequestFinished]) -> list[RequestFinished]:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise StoreUnavailable
        return await insert(self, batch)

    monkeypatch.setattr(UsageRecorder, "_insert", three_times)
    with pytest.raises(StoreUnavailable):
        await catch_up(recorder)
    logged = (await written(database))[0]
    assert 0 < logged < 500
    assert recorder.unwritten(WHO) == (500 - logged) * TOKENS
    assert recorder.pending == 500 - logged
    await catch_up(recorder)
    assert await written(database) == (500, 500, 500 * TOKENS)
    assert (recorder.pending, recorder.unwritten(WHO)) == (0, 0)


async def test_a_damaged_last_line_is_counted_and_the_others_are_written(database: Database, tmp_path: Path) -> None:
    recorder = a_recorder(database, tmp_path)
    async with away(database):
        await feed(recorder, rows(20))
    assert recorder._spool is not None
    recorder._spool.close()
    [file] = files(tmp_path)
    with file.open("r+b") as torn:
        torn.truncate(file.stat().st_size - 30)
    after = a_recorder(database, tmp_path)
    await catch_up(after)
    assert await written(database) == (19, 19, 19 * TOKENS)
    assert (after.dropped, files(tmp_path)) == (1, [])


@pytest.mark.parametrize("junk", [b"\0" * 200 + b"\n", b"{}\n", b"[1]\n", b"x" * (LONGEST_LINE + 10) + b"\n"])
async def test_whatever_else_stands_in_a_file_ends_nothing(tmp_path: Path, junk: bytes) -> None:
    spool = UsageSpool(tmp_path / "spool", 1_000_000)
    spool.append(rows(3))
    [path] = files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(junk + whole + junk)
    assert spool.own is not None
    assert [row.request_id for batch in spool.own.batches() for row in batch] == ["r0", "r1", "r2"]
    assert spool.own.damaged >= 2
    spool.remove()


async def test_workers_of_one_directory_do_not_take_each_others_files(database: Database, tmp_path: Path) -> None:
    one, two = (a_recorder(database, tmp_path) for _ in range(2))
    async with away(database):
        await feed(one, rows(30))
        await feed(two, rows(40, 100))
        assert len(files(tmp_path)) == 2
    three = a_recorder(database, tmp_path)
    await catch_up(three)
    assert len(files(tmp_path)) == 2
    await catch_up(one)
    assert len(files(tmp_path)) == 1
    await catch_up(two)
    assert (files(tmp_path), await written(database)) == ([], (70, 70, 70 * TOKENS))


async def test_the_files_are_bounded_together_and_what_does_not_fit_is_counted(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_module, "PENDING_ROWS", 50)
    one, two = (a_recorder(database, tmp_path, most_bytes=30_000) for _ in range(2))
    async with away(database):
        for first in range(0, 200, 40):
            await feed(one, rows(40, first))
            await feed(two, rows(40, 1000 + first))
            assert sum(file.stat().st_size for file in files(tmp_path)) <= 30_000
    for recorder in (one, two):
        assert recorder.dropped > 0
        await catch_up(recorder)
        assert recorder.pending == recorder.unwritten(WHO) == 0
    logged = 400 - one.dropped - two.dropped
    assert await written(database) == (logged, logged, logged * TOKENS)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
async def test_a_disk_that_takes_nothing_costs_no_row_that_memory_holds(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    recorder, write = a_recorder(database, tmp_path), os.pwrite
    room = 1000

    def full(descriptor: int, data: bytes, place: int) -> int:
        nonlocal room
        if room <= 0:
            raise OSError(error, os.strerror(error))
        written = write(descriptor, bytes(data)[:room], place)
        room -= written
        return written

    async with away(database):
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            await feed(recorder, rows(100))
            assert [file.stat().st_size for file in files(tmp_path)] == [0]
        await feed(recorder, rows(20, 100))  # there is room again
        [file] = files(tmp_path)
        assert [json.loads(line)["request_id"] for line in file.read_bytes().splitlines()] == [
            f"r{number}" for number in range(120)
        ]
    await catch_up(recorder)
    assert (recorder.dropped, await written(database)) == (0, (120, 120, 120 * TOKENS))


async def test_a_directory_that_cannot_be_made_ends_nothing(database: Database, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    recorder = a_recorder(database, tmp_path)
    async with away(database):
        await feed(recorder, rows(10))
    await catch_up(recorder)
    await recorder.finish(1)
    assert await written(database) == (10, 10, 10 * TOKENS)


async def test_what_is_older_than_the_request_log_is_not_counted_again(database: Database, tmp_path: Path) -> None:
    """It may have been written, counted and pruned while the file lay there."""
    recorder = a_recorder(database, tmp_path)
    async with away(database):
        old = replace(DONE, request_id="old", finished_at=NOW - timedelta(days=91))
        await feed(recorder, [old, *rows(2)])
    assert recorder._spool is not None
    recorder._spool.close()
    after = a_recorder(database, tmp_path)
    await catch_up(after)
    assert (after.dropped, await written(database)) == (1, (2, 2, 2 * TOKENS))


async def test_a_row_comes_back_as_it_was_whatever_its_model_is_called(tmp_path: Path) -> None:
    spool = UsageSpool(tmp_path / "spool", 1_000_000)
    odd = [
        replace(DONE, request_id="odd1", model="a\nb\0c\ud800 日本語"),
        replace(DONE, request_id="odd2", user_id="u", error_code="x", first_byte=None, input_tokens=None, wait=1e-9),
        replace(DONE, request_id="odd3", model="x" * 100_000),
    ]
    spool.append(odd)
    assert spool.own is not None
    [back] = spool.own.batches()
    assert back[0].model == "a\nb\N{REPLACEMENT CHARACTER}c? 日本語"
    assert back[1] == odd[1]
    assert back[2].model == "x" * 200
    spool.remove()


async def test_a_healthy_database_has_no_file(database: Database, tmp_path: Path) -> None:
    recorder = a_recorder(database, tmp_path)
    for event in rows(10):
        recorder(event)
    await catch_up(recorder)
    with suppress(TimeoutError):
        await recorder.finish(1)
    assert not (tmp_path / "spool").exists()
