"""When a held ticket goes back to the broker, and since when it stands where it arrives."""

from __future__ import annotations

import pytest

from llmgate.config import QueueSettings
from llmgate.daemon.queue.policy import AGED_LANE
from llmgate.daemon.queue.rabbitmq.aging import (
    BOUNCE,
    FRESH,
    MOST_RETURNED,
    SLACK,
    AgingManager,
    Held,
    hops,
    remaining_ms,
)
from llmgate.daemon.queue.rabbitmq.wire import TicketMessage
from tests.queue.factory import a_ticket

NOW = 1000.0
AGING = 10.0


def a_message(ticket_id: str = "t1", level: int = 4, *, since: float = NOW, aged: bool = False) -> TicketMessage:
    return TicketMessage(a_ticket(ticket_id, level=level), "a", 0, level, aged, since)


def held(message: TicketMessage, line: int, since: float, held_since: float = NOW) -> Held:
    return Held(message, 1, line, line, line == AGED_LANE, since, held_since)


@pytest.fixture
def manager() -> AgingManager:
    return AgingManager(QueueSettings(aging_seconds=AGING, hold_seconds=60))


@pytest.mark.parametrize(
    ("level", "aged", "line", "expected"),
    [
        (5, False, 5, 0),
        (5, False, 4, 1),
        (5, False, 2, 3),
        (5, False, AGED_LANE, 4),
        (2, False, AGED_LANE, 1),
        (1, False, 1, 0),
        (2, True, AGED_LANE, 0),
    ],
)
def test_how_many_lines_it_has_moved_up(level: int, aged: bool, line: int, expected: int) -> None:
    assert hops(a_message(level=level, aged=aged), line) == expected


@pytest.mark.parametrize(
    ("line", "age", "stands_for"),
    [
        # just published, or just moved on by the broker: its time there begins now
        (4, 0.0, 0.0),
        (4, FRESH * AGING - 0.01, 0.0),
        (3, AGING + 0.008, 0.0),
        (3, AGING - 0.4, 0.0),  # written again with nearly its whole time before it, it had that whole time anew
        (AGED_LANE, 3 * AGING + 0.02, 0.0),
        # handed out late: it waited behind a full window, or another dispatcher held it
        (4, 4.0, 4.0),
        (3, AGING + 9.0, 9.0),
        (2, 2 * AGING + 1.0, 1.0),
        (4, 3 * AGING, 3 * AGING),
    ],
)
def test_since_when_it_stands_there(manager: AgingManager, line: int, age: float, stands_for: float) -> None:
    since = manager.arrival(a_message(since=NOW - age), line, NOW)
    assert since == pytest.approx(NOW - stands_for + SLACK)


@pytest.mark.parametrize("ahead", [0.0, 0.3, 5.0])
def test_an_owner_whose_clock_is_ahead_does_not_hold_its_ticket_up(manager: AgingManager, ahead: float) -> None:
    """The broker ages by its own clock, and so do we: what arrives from the future has just arrived."""
    assert manager.arrival(a_message(since=NOW + ahead), 4, NOW) == pytest.approx(NOW + SLACK)


def test_what_comes_back_to_the_same_line_was_early_and_is_tried_again_soon(manager: AgingManager) -> None:
    message, now = a_message(), NOW + AGING + SLACK
    since = NOW + SLACK
    for times in (1, 2, 4, 8):
        manager.returned(held(message, 4, since))
        now = since + AGING + 0.002
        since = manager.arrival(message, 4, now)
        assert since + AGING == pytest.approx(now + times * BOUNCE)
    for _ in range(20):
        manager.returned(held(message, 4, since))
        now = since + AGING + 0.002
        since = manager.arrival(message, 4, now)
    assert since + AGING == pytest.approx(now + AGING / 4)


def test_what_comes_back_to_the_same_line_before_its_time_goes_on_where_it_was(manager: AgingManager) -> None:
    """It was returned only because it had been held for long. Each time it counts as before."""
    message = a_message()
    since = manager.arrival(message, 4, NOW)
    for later in (0.2, 0.4, 4.0, 9.0):
        manager.returned(held(message, 4, since))
        assert manager.arrival(message, 4, NOW + later) == since


def test_what_comes_to_the_next_line_did_not_bounce(manager: AgingManager) -> None:
    message = a_message(since=NOW)
    manager.returned(held(message, 4, NOW))
    assert manager.arrival(message, 3, NOW + AGING + 0.01) == pytest.approx(NOW + AGING + 0.01 + SLACK)


def test_what_was_returned_is_remembered_up_to_a_bound(manager: AgingManager) -> None:
    for number in range(MOST_RETURNED + 1):
        manager.returned(held(a_message(f"t{number}"), 4, NOW - 7.0))
    assert manager.arrival(a_message("t0"), 4, NOW + 0.1) == pytest.approx(NOW + 0.1 + SLACK)
    assert manager.arrival(a_message("t1"), 4, NOW + 0.1) == pytest.approx(NOW - 7.0)


# -- holding -------------------------------------------------------------------------------


def test_who_is_held_for_long_is_named_in_the_order_of_the_times(manager: AgingManager) -> None:
    """Also when one that has been held for longer enters later: it was offered in between."""
    late, early = (held(a_message(name), 4, NOW, held_since=at) for name, at in (("t1", NOW), ("t2", NOW - 30)))
    manager.hold(late)
    manager.hold(early)
    assert manager.next_hold() == pytest.approx(NOW + 30)
    assert list(manager.held_too_long(NOW + 29)) == []
    assert list(manager.held_too_long(NOW + 30)) == [early]
    assert list(manager.held_too_long(NOW + 90)) == [late]
    assert manager.next_hold() is None


def test_who_is_let_go_is_not_named(manager: AgingManager) -> None:
    one, other = held(a_message("t1"), 4, NOW), held(a_message("t2"), 4, NOW)
    manager.hold(one)
    manager.hold(one)
    manager.hold(other)
    manager.let_go(one)
    manager.returned(other)
    assert manager.next_hold() is None
    assert list(manager.held_too_long(NOW + 99)) == []


def test_holding_is_forgotten_when_it_is_over(manager: AgingManager) -> None:
    """A thousand grants a second must not fill the memory for as long as tickets may be held."""
    for number in range(20_000):
        one = held(a_message(f"t{number}"), 4, NOW)
        manager.hold(one)
        manager.let_go(one)
    assert len(manager._holds._entries) < 1000


# -- what is left of a ticket's time ---------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (a_message(level=1, since=NOW - 5), None),  # does not age
        (a_message(level=2, since=NOW - 5, aged=True), None),
        (a_message(level=3, since=NOW), None),  # the whole time: the queue's own
        (a_message(level=3, since=NOW - 0.4), None),
        (a_message(level=3, since=NOW + 5), None),
        (a_message(level=3, since=NOW - 1), 9000),
        (a_message(level=2, since=NOW - 9.9), 100),
        (a_message(level=5, since=NOW - 10), 1),
        (a_message(level=5, since=NOW - 100), 1),
    ],
)
def test_the_rest_of_its_time(message: TicketMessage, expected: int | None) -> None:
    assert remaining_ms(message, AGING, NOW) == expected
