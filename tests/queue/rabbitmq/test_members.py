"""What the dispatcher concludes from the signs of a daemon, as tables."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from llmgate.daemon.queue.rabbitmq.members import (
    PROMPT_SECONDS,
    RETURNS,
    SILENT_SECONDS,
    SLEEP_SECONDS,
    SUSPECT_SECONDS,
    Member,
    Presence,
    StallWatch,
    degraded_shares,
    judge,
    may_free,
)

PRESENT, SILENT, LOST, DEAD = Presence.PRESENT, Presence.SILENT, Presence.LOST, Presence.DEAD
NOW = 1000.0
LONG = SUSPECT_SECONDS + 1
JUST = 0.1
WHILE = SILENT_SECONDS + 0.1


def a_member(before: Presence, silent_for: float, returned: int = 0, away_for: float = 0.0, **more: bool) -> Member:
    """Silent for so long; its pings have been coming back for ``away_for`` seconds."""
    answered = more.get("has_answered", True)
    return Member(
        "a",
        heard_at=NOW - silent_for,
        has_answered=answered,
        returned=returned,
        returned_since=NOW - away_for,
        presence=before,
    )


@pytest.mark.parametrize(
    ("before", "silent_for", "returned", "away_for", "expected"),
    [
        # it answers
        (PRESENT, JUST, 0, 0.0, PRESENT),
        (SILENT, JUST, 0, 0.0, PRESENT),
        (LOST, JUST, 0, 0.0, PRESENT),
        (DEAD, JUST, 0, 0.0, PRESENT),
        # it does not answer
        (PRESENT, WHILE, 0, 0.0, SILENT),
        (SILENT, WHILE, 0, 0.0, SILENT),
        (SILENT, LONG, 0, 0.0, SILENT),
        # one ping came back: it connects anew
        (PRESENT, JUST, RETURNS - 1, 0.0, PRESENT),
        (PRESENT, WHILE, RETURNS - 1, WHILE, SILENT),
        # its inbox is gone, and it answered until then
        (PRESENT, JUST, RETURNS, 0.0, DEAD),
        (SILENT, WHILE, RETURNS, 0.0, DEAD),
        (SILENT, PROMPT_SECONDS - 0.01, RETURNS, 0.0, DEAD),
        (SILENT, PROMPT_SECONDS + 20, RETURNS + 99, 20.5, DEAD),
        # its inbox is gone, and it was silent before: frozen or cut off, perhaps
        (SILENT, PROMPT_SECONDS + 0.01, RETURNS, 0.0, LOST),
        (SILENT, LONG, RETURNS + 99, 1.0, LOST),
        # what was concluded stays until it is heard of
        (DEAD, LONG, RETURNS + 99, 0.0, DEAD),
        (LOST, WHILE, RETURNS + 1, 0.0, LOST),
        (DEAD, LONG, 0, 0.0, DEAD),
        (LOST, LONG, 0, 0.0, LOST),
    ],
)
def test_what_the_signs_say(
    before: Presence, silent_for: float, returned: int, away_for: float, expected: Presence
) -> None:
    member = a_member(before, silent_for, returned, away_for)
    assert judge(member, NOW, trust_returns=True) is expected


@pytest.mark.parametrize(
    ("before", "silent_for", "expected"),
    [
        (PRESENT, JUST, PRESENT),
        (PRESENT, WHILE, SILENT),
        (SILENT, LONG, SILENT),
        (LOST, LONG, LOST),
        (DEAD, LONG, DEAD),
    ],
)
def test_returned_pings_say_nothing_while_every_inbox_is_gone(
    before: Presence, silent_for: float, expected: Presence
) -> None:
    assert judge(a_member(before, silent_for, RETURNS + 5), NOW, trust_returns=False) is expected


def test_a_daemon_that_was_only_heard_of_gets_nothing_yet() -> None:
    member = a_member(SILENT, silent_for=0.0, has_answered=False)
    assert judge(member, NOW, trust_returns=True) is SILENT


def test_a_daemon_that_was_never_there_is_dead() -> None:
    """A ticket in the broker names it, and nothing else is known."""
    member = a_member(SILENT, silent_for=0.5, returned=RETURNS, has_answered=False)
    assert judge(member, NOW, trust_returns=True) is DEAD


@pytest.mark.parametrize(
    ("presence", "silent_for", "only_suspects", "expected"),
    [
        (PRESENT, JUST, False, False),
        (PRESENT, JUST, True, False),
        (SILENT, WHILE, False, False),
        (SILENT, WHILE, True, False),  # its inbox is there: it may be frozen, and run
        (SILENT, LONG, False, True),
        (LOST, WHILE, False, False),
        (LOST, WHILE, True, True),
        (LOST, LONG, False, True),
        (DEAD, JUST, False, True),
        (DEAD, LONG, True, True),
    ],
)
def test_whose_slots_may_go_to_others(
    presence: Presence, silent_for: float, only_suspects: bool, expected: bool
) -> None:
    assert may_free(a_member(presence, silent_for), NOW, only_suspects=only_suspects) is expected


Slots = Mapping[str, int]


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        # who did not dispatch: what it was using
        ({}, None, {"one": 0, "two": 0}),
        ({"one": 2}, None, {"one": 2, "two": 0}),
        ({"one": 9, "two": 1}, None, {"one": 4, "two": 1}),  # never more than there are
        ({"gone": 3}, None, {"one": 0, "two": 0}),
        # the last dispatcher: what nobody else was using
        ({}, {}, {"one": 4, "two": 1}),
        ({"one": 1}, {"one": 3}, {"one": 1, "two": 1}),
        ({"one": 1}, {"one": 3, "two": 1}, {"one": 1, "two": 0}),
        ({}, {"one": 7}, {"one": 0, "two": 1}),
    ],
)
def test_the_shares_without_a_broker(own: Slots, others: Slots | None, expected: Slots) -> None:
    assert degraded_shares(own, {"one": 4, "two": 1}, others) == expected


@pytest.mark.parametrize("running", [{"a": 1, "b": 2, "c": 0}, {"a": 0, "b": 0, "c": 0}, {"a": 4, "b": 0, "c": 0}])
@pytest.mark.parametrize("dispatcher", ["a", "b", None])
def test_the_shares_of_all_daemons_never_exceed_the_slots(running: Mapping[str, int], dispatcher: str | None) -> None:
    shares = []
    for boot, own in running.items():
        others = sum(count for other, count in running.items() if other != boot)
        told = {"gpu": others} if boot == dispatcher else None
        shares.append(degraded_shares({"gpu": own}, {"gpu": 4}, told)["gpu"])
    assert sum(shares) == (4 if dispatcher else sum(running.values()))


@pytest.mark.parametrize(
    ("noted", "now", "slept"),
    [
        ([1.0, 2.0, 3.0], 3.5, False),
        ([1.0, 2.0], 2.0 + SLEEP_SECONDS + 0.1, True),  # and does not know it yet
        ([1.0, 2.0, 9.0], 9.1, True),
        ([1.0, 2.0, 9.0, 10.0, 11.0], 9.0 + SLEEP_SECONDS - 0.1, True),
        ([1.0, 2.0, 9.0, 10.0, 11.0, 12.0, 13.0], 9.0 + SLEEP_SECONDS + 0.1, False),
    ],
)
def test_a_daemon_notices_that_it_was_frozen(noted: list[float], now: float, slept: bool) -> None:
    watch = StallWatch(0.0)
    for at in noted:
        watch.note(at)
    assert watch.slept_lately(now) is slept
