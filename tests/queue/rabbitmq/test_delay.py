"""A grant that was stuck somewhere is recognised, without clocks that agree."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from llmgate.daemon.queue.rabbitmq.owner import DELAY_WINDOW, LATE_SECONDS, Delay

QUICK = 0.001


def beyond(delay: Delay, sent: Iterable[tuple[float, float]], difference: float) -> list[float]:
    """What is seen of messages that are sent at a time, and are under way for so long."""
    return [delay.beyond(at + difference, at + under_way) for at, under_way in sent]


@pytest.mark.parametrize("difference", [0.0, 3600.0, -3600.0, 0.5, -0.5])
def test_a_constant_difference_of_the_clocks_does_not_matter(difference: float) -> None:
    """``difference`` is how far the sender's clock is ahead of ours."""
    delay = Delay()
    pings = [(number * 0.2, QUICK) for number in range(50)]
    assert max(beyond(delay, pings, difference)) == pytest.approx(0.0, abs=1e-6)
    (late,) = beyond(delay, [(10.0, 0.9)], difference)
    assert late == pytest.approx(0.9 - QUICK, abs=1e-6)
    assert late > LATE_SECONDS
    (prompt,) = beyond(delay, [(11.0, QUICK)], difference)
    assert prompt < LATE_SECONDS


@pytest.mark.parametrize("difference", [0.0, 100.0, -100.0])
def test_lateness_is_seen_over_several_windows(difference: float) -> None:
    """The shortest time of one window still counts in the next: a jam at its beginning is not taken for normal."""
    delay = Delay()
    beyond(delay, [(number * 0.2, QUICK) for number in range(int(DELAY_WINDOW / 0.2))], difference)
    jam = [(DELAY_WINDOW + 1 + number * 0.2, 1.5) for number in range(20)]
    assert min(beyond(delay, jam, difference)) > LATE_SECONDS


@pytest.mark.parametrize("speed", [1.001, 0.999])
def test_clocks_that_drift_are_followed(speed: float) -> None:
    """One part in a thousand, as no machine does: after an hour they differ by 3.6 s."""
    delay = Delay()
    seen = [delay.beyond(at * speed, at + QUICK) for at in (number * 0.2 for number in range(18_000))]
    assert max(seen) < LATE_SECONDS


def test_a_longer_way_becomes_normal_in_time() -> None:
    """A network that has become slower for good must not stop everything for good."""
    delay = Delay()
    beyond(delay, [(0.0, QUICK)], 0.0)
    slow = [(number * 0.2, 1.0) for number in range(1, int(3 * DELAY_WINDOW / 0.2))]
    seen = beyond(delay, slow, 0.0)
    assert seen[0] > LATE_SECONDS
    assert seen[-1] == pytest.approx(0.0)
