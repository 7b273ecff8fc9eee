"""The request log, and the sums that outlive it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.event import listen

from llmgate.daemon.auth.principals import Role
from llmgate.daemon.events import RequestFinished
from llmgate.daemon.queue.ticket import Outcome
from llmgate.daemon.store import requests, usage, users
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.usage_sums import GroupBy, Narrowed, UsageRow, summary
from llmgate.errors import InvalidRequest
from tests.services.fixtures import opened

NOON = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
DAY = timedelta(days=1)

DONE = RequestFinished(
    request_id="r1",
    finished_at=NOON,
    principal_kind="key",
    principal_id="aB3dE5gH7j",
    principal_name="nightly",
    user_id=None,
    protocol="openai",
    route="/v1/chat/completions",
    model="llama3:latest",
    pool="gpu",
    upstream="gpu-1",
    submitted_level=2,
    stream=True,
    outcome=Outcome.COMPLETED,
    status=200,
    error_code=None,
    wait=0.5,
    first_byte=0.75,
    duration=2.0,
    input_tokens=10,
    output_tokens=20,
)
REFUSED = replace(
    DONE,
    request_id="r2",
    pool=None,
    upstream=None,
    outcome=Outcome.REJECTED_FULL,
    status=503,
    error_code="queue_full",
    first_byte=None,
    input_tokens=None,
    output_tokens=None,
)


async def _log(database: Database, *events: RequestFinished) -> None:
    async with database.begin() as tx:
        await usage.add(tx, await requests.insert_many(tx, events))


async def _sums(database: Database, group_by: GroupBy, **narrow: Any) -> list[UsageRow]:
    async with database.read() as tx:
        return await summary(tx, group_by=group_by, since=NOON - DAY, until=NOON + 3 * DAY, narrowed=Narrowed(**narrow))


async def test_a_request_comes_back_as_it_was_logged(database: Database) -> None:
    await _log(database, DONE, REFUSED)
    async with database.read() as tx:
        assert await requests.page(tx) == [REFUSED, DONE]


async def test_a_batch_that_is_written_again_counts_once(database: Database) -> None:
    await _log(database, DONE, REFUSED)
    await _log(database)
    await _log(database, REFUSED, replace(DONE, request_id="r3"), DONE, DONE)
    async with database.read() as tx:
        assert [event.request_id for event in await requests.page(tx)] == ["r3", "r2", "r1"]
    assert [row.requests for row in await _sums(database, "model")] == [3]


async def test_batches_of_all_sizes_are_few_statements(database: Database) -> None:
    """Each connection keeps the statements that it has seen: a million requests must not make it larger and larger."""
    seen: set[str] = set()
    async with database.begin() as tx:
        engine = tx.sync_connection
        assert engine is not None
        listen(engine, "before_cursor_execute", lambda _, __, statement, *___: seen.add(statement))
        for size in range(1, 40):
            batch = [replace(DONE, request_id=f"r{size}-{number}") for number in range(size)]
            assert len(await requests.insert_many(tx, batch)) == size
    assert len([statement for statement in seen if statement.startswith("SELECT")]) <= 7


async def test_what_a_client_wrote_never_stops_the_log(database: Database) -> None:
    odd = replace(DONE, request_id="r9", model="\0\ud800" * 5_000, principal_name="'; DROP TABLE usage; --")
    await _log(database, odd, replace(odd, request_id="r10", model="\0\ud800" * 6_000))
    async with database.read() as tx:
        logged = (await requests.page(tx))[0]
    assert len(logged.model) == 200
    assert [row.requests for row in await _sums(database, "model")] == [2]
    assert [row.name for row in await _sums(database, "principal")] == ["'; DROP TABLE usage; --"]


async def test_pages_are_newest_first_and_can_be_narrowed(database: Database) -> None:
    events = [
        replace(
            DONE,
            request_id=f"r{number:03}",
            finished_at=NOON + timedelta(seconds=number // 3),
            model=f"m{number % 2}",
            principal_id=f"key{number % 5}",
            outcome=Outcome.COMPLETED if number % 4 else Outcome.UPSTREAM_FAILED,
        )
        for number in range(40)
    ]
    await _log(database, *events)
    async with database.read() as tx:
        listed: list[RequestFinished] = []
        while page := await requests.page(tx, after=listed[-1].request_id if listed else None, limit=7):
            listed += page
        assert listed == events[::-1]
        narrowed = await requests.page(
            tx, wanted=requests.Wanted(owner="key:key2", model="m0", outcome=Outcome.COMPLETED)
        )
        assert [event.request_id for event in narrowed] == ["r022", "r002"]
        with pytest.raises(InvalidRequest):
            await requests.page(tx, after="nothing")


async def test_old_requests_are_forgotten_and_their_sums_are_not(database: Database) -> None:
    await _log(database, DONE, replace(DONE, request_id="new", finished_at=NOON + DAY))
    async with database.begin() as tx:
        assert await requests.delete_before(tx, NOON + DAY, 10) == 1
        assert [event.request_id for event in await requests.page(tx)] == ["new"]
    assert [row.requests for row in await _sums(database, "model")] == [2]


async def test_sums_add_up_over_batches_and_daemons(database_url: str) -> None:
    async with opened(database_url) as one, opened(database_url) as two:
        batches = [
            [replace(DONE, request_id=f"{batch}-{number}", model=f"m{number % 3}") for number in range(30)]
            for batch in range(20)
        ]
        await asyncio.gather(*(_log((one, two)[number % 2], *batch) for number, batch in enumerate(batches)))
        rows = await _sums(one, "model")
    assert [(row.key, row.requests, row.input_tokens, row.output_tokens, row.wait_seconds) for row in rows] == [
        (f"m{number}", 200, 2000, 4000, 100.0) for number in range(3)
    ]


@pytest.mark.parametrize(
    ("outcome", "status", "errors"),
    [
        (Outcome.COMPLETED, 200, 0),
        (Outcome.COMPLETED, 404, 1),
        (Outcome.CLIENT_DISCONNECTED, 499, 0),
        (Outcome.CANCELLED_IN_QUEUE, 503, 0),
        (Outcome.UPSTREAM_FAILED, 200, 1),
        (Outcome.EXPIRED_IN_QUEUE, 504, 1),
        (Outcome.REJECTED_FULL, 503, 1),
        (Outcome.SHUTDOWN, 503, 1),
    ],
)
async def test_what_the_client_gave_up_is_no_error(
    database: Database, outcome: Outcome, status: int, errors: int
) -> None:
    await _log(database, replace(DONE, outcome=outcome, status=status))
    assert [row.errors for row in await _sums(database, "model")] == [errors]


async def test_usage_is_summed_by_whatever_is_asked_for(database: Database) -> None:
    async with database.begin() as tx:
        ann = await users.create(tx, name="ann", password_hash=None, role=Role.USER)
    session = replace(DONE, principal_kind="session", principal_id=ann.id, principal_name="ann", user_id=ann.id)
    await _log(
        database,
        DONE,
        replace(DONE, request_id="r3", principal_id="ownkey", principal_name="laptop", user_id=ann.id),
        replace(session, request_id="r4", submitted_level=3, model="qwen", finished_at=NOON + timedelta(hours=1)),
        replace(session, request_id="r5", submitted_level=3, model="qwen", finished_at=NOON + DAY),
        replace(DONE, request_id="r6", principal_kind="address", principal_id="10.0.0.1", principal_name="Office"),
        replace(DONE, request_id="too-late", finished_at=NOON + 4 * DAY),
    )

    async def counts(group_by: GroupBy, **narrow: str) -> dict[tuple[str, str], int]:
        return {(row.key, row.name): row.requests for row in await _sums(database, group_by, **narrow)}

    assert await counts("principal") == {
        (f"session:{ann.id}", "ann"): 2,
        ("address:10.0.0.1", "Office"): 1,
        ("key:aB3dE5gH7j", "nightly"): 1,
        ("key:ownkey", "laptop"): 1,
    }
    assert await counts("user") == {(ann.id, "ann"): 3, ("-", "-"): 2}
    assert await counts("key") == {("aB3dE5gH7j", "nightly"): 1, ("ownkey", "laptop"): 1}
    assert await counts("model") == {("llama3:latest", "llama3:latest"): 3, ("qwen", "qwen"): 2}
    assert await counts("level") == {("2", "2"): 3, ("3", "3"): 2}
    assert await counts("day") == {("2026-03-01", "2026-03-01"): 4, ("2026-03-02", "2026-03-02"): 1}
    hours = ["2026-03-01T12:00:00+00:00", "2026-03-01T13:00:00+00:00", "2026-03-02T12:00:00+00:00"]
    assert [row.key for row in await _sums(database, "hour")] == hours
    assert await counts("model", principal="key:ownkey") == {("llama3:latest", "llama3:latest"): 1}
    assert await counts("day", model="qwen") == {("2026-03-01", "2026-03-01"): 1, ("2026-03-02", "2026-03-02"): 1}
    assert await counts("day", principal="nonsense") == {}


async def test_the_last_known_name_stays_when_its_bearer_is_gone(database: Database) -> None:
    async with database.begin() as tx:
        ann = await users.create(tx, name="ann", password_hash=None, role=Role.USER)
    await _log(database, replace(DONE, user_id=ann.id))
    await _log(database, replace(DONE, request_id="r2", user_id=ann.id, principal_name="renamed"))
    async with database.begin() as tx:
        await users.delete(tx, ann.id)
    assert [row.name for row in await _sums(database, "key")] == ["renamed"]
    assert [row.key for row in await _sums(database, "user")] == [ann.id]
