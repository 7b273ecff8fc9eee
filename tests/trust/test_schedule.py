"""The same seed gives the same faults and the same requests."""

from __future__ import annotations

from collections import Counter

from tests.trust.answers import PATHS, expected, plan
from tests.trust.schedule import LEAST, LONG_ROUNDS, ROUND, SHORT, schedule

FAULTS = set(LEAST) - {"client_cut", "upstream_cut"}


def test_a_seed_decides_everything() -> None:
    assert schedule(7, 3) == schedule(7, 3)
    assert schedule(7, 3) != schedule(8, 3)
    assert [plan(7, f"nonce-{number}") for number in range(50)] == [plan(7, f"nonce-{number}") for number in range(50)]
    assert plan(7, "nonce-1") != plan(8, "nonce-1")


def test_a_long_run_does_everything_often_enough() -> None:
    counts = Counter(strike.kind for each in schedule(7, LONG_ROUNDS) for strike in each.strikes)
    assert {kind: counts[kind] for kind in FAULTS if counts[kind] < LEAST[kind]} == {}
    assert counts["cable"] >= 10


def test_a_short_run_does_everything() -> None:
    [only] = schedule(7, 1, SHORT)
    assert {strike.kind for strike in only.strikes} >= FAULTS
    assert set(ROUND) - set(SHORT) == {"daemon_freeze"}


def test_an_answer_belongs_to_its_nonce() -> None:
    plans = {nonce: plan(7, nonce) for nonce in (f"nonce-{number:03}" for number in range(300))}
    assert {wanted.path for wanted in plans.values()} == set(PATHS)
    assert all(nonce.encode() in expected(wanted) for nonce, wanted in plans.items())
    assert {wanted.leave for wanted in plans.values()} == {"", "early", "first", "middle"}
    assert any(wanted.cut is not None for wanted in plans.values())
