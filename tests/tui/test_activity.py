"""The activity log, from the keyboard to the daemon: filters, details, the live tail, and whether it is whole."""

from __future__ import annotations

import asyncio

import pytest

from llmgate import schemas
from llmgate.client.activity import Activity as ActivityClient
from llmgate.daemon.store.activity import activity
from llmgate.tui.screens.activity import Activity, head, verdict_facts
from tests.tui.harness import Hand, parses


def actions(listing: Activity) -> list[str]:
    return [row.action for row in listing.table.rows]


async def opened(hand: Hand) -> Activity:
    await hand.go("activity")
    listing = await hand.filled(Activity)
    await hand.until(lambda: bool(listing.table.rows), "entries")
    return listing


async def test_new_entries_come_by_themselves_newest_first(hand: Hand) -> None:
    listing = await opened(hand)
    await hand.site.made("keys", name="robot")
    await hand.until(lambda: actions(listing)[0] == "key.create", "the new entry on top")
    await hand.site.made("users", name="grace", password="correct horse battery")
    await hand.until(lambda: actions(listing)[:2] == ["user.create", "key.create"], "the next above it")
    assert parses("llmgate activity watch --last 5") in listing.also


async def test_it_is_filtered_at_the_daemon(hand: Hand) -> None:
    await hand.site.made("keys", name="robot")
    listing = await opened(hand)
    await hand.press("slash")
    await hand.write("action:key. target:robot since:1h actor:root")
    await hand.until(lambda: actions(listing) == ["key.create"], "only this entry")
    await hand.press("ctrl+u")
    await hand.write("until:1h")
    await hand.seen("Nothing fits the filter.")
    await hand.press("ctrl+u")
    await hand.write("since:soon")
    await hand.seen("is no time")
    await hand.press("ctrl+u")
    await hand.write("ada")
    await hand.until(lambda: set(actions(listing)) == {"session.login"}, "what ada did")


async def test_details_tell_each_change_before_and_after(hand: Hand) -> None:
    made = await hand.site.made("keys", name="robot", level=4)
    await hand.site.admin.patch(f"/admin/v1/keys/{made['id']}", json={"level": 2, "models": ["llama3.2"]})
    listing = await opened(hand)
    await hand.until(lambda: actions(listing)[0] == "key.update", "the change")
    row = listing.table.rows[0]
    await hand.press("g", "enter")
    await hand.seen("4 → 2")
    await hand.seen("· models")
    for text in (f"robot ({made['id']})", row.hash, row.request_id, "127.0.0.1"):
        await hand.seen(text)
    await hand.says_twin(f"llmgate activity show {row.seq}")
    assert parses(hand.twin) == "activity show"


async def test_two_models_of_a_new_key_are_no_change_from_one_to_the_other(hand: Hand) -> None:
    made = await hand.site.made("keys", name="robot", models=["llama3.2", "nosuch"])
    await hand.site.admin.patch(f"/admin/v1/keys/{made['id']}", json={"models": ["llama3.2"]})
    listing = await opened(hand)
    await hand.until(lambda: actions(listing)[:2] == ["key.update", "key.create"], "both entries")
    details = [dict(listing.told_of(row))["· models"] for row in listing.table.rows[:2]]
    assert details == ['["llama3.2", "nosuch"] → ["llama3.2"]', '["llama3.2", "nosuch"]']


async def test_a_verification_ends_when_another_daemon_is_shown(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def endless(self: ActivityClient, *given: object, **more: object) -> schemas.ActivityVerdict:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    monkeypatch.setattr(ActivityClient, "verify", endless)
    await opened(hand)
    await hand.press("V")
    await hand.seen("Verify the activity log")
    await hand.press("ctrl+s")
    await hand.until(begun.is_set, "the verification")
    await hand.app.switch(hand.app.link.target)
    await hand.until(ended.is_set, "its end")
    await hand.gone("Verifying the log")


async def test_a_whole_log_is_verified_and_its_head_can_be_expected(hand: Hand) -> None:
    await opened(hand)
    await hand.press("V")
    await hand.seen("Verify the activity log")
    await hand.write("3:abc")
    await hand.seen("looks like 1234:5f0c")
    await hand.press("ctrl+u")
    await hand.gone("looks like 1234:5f0c")
    await hand.press("ctrl+s")
    await hand.seen("The activity log is whole")
    assert parses(hand.twin) == "activity verify"
    await hand.press("escape", "V")
    await hand.seen("Verify the activity log")
    await hand.write(f"2:{'0' * 64}")
    await hand.press("ctrl+s")
    await hand.seen("The activity log is BROKEN")
    await hand.seen("other_history")
    await hand.says_twin(f"llmgate activity verify --expect 2:{'0' * 64}")
    assert parses(hand.twin) == "activity verify"


async def test_a_log_that_was_changed_is_told_broken_and_where(hand: Hand) -> None:
    await opened(hand)
    async with hand.site.gateway.services.database.begin() as tx:
        await tx.execute(activity.update().where(activity.c.seq == 2).values(actor_name="eve"))
    await hand.press("V")
    await hand.seen("Verify the activity log")
    await hand.press("ctrl+s")
    await hand.seen("The activity log is BROKEN")
    await hand.seen("Entry 2 is not as it was written")


async def test_a_verification_that_lasts_is_seen_and_everything_else_goes_on(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, verify = asyncio.Event(), ActivityClient.verify

    async def slow(self: ActivityClient, *given: object, **more: object) -> schemas.ActivityVerdict:
        await may_end.wait()
        return await verify(self, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(ActivityClient, "verify", slow)
    listing = await opened(hand)
    await hand.press("V")
    await hand.seen("Verify the activity log")
    await hand.press("ctrl+s")
    await hand.seen("Verifying the log, since 0 min")
    await hand.site.made("keys", name="robot")
    await hand.until(lambda: actions(listing)[0] == "key.create", "the list goes on meanwhile")
    may_end.set()
    await hand.seen("The activity log is whole")
    await hand.press("escape")
    await hand.gone("Verifying the log")


def test_a_head_is_read_as_it_was_told() -> None:
    assert head(f" 12:{'a' * 64} ") == schemas.ActivityHead(seq=12, hash="a" * 64)
    for odd in ("", "x", "3", f"0:{'a' * 64}", f"3:{'a' * 65}", f"-1:{'a' * 64}"):
        with pytest.raises(ValueError, match="looks like"):
            head(odd)


def test_a_verdict_tells_what_was_forgotten_in_good_order() -> None:
    place = schemas.ActivityVerdict.model_validate(
        {
            "ok": True,
            "entries": 12_345,
            "first_seq": 8,
            "head": {"seq": 9, "hash": "b" * 64},
            "checkpoint": {"seq": 7, "hash": "c" * 64, "at": "2026-11-25T00:00:00Z"},
            "fault": None,
            "seconds": 2.0,
        }
    )
    facts = dict(verdict_facts(place))
    assert facts["entries"] == "12,345"
    assert facts["pruned up to"] == "7, in good order"
    assert facts["head"] == f"9:{'b' * 64}"
    assert "broken at" not in facts
