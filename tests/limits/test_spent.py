"""What a key has used: what the table holds, and what is not written yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, cast

import pytest

from llmgate.config import UsageSettings
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.events import RequestFinished
from llmgate.daemon.store.database import Database
from llmgate.daemon.usage import BATCH_ROWS, UsageRecorder
from llmgate.errors import StoreUnavailable
from tests.store.test_accounting import DONE

TODAY = date(2026, 3, 15)
KEY = "key:aB3dE5gH7j"
EVENT = replace(DONE, finished_at=datetime(2026, 3, 15, 8, tzinfo=UTC))  # 30 tokens


class NobodyAsked:
    def used(self) -> dict[str, datetime]:
        return {}


def a_recorder(database: Database) -> UsageRecorder:
    return UsageRecorder(database, cast("Authenticator", NobodyAsked()), UsageSettings())


async def test_nothing_is_counted_twice_or_missed_while_it_is_written(database: Database) -> None:
    recorder = a_recorder(database)
    for number in range(250):
        recorder(replace(EVENT, request_id=f"r{number}"))
    writing = asyncio.create_task(recorder.flush())
    seen = set()
    while not writing.done():
        seen.add((await recorder.spent([KEY], TODAY))[KEY])
    await writing
    seen.add((await recorder.spent([KEY], TODAY))[KEY])
    assert seen == {(7500, 7500)}
    assert recorder.unwritten(KEY) == 0


async def test_what_ends_while_it_writes_waits_for_the_next_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it never ends under load, and each row has a transaction of its own."""
    recorder = a_recorder(database)
    write, batches = UsageRecorder._write, []

    async def writing(self: UsageRecorder, batch: Sequence[RequestFinished]) -> None:
        batches.append(len(batch))
        await write(self, batch)
        if len(batches) < 100:
            recorder(replace(EVENT, request_id=f"late-{len(batches)}"))

    monkeypatch.setattr(UsageRecorder, "_write", writing)
    for number in range(BATCH_ROWS + 50):
        recorder(replace(EVENT, request_id=f"r{number}"))
    await recorder.flush()
    assert batches == [BATCH_ROWS, 51]  # one had ended before the second was begun
    assert recorder.pending == 1
    for number in range(3 * BATCH_ROWS):
        recorder(replace(EVENT, request_id=f"s{number}"))
    await recorder.flush()
    assert batches[2:] == [BATCH_ROWS] * 3 + [4]


async def test_days_and_months_are_told_apart_and_principals_too(database: Database) -> None:
    recorder = a_recorder(database)
    moments: list[tuple[datetime, Any]] = [
        (datetime(2026, 2, 28, 23, 59, tzinfo=UTC), {}),
        (datetime(2026, 3, 1, 0, 0, tzinfo=UTC), {}),
        (datetime(2026, 3, 14, 23, 59, tzinfo=UTC), {"model": "other", "submitted_level": 4}),
        (datetime(2026, 3, 15, 0, 0, tzinfo=UTC), {}),
        (datetime(2026, 3, 15, 1, 0, tzinfo=timezone(timedelta(hours=2))), {}),  # still the fourteenth in UTC
        (datetime(2026, 3, 15, 9, tzinfo=UTC), {"principal_id": "another"}),
        (datetime(2026, 3, 15, 9, tzinfo=UTC), {"principal_kind": "address"}),
        (datetime(2026, 3, 15, 9, tzinfo=UTC), {"input_tokens": None, "output_tokens": None}),
    ]
    for number, (moment, changes) in enumerate(moments):
        recorder(replace(EVENT, request_id=f"r{number}", finished_at=moment, **changes))
    await recorder.flush()
    found = await recorder.spent([KEY, "key:another", "key:nobody"], TODAY)
    assert found == {KEY: (30, 120), "key:another": (30, 30), "key:nobody": (0, 0)}


async def test_without_a_database_it_says_so(database: Database) -> None:
    recorder = a_recorder(database)
    recorder(EVENT)
    await database.close()
    with pytest.raises(StoreUnavailable):
        await recorder.spent([KEY], TODAY)
    with pytest.raises(StoreUnavailable):
        await recorder.flush()
    assert recorder.unwritten(KEY) == 30
