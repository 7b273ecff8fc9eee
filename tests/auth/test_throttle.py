"""Guessing is slowed down; people are not locked out."""

from __future__ import annotations

import pytest

from llmgate.daemon.auth.throttle import LoginThrottle
from llmgate.errors import AuthenticationFailed, StoreUnavailable, TooManyAttempts
from tests.auth.conftest import Clock


def _fail(throttle: LoginThrottle, name: str, address: str) -> float:
    """Try and fail; returns the delay that was asked for instead, 0 when the attempt was allowed."""
    try:
        with throttle.attempt(name, address):
            raise AuthenticationFailed
    except AuthenticationFailed:
        return 0
    except TooManyAttempts as refused:
        return refused.retry_after or -1


def _succeed(throttle: LoginThrottle, name: str, address: str) -> None:
    with throttle.attempt(name, address):
        pass


def test_from_the_fifth_failure_on_the_delay_doubles_up_to_a_quarter_of_an_hour(
    throttle: LoginThrottle, clock: Clock
) -> None:
    assert [_fail(throttle, "ann", "10.0.0.1") for _ in range(5)] == [0] * 5
    delays = []
    for _ in range(12):
        delay = _fail(throttle, "ann", "10.0.0.1")
        delays.append(delay)
        clock.advance(delay - 0.01)
        assert _fail(throttle, "ann", "10.0.0.1") == pytest.approx(0.01)
        clock.advance(0.01)
        assert _fail(throttle, "ann", "10.0.0.1") == 0
    assert delays == pytest.approx([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900])


def test_the_owner_of_a_name_can_log_in_from_elsewhere(throttle: LoginThrottle) -> None:
    for _ in range(20):
        _fail(throttle, "ann", "10.0.0.1")
    _succeed(throttle, "ann", "10.0.0.2")
    assert _fail(throttle, "ANN", "10.0.0.1") > 0
    _succeed(throttle, "bob", "10.0.0.1")


def test_success_and_an_hour_of_peace_forgive(throttle: LoginThrottle, clock: Clock) -> None:
    for _ in range(4):
        _fail(throttle, "ann", "10.0.0.1")
    _succeed(throttle, "ann", "10.0.0.1")
    assert [_fail(throttle, "ann", "10.0.0.1") for _ in range(5)] == [0] * 5
    clock.advance(3601)
    assert [_fail(throttle, "ann", "10.0.0.1") for _ in range(5)] == [0] * 5


def test_ten_thousand_guesses_from_one_address_are_fewer_than_a_hundred_checks(throttle: LoginThrottle) -> None:
    allowed = sum(_fail(throttle, f"name{number}", "10.0.0.1") == 0 for number in range(10_000))
    assert allowed < 100
    _succeed(throttle, "ann", "10.0.0.2")


def test_whoever_shares_an_address_with_a_guesser_waits_half_a_minute_at_most(
    throttle: LoginThrottle, clock: Clock
) -> None:
    for number in range(1000):
        clock.advance(_fail(throttle, f"name{number}", "10.0.0.1"))
    assert 0 < _fail(throttle, "ann", "10.0.0.1") <= 30


def test_the_addresses_of_one_ipv6_customer_count_as_one(throttle: LoginThrottle) -> None:
    for number in range(5):
        _fail(throttle, "ann", f"2001:db8::{number}")
    assert _fail(throttle, "ann", "2001:db8::ffff") > 0
    assert _fail(throttle, "ann", "2001:db8:0:1::1") == 0


def test_attempts_at_the_same_moment_count_before_they_have_failed(throttle: LoginThrottle) -> None:
    attempts = [throttle.attempt("ann", "10.0.0.1") for _ in range(6)]
    for attempt in attempts[:5]:
        attempt.__enter__()
    with pytest.raises(TooManyAttempts):
        attempts[5].__enter__()


def test_our_own_trouble_does_not_count(throttle: LoginThrottle) -> None:
    for _ in range(100):
        with pytest.raises(StoreUnavailable), throttle.attempt("ann", "10.0.0.1"):
            raise StoreUnavailable
    _succeed(throttle, "ann", "10.0.0.1")


def test_memory_is_bounded(throttle: LoginThrottle) -> None:
    for number in range(30_000):
        _fail(throttle, "x" * 1000, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(throttle._records) == 20_000
    assert max(len(name) for name, _ in throttle._records) == 200
