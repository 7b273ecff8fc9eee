"""Whatever somebody does to the log who can write into the database, but does not hold the key, is found."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta

import pytest

from llmgate.daemon.chain import BATCH_ROWS, Head
from llmgate.daemon.store import activity as store
from llmgate.daemon.store.activity import GENESIS
from llmgate.daemon.store.types import utc_now
from llmgate.errors import Conflict
from tests.activity.support import Log

COPY = (
    "INSERT INTO activity SELECT {seq}, at, actor_kind, actor_id, actor_name, address, request_id, action, target_id,"
    " target_name, detail, hash FROM activity WHERE seq = {of}"
)


async def test_an_untouched_log_is_whole_and_tells_where_it_ends(log: Log) -> None:
    empty = await log.verdict()
    assert (empty.ok, empty.entries, empty.first_seq, empty.head) == (True, 0, None, Head(0, GENESIS))
    head = await log.write(5)
    found = await log.verdict(head)
    assert (found.ok, found.entries, found.first_seq, found.head) == (True, 5, 1, head)
    assert head.seq == 5
    await log.write(1)
    assert await log.is_whole(head), "it has grown since the head was noted"


async def test_a_long_log_is_read_in_pieces(log: Log) -> None:
    head = await log.write_at_once(2 * BATCH_ROWS + 7)
    found = await log.verdict()
    assert (found.ok, found.entries, found.head) == (True, 2 * BATCH_ROWS + 7, head)


@pytest.mark.parametrize(
    "column",
    ["actor_kind", "actor_id", "actor_name", "address", "request_id", "action", "target_id", "target_name", "detail"],
)
async def test_a_changed_field_is_found(log: Log, column: str) -> None:
    await log.write(4)
    await log.tamper(f"UPDATE activity SET {column} = {column} || ' ' WHERE seq = 3")  # noqa: S608 - our own words
    assert await log.fault() == (3, "altered")


async def test_a_changed_time_is_found_to_the_microsecond(log: Log) -> None:
    await log.write(3)
    async with log.database.begin() as tx:
        entry = await store.get(tx, 2)
        changed = store.activity.update().where(store.activity.c.seq == 2)
        await tx.execute(changed.values(at=entry.at + timedelta(microseconds=1)))
    assert await log.fault() == (2, "altered")


async def test_a_hash_that_was_changed_or_copied_is_found(log: Log) -> None:
    await log.write(4)
    await log.tamper("UPDATE activity SET hash = (SELECT hash FROM activity WHERE seq = 1) WHERE seq = 2")
    assert await log.fault() == (2, "altered")
    await log.tamper("UPDATE activity SET hash = 'ünfug' WHERE seq = 2")
    assert await log.fault() == (2, "altered")


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 3), (3, 3), (2, 5)])
async def test_what_was_deleted_at_the_beginning_or_in_the_middle_is_missed(log: Log, first: int, last: int) -> None:
    await log.write(6)
    await log.tamper("DELETE FROM activity WHERE seq BETWEEN :first AND :last", first=first, last=last)
    assert await log.fault() == (first, "missing")


async def test_an_entry_that_was_inserted_is_found(log: Log) -> None:
    await log.write(4)
    await log.tamper("UPDATE activity SET seq = -seq WHERE seq > 2", "UPDATE activity SET seq = 1 - seq WHERE seq < 0")
    await log.tamper(COPY.format(seq=3, of=2))
    assert await log.fault() == (3, "altered")


@pytest.mark.parametrize("seq", [0, -7])
async def test_an_entry_before_the_first_is_found(log: Log, seq: int) -> None:
    await log.write(2)
    await log.tamper(COPY.format(seq=seq, of=1))
    assert await log.fault() == (seq, "revived")


async def test_an_entry_that_was_appended_by_hand_is_found(log: Log) -> None:
    await log.write(2)
    await log.tamper(COPY.format(seq=3, of=2))
    assert await log.fault() == (3, "altered")


async def test_entries_that_changed_places_are_found(log: Log) -> None:
    await log.write(4)
    await log.tamper(
        "UPDATE activity SET seq = 99 WHERE seq = 2",
        "UPDATE activity SET seq = 2 WHERE seq = 3",
        "UPDATE activity SET seq = 3 WHERE seq = 99",
    )
    assert await log.fault() == (2, "altered")


async def test_a_log_rewritten_under_another_key_is_found(log: Log) -> None:
    await log.write(3)
    previous = GENESIS
    async with log.database.begin() as tx:
        for entry in await log.entries():
            forged = dataclasses.replace(entry, actor_name="eve")
            previous = store.digest(b"guess" * 8, previous, forged)
            changed = store.activity.update().where(store.activity.c.seq == entry.seq)
            await tx.execute(changed.values(actor_name="eve", hash=previous))
    assert await log.fault() == (1, "altered")


async def test_an_end_that_was_cut_off_is_missed_by_who_remembers_the_head(log: Log) -> None:
    head = await log.write(5)
    await log.tamper("DELETE FROM activity WHERE seq > 3")
    assert await log.is_whole(), "nobody can know, without a head"
    assert await log.fault(head) == (4, "end_missing")
    await log.write(4)
    assert await log.fault(head) == (5, "other_history")


@pytest.mark.parametrize("more", [1, 2, 5])
async def test_a_daemon_goes_on_to_miss_the_end_of_its_log_whatever_it_writes_afterwards(log: Log, more: int) -> None:
    head = await log.write(5)
    await log.tamper("DELETE FROM activity WHERE seq > 3")
    assert await log.write(more) == head, "what the daemon remembers"
    assert await log.fault(head) == ((5, "other_history") if more > 1 else (5, "end_missing"))


async def test_a_daemon_whose_last_entry_was_pruned_misses_nothing(log: Log) -> None:
    await log.write(3)
    other = Log(log.database)
    await other.write(3)
    assert await log.prune(utc_now(), 4) == 4
    await log.write()
    assert log.changes.written is not None
    assert log.changes.written[0] == 7
    assert await log.is_whole(Head(*log.changes.written))


async def test_a_log_that_was_emptied_is_missed_by_who_remembers_the_head(log: Log) -> None:
    head = await log.write(3)
    await log.tamper("DELETE FROM activity")
    assert await log.fault(head) == (1, "end_missing")


async def test_who_holds_the_key_cannot_hide_a_rewrite_from_who_remembers_the_head(log: Log) -> None:
    head = await log.write(3)
    await log.tamper("DELETE FROM activity")
    await log.write(3, other="history")
    assert await log.is_whole()
    assert await log.fault(head) == (3, "other_history")


async def test_a_changed_moved_or_removed_checkpoint_is_found(log: Log) -> None:
    await log.write(10)
    assert await log.prune(utc_now(), 4) == 4
    assert await log.is_whole()
    kept = "CREATE TABLE kept AS SELECT * FROM activity_checkpoints"
    restore = ("DELETE FROM activity_checkpoints", "INSERT INTO activity_checkpoints SELECT * FROM kept")
    await log.tamper(kept)
    for change in (
        "seq = 5",
        "seq = 3",
        "hash = (SELECT hash FROM activity WHERE seq = 6)",
        f"signature = '{'0' * 64}'",
        "at = (SELECT at FROM activity WHERE seq = 5)",
    ):
        await log.tamper(f"UPDATE activity_checkpoints SET {change}")  # noqa: S608 - our own words
        assert (await log.fault())[1] == "checkpoint", change
        await log.tamper(*restore)
        assert await log.is_whole()
    await log.tamper("DELETE FROM activity_checkpoints")
    assert await log.fault() == (1, "missing")


async def test_a_checkpoint_cannot_be_moved_forward_to_hide_what_followed(log: Log) -> None:
    """Whoever deletes old entries would need a signature over the last of them."""
    await log.write(10)
    await log.prune(utc_now(), 2)
    await log.tamper(
        "UPDATE activity_checkpoints SET seq = 6, hash = (SELECT hash FROM activity WHERE seq = 6)",
        "DELETE FROM activity WHERE seq <= 6",
    )
    assert await log.fault() == (6, "checkpoint")


async def test_entries_deleted_behind_the_checkpoint_are_missed(log: Log) -> None:
    await log.write(10)
    await log.prune(utc_now(), 4)
    await log.tamper("DELETE FROM activity WHERE seq = 5")
    assert await log.fault() == (5, "missing")
    await log.tamper("DELETE FROM activity")
    assert await log.fault() == (5, "end_missing")


async def test_an_entry_that_was_pruned_and_is_there_again_is_found(log: Log) -> None:
    await log.write(6)
    await log.prune(utc_now(), 4)
    await log.tamper(COPY.format(seq=2, of=5))
    assert await log.fault() == (2, "revived")


async def test_what_was_tampered_with_is_never_pruned(log: Log) -> None:
    """Pruning would sign it, and the proof would be gone."""
    await log.write(6)
    await log.tamper("UPDATE activity SET actor_name = 'eve' WHERE seq = 2")
    with pytest.raises(Exception, match="Entry 2 is not as it was written"):
        await log.prune(utc_now(), 4)
    assert await log.count() == 6


async def test_a_head_from_before_the_checkpoint_can_no_longer_be_compared(log: Log) -> None:
    early = await log.write(2)
    at_the_end = await log.write(2)
    await log.write(2)
    await log.prune(utc_now(), 4)
    assert await log.is_whole(early, at_the_end)
    assert await log.fault(Head(4, "0" * 64)) == (4, "other_history")


async def test_a_garbled_time_is_told_and_no_crash(log: Log) -> None:
    """SQLite takes any text as a time; PostgreSQL does not, so there it is only another time."""
    await log.write(5)
    garbled = "'not a time'" if log.database.is_sqlite else "'-infinity'"
    await log.tamper(f"UPDATE activity SET at = {garbled} WHERE seq = 4")  # noqa: S608 - our own words
    assert await log.fault() == (4, "unreadable")


async def test_two_verifications_at_once_are_one_too_many(log: Log) -> None:
    await log.write_at_once(3)
    results = await asyncio.gather(log.verdict(), log.verdict(), return_exceptions=True)
    assert [type(result) for result in results[1:]] == [Conflict]
    assert await log.is_whole()


async def test_who_has_gone_away_gets_no_verdict_worth_reading(log: Log) -> None:
    await log.write_at_once(3)

    async def gone() -> bool:
        return True

    found = await log.chain.verify(given_up=gone)
    assert found.entries == 0
