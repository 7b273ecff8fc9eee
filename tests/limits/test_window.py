"""The sliding window of a minute: two counters instead of a log of times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgate.daemon.limits.window import Counts, Window

MINUTE_5 = 300.0


def test_the_minute_before_counts_by_what_the_window_still_covers() -> None:
    window = Window()
    for _ in range(40):
        window.add(1, MINUTE_5 + 30)
    assert window.counts(MINUTE_5 + 59).used(MINUTE_5 + 59) == 40
    assert window.counts(MINUTE_5 + 75).used(MINUTE_5 + 75) == 30
    assert window.counts(MINUTE_5 + 119).used(MINUTE_5 + 119) == pytest.approx(40 / 60)
    assert window.counts(MINUTE_5 + 120).used(MINUTE_5 + 120) == 0


def test_what_is_taken_back_is_taken_from_its_own_minute_while_that_counts() -> None:
    window = Window()
    minute = window.add(100, MINUTE_5)
    window.add(10, MINUTE_5 + 60)
    window.take_back(70, minute, MINUTE_5 + 61)
    assert window.counts(MINUTE_5 + 61) == Counts(10, 30)
    window.take_back(1000, minute, MINUTE_5 + 62)
    assert window.counts(MINUTE_5 + 62) == Counts(10, 0)
    window.take_back(5, minute, MINUTE_5 + 500)  # long forgotten
    assert window.counts(MINUTE_5 + 500) == Counts(0, 0)


def test_a_daemon_whose_clock_is_a_little_ahead_is_counted_whole() -> None:
    ahead = Window()
    ahead.add(3, MINUTE_5 - 1)
    ahead.add(4, MINUTE_5 + 0.5)
    assert ahead.counts(MINUTE_5 - 0.5) == Counts(7, 0)


counts = st.builds(Counts, st.integers(0, 200), st.integers(0, 200))
moments = st.floats(0, 600, allow_nan=False)


@given(counts, moments, st.integers(1, 100), st.integers(1, 100))
def test_who_waits_as_long_as_told_fits_and_not_much_earlier(used: Counts, now: float, limit: int, amount: int) -> None:
    amount = min(amount, limit)
    wait = used.seconds_until_fits(amount, limit, now)
    assert 0 <= wait <= 120
    window = Window(int(now // 60), used.current, used.previous)
    assert window.counts(now + wait + 0.001).used(now + wait + 0.001) + amount <= limit + 0.01
    if wait > 1:
        early = now + wait - 1
        assert window.counts(early).used(early) + amount > limit - 0.01


@given(counts, moments)
def test_the_window_is_empty_when_it_is_told_to_be(used: Counts, now: float) -> None:
    then = now + used.seconds_until_empty(now) + 0.001
    assert Window(int(now // 60), used.current, used.previous).counts(then).used(then) < 0.01
