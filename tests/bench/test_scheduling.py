"""Rates and percentiles of several daemons."""

from __future__ import annotations

from bench.scheduling import Took, percentiles, rate


def test_the_rate_is_that_of_all_daemons_together() -> None:
    assert rate([Took([1.0] * 10, 2.0), Took([1.0] * 30, 4.0)]) == 10


def test_percentiles_are_those_of_all_turns() -> None:
    cuts = percentiles([Took([1.0] * 99, 1.0), Took([5.0], 1.0)])
    assert (cuts[49], cuts[97]) == (1.0, 1.0)
    assert cuts[98] > 1.0
