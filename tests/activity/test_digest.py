"""What is hashed is what both databases give back, whatever was written."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmgate.daemon.events import ActivityRecorded
from llmgate.daemon.store import activity as store
from llmgate.daemon.store.activity import GENESIS, Actor, Note
from llmgate.daemon.store.types import Text, storable
from tests.activity.support import KEY, Log

ENTRY = ActivityRecorded(
    1,
    datetime(2026, 5, 1, 12, 0, 0, 123456, UTC),
    "session",
    "id",
    "ann",
    "::1",
    "r",
    "key.create",
    "k",
    "name",
    "{}",
    "",
)
TEXT = st.text(st.characters(exclude_categories=()), max_size=300)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT, lambda inner: st.lists(inner, max_size=3)
)
ODD = [
    "a\0b",
    "\ud800",
    "\udfff x",
    "🦊" * 150,
    "e\u0301",
    "é",
    "\u202e",
    "ﬃ",
    "'\";--",
    "\r\n\t\x1b[2J",
    "",
    "x" * 30_000,
]


@pytest.mark.parametrize("text", ODD)
async def test_odd_text_survives_both_databases(log: Log, text: str) -> None:
    actor = Actor(text, text, text, text, text)
    async with log.changes.begin(actor) as change:
        change.note("key.create", text, text, value=text, also=[text, {text[:50]: text}])
        change.note("key.create", "2")
    assert await log.is_whole()
    assert len(await log.entries()) == 2


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    texts=st.lists(TEXT, min_size=7, max_size=7), detail=st.dictionaries(st.sampled_from("abcdef"), JSON, max_size=3)
)
def test_any_entry_has_the_hash_of_what_is_stored(texts: list[str], detail: dict[str, Any]) -> None:
    """What ``storable`` makes of a text is final: making it storable again, as the column does, changes nothing."""
    actor, note = Actor(*texts[:5]), Note("key.create", texts[5], texts[6], detail)
    made = store.entry_of(7, actor, note)
    bound: dict[str, Any] = {
        column.name: storable(getattr(made, column.name), column.type.longest)
        for column in store.activity.columns
        if isinstance(column.type, Text)
    }
    again = dataclasses.replace(made, **bound)
    assert store.digest(KEY, GENESIS, again) == store.digest(KEY, GENESIS, made)
    assert len(made.detail) <= 20_000
    json.loads(made.detail)


@given(offset=st.integers(-23 * 60, 23 * 60), moment=st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001
def test_the_same_moment_has_the_same_hash_in_every_time_zone(offset: int, moment: datetime) -> None:
    here = moment.replace(tzinfo=UTC)
    there = here.astimezone(timezone(timedelta(minutes=offset)))
    hashes = {store.digest(KEY, GENESIS, dataclasses.replace(ENTRY, at=at)) for at in (here, there)}
    assert len(hashes) == 1


def test_every_field_and_the_one_before_count() -> None:
    original = store.digest(KEY, GENESIS, ENTRY)
    seen = {original, store.digest(b"other", GENESIS, ENTRY), store.digest(KEY, original, ENTRY)}
    for field in dataclasses.fields(ENTRY):
        value = getattr(ENTRY, field.name)
        changes: dict[str, Any] = {"seq": 2, "at": ENTRY.at + timedelta(microseconds=1)}
        changed = dataclasses.replace(ENTRY, **{field.name: changes.get(field.name, f"{value}x")})
        if field.name == "hash":
            assert store.digest(KEY, GENESIS, changed) == original, "an entry's own hash cannot be part of it"
        else:
            seen.add(store.digest(KEY, GENESIS, changed))
    assert len(seen) == 3 + len(dataclasses.fields(ENTRY)) - 1


def test_text_cannot_move_from_one_field_to_the_next() -> None:
    one = dataclasses.replace(ENTRY, actor_id="a", actor_name='b","c')
    two = dataclasses.replace(ENTRY, actor_id='a","b', actor_name="c")
    assert store.digest(KEY, GENESIS, one) != store.digest(KEY, GENESIS, two)


async def test_microseconds_are_kept(log: Log) -> None:
    for _ in range(5):
        await log.write(1)
    entries = await log.entries()
    assert any(entry.at.microsecond % 1000 for entry in entries)
    assert await log.is_whole()


async def test_a_detail_that_is_too_long_says_so_and_stays_json(log: Log) -> None:
    async with log.changes.begin(Actor("local", "1", "x")) as change:
        change.note("settings.set", "a", values=["x" * 1000] * 50, other=1)
    [entry] = await log.entries()
    assert json.loads(entry.detail) == {"too_long": ["other", "values"]}
    assert await log.is_whole()


@pytest.mark.parametrize(("ahead", "corrected"), [(timedelta(seconds=20), True), (timedelta(days=9000), False)])
async def test_a_clock_that_is_a_little_ahead_keeps_times_in_order_and_one_gone_wrong_spoils_nothing(
    log: Log, monkeypatch: pytest.MonkeyPatch, ahead: timedelta, corrected: bool
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(store, "utc_now", lambda: datetime.now(UTC) + ahead)
        await log.write(1)
    await log.write(2)
    first, second, third = [entry.at for entry in await log.entries()]
    assert (first == second == third) is corrected
    assert (second < first - timedelta(days=1)) is not corrected
    assert await log.is_whole()
    async with log.database.read() as tx:
        found = await store.page(tx, since=datetime.now(UTC) - timedelta(hours=1))
    assert [entry.seq for entry in found] == ([3, 2, 1] if corrected else [3, 2])
