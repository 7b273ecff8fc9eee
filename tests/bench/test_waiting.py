"""What is said of those who wait."""

from __future__ import annotations

import pytest

from bench.health import Answers
from bench.waiting import out_of_order

CAME = {10: 100.0, 20: 101.0, 21: 101.01, 30: 102.0}


@pytest.mark.parametrize(
    ("served", "late"),
    [([10, 20, 21, 30], 0), ([10, 21, 20, 30], 0), ([10, 30, 20, 21], 2), ([30, 10, 20, 21], 3), ([20, 10, 21, 30], 1)],
)
def test_order_is_that_in_which_they_came(served: list[int], late: int) -> None:
    assert out_of_order(served, list(CAME), CAME) == late


@pytest.mark.parametrize("served", [[10, 20, 21], [10, 20, 20, 30], [10, 20, 21, 30, 40]])
def test_everybody_is_served_once(served: list[int]) -> None:
    with pytest.raises(RuntimeError):
        out_of_order(served, list(CAME), CAME)


def test_answers_are_counted_by_when_they_were_due() -> None:
    answers = Answers([("/a", 1.0, 0.010), ("/b", 1.0, 0.020), ("/a", 2.0, 0.030)])
    assert answers.between("/a", 0.0, 2.0) == [10.0]
    assert answers.between("/a", 2.0, 3.0) == [30.0]
