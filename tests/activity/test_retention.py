"""What is old is forgotten in small pieces, while everybody else goes on."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from llmgate.config import ActivitySettings, Settings, UsageSettings
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.events import RequestFinished
from llmgate.daemon.queue.ticket import Outcome
from llmgate.daemon.retention import BATCH_ROWS, Retention
from llmgate.daemon.store import idempotency, keys, requests, sessions, tokens, usage, usage_sums, users
from llmgate.daemon.store.activity import activity, activity_checkpoints
from llmgate.daemon.store.types import utc_now
from tests.activity.support import Log
from tests.services.fixtures import opened

SETTINGS = Settings(usage=UsageSettings(request_log_days=30, usage_days=100), activity=ActivitySettings(days=60))
FOR_EVER = Settings(usage=UsageSettings(usage_days=0), activity=ActivitySettings(days=0))
NOW = utc_now()


def retention(log: Log, settings: Settings = SETTINGS, now: datetime = NOW) -> Retention:
    return Retention(log.database, log.chain, lambda: settings, clock=lambda: now, pause=0)


def finished(number: int, at: datetime) -> RequestFinished:
    return RequestFinished(
        request_id=f"r-{number}", finished_at=at, principal_kind="key", principal_id=f"k{number % 7}",
        principal_name="k", user_id=None, protocol="ollama", route="/api/chat", model=f"m{number}", pool="p",
        upstream="u", submitted_level=2, stream=False, outcome=Outcome.COMPLETED, status=200, error_code=None,
        wait=0.1, first_byte=0.2, duration=0.3, input_tokens=1, output_tokens=1,
    )  # fmt: skip


async def _requests(log: Log, count: int, at: datetime, first: int = 0) -> None:
    events = [finished(number, at) for number in range(first, first + count)]
    async with log.database.begin() as tx:
        await usage.add(tx, await requests.insert_many(tx, events))


async def _count(log: Log, *tables: object) -> list[int]:
    async with log.database.read() as tx:
        return [int(await tx.scalar(select(func.count()).select_from(table)) or 0) for table in tables]  # type: ignore[arg-type]  # tables


async def test_many_old_rows_of_every_kind_are_forgotten_and_the_others_stay(log: Log) -> None:
    old, young = NOW - timedelta(days=101), NOW - timedelta(days=10)
    await _requests(log, BATCH_ROWS + 50, old)
    await _requests(log, 20, young, first=10_000)
    async with log.database.begin() as tx:
        ann = await users.create(tx, name="ann", password_hash=None, role=Role.USER)
        for number, (began, life) in enumerate([(old, 30), (young, 1), (young, 30)]):
            await sessions.create(
                tx, session_id=f"s-{number}", user_id=ann.id, refresh_hash=f"h{number}", now=began,
                expires_at=began + timedelta(days=life), client="", address="",
            )  # fmt: skip
        await sessions.revoke(tx, "s-2")
        for key in ("old", "new"):
            await idempotency.remember(tx, "key:1", key, idempotency.Done("hash", "id", None))
        past = update(idempotency.idempotency_keys).where(idempotency.idempotency_keys.c.key == "old")
        await tx.execute(past.values(created_at=NOW - timedelta(hours=25)))
    forgotten = await retention(log).clean()
    assert forgotten == {
        "requests": BATCH_ROWS + 50, "usage": BATCH_ROWS + 50, "sessions": 2, "idempotency_keys": 1, "activity": 0,
        "conversations": 0, "keys": 0, "tokens": 0,
    }  # fmt: skip
    left = await _count(log, requests.requests, usage.usage, sessions.sessions, idempotency.idempotency_keys)
    assert left == [20, 20, 1, 1]
    assert sum((await retention(log).clean()).values()) == 0


async def test_keys_and_tokens_are_forgotten_a_month_after_their_end_and_what_was_used_is_not(log: Log) -> None:
    old, lately = NOW - timedelta(days=31), NOW - timedelta(days=29)
    ends = {"expired": {"expires_at": old}, "revoked": {"revoked_at": old}, "lately-expired": {"expires_at": lately},
            "lately-revoked": {"revoked_at": lately}, "live": {}, "later": {"expires_at": NOW + timedelta(days=1)},
            "both": {"expires_at": lately, "revoked_at": old}}  # fmt: skip
    await _requests(log, 7, old)  # by the keys k0 to k6
    async with log.database.begin() as tx:
        for number, (name, end) in enumerate(ends.items()):
            key = await keys.create(tx, key_id=f"k{number}", digest=name, last4="last", name=name)
            await tx.execute(update(keys.keys).where(keys.keys.c.id == key.id).values(created_at=old, **end))
            token = await tokens.create(tx, digest=name, label=name)
            await tx.execute(update(tokens.tokens).where(tokens.tokens.c.id == token.id).values(created_at=old, **end))
        for name, made in (("used", old), ("lately-used", lately)):
            token = await tokens.create(tx, digest=name, label=name)
            await tx.execute(
                update(tokens.tokens).where(tokens.tokens.c.id == token.id).values(created_at=made, uses=1)
            )
    forgotten = await retention(log, FOR_EVER).clean()
    assert (forgotten["keys"], forgotten["tokens"]) == (3, 4)
    left = {"lately-expired", "lately-revoked", "live", "later"}
    async with log.database.read() as tx:
        assert {key.name for key in await keys.page(tx)} == left
        assert {token.label for token in await tokens.page(tx)} == {*left, "lately-used"}
        sums = await usage_sums.summary(tx, group_by="key", since=old - timedelta(hours=1), until=NOW)
    assert {(row.key, row.name, row.requests) for row in sums} == {(f"k{number}", "k", 1) for number in range(7)}


async def test_what_is_kept_for_ever_is_kept(log: Log) -> None:
    await _requests(log, 5, NOW - timedelta(days=5000))
    await log.write_at_once(5)
    forgotten = await retention(log, FOR_EVER, NOW + timedelta(days=10_000)).clean()
    assert set(forgotten) == {"requests", "sessions", "keys", "tokens", "idempotency_keys", "conversations"}
    assert await _count(log, usage.usage, activity) == [5, 5]


async def test_the_log_is_pruned_to_its_newest_entry_and_stays_whole(log: Log) -> None:
    head = await log.write_at_once(2 * BATCH_ROWS + 100)
    later = NOW + timedelta(days=61)
    assert (await retention(log, now=later).clean())["activity"] == 2 * BATCH_ROWS + 99
    found = await log.verdict(head)
    assert (found.ok, found.entries, found.first_seq, found.head) == (True, 1, head.seq, head)
    assert await _count(log, activity_checkpoints) == [1]
    assert (await retention(log, now=later).clean())["activity"] == 0
    await log.write(2)
    assert await log.is_whole(head)


async def test_after_each_piece_the_log_is_whole(log: Log) -> None:
    await log.write_at_once(100)
    head = await log.write(1)
    for _ in range(10):
        assert await log.prune(NOW + timedelta(days=1), 10) == 10
        assert await log.is_whole(head)
    assert await log.prune(NOW + timedelta(days=1), 10) == 0


async def test_only_what_is_old_is_pruned_even_if_a_clock_went_back(log: Log) -> None:
    """Pruning ends at the first entry that is young: what stands behind it is kept, whatever its time says."""
    await log.write(6)
    entries = await log.entries()
    assert await log.prune(entries[3].at) == 3
    assert [entry.seq for entry in await log.entries()] == [4, 5, 6]
    assert await log.is_whole()


async def test_a_broken_log_is_not_pruned_and_everything_else_is(log: Log) -> None:
    await log.write(10)
    await log.tamper("UPDATE activity SET detail = '{}' WHERE seq = 5")
    await _requests(log, 3, NOW - timedelta(days=40))
    forgotten = await retention(log, now=NOW + timedelta(days=61)).clean()
    assert (forgotten["requests"], "activity" in forgotten) == (3, False)
    assert await log.count() == 10


async def test_appending_goes_on_while_it_is_pruned(log: Log) -> None:
    await log.write_at_once(3 * BATCH_ROWS)
    cleaning = asyncio.create_task(retention(log, now=NOW + timedelta(days=61)).clean())
    written = 0
    while not cleaning.done():
        await log.write(1)
        written += 1
    assert written > 3
    found = await log.verdict()
    assert found.ok, found.fault
    assert found.head.seq == 3 * BATCH_ROWS + written


async def test_of_several_daemons_one_cleans_each_time(database_url: str) -> None:
    async with opened(database_url) as first, opened(database_url) as second:
        logs = [Log(first), Log(second)]
        await _requests(logs[0], 2 * BATCH_ROWS, NOW - timedelta(days=40))
        await logs[0].write_at_once(BATCH_ROWS + 10)

        async def rounds(after: timedelta) -> list[dict[str, int]]:
            now = NOW + timedelta(days=61) + after
            done = await asyncio.gather(*(retention(log, now=now).round() for log in logs))
            return [result for result in done if result is not None]

        (result,) = await rounds(timedelta())
        assert (result["requests"], result["activity"]) == (2 * BATCH_ROWS, BATCH_ROWS + 9)
        assert await rounds(timedelta(minutes=29)) == []
        assert len(await rounds(timedelta(minutes=60))) == 1
        assert len(await rounds(timedelta(days=-30))) == 1, "a clock that was wrong stops nothing"
        assert await logs[1].is_whole()


async def test_two_that_clean_at_once_harm_nothing(database_url: str) -> None:
    async with opened(database_url) as first, opened(database_url) as second:
        logs = [Log(first), Log(second)]
        head = await logs[0].write_at_once(2 * BATCH_ROWS)
        later = NOW + timedelta(days=61)
        await asyncio.gather(*(retention(log, now=later).clean() for log in logs))
        assert await logs[1].is_whole(head)


async def test_while_the_database_is_away_nothing_is_raised(database_url: str) -> None:
    async with opened(database_url) as database:
        log = Log(database)
        await log.write(2)
    assert await retention(log).clean() == {}
    assert await retention(log).round() is None


@pytest.mark.parametrize("kind", ["requests", "activity"])
async def test_what_goes_wrong_with_one_kind_does_not_keep_the_others(log: Log, kind: str) -> None:
    await log.tamper(f"ALTER TABLE {kind} RENAME TO elsewhere")
    forgotten = await retention(log).clean()
    assert kind not in forgotten
    assert len(forgotten) == 7
