"""What the keeper of limits lets through, and what it does not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from llmgate.daemon.limits import judge
from llmgate.daemon.limits.claim import Claim
from llmgate.errors import BudgetExceeded, RateLimitExceeded, StoreUnavailable, TooManyConcurrent
from tests.limits.support import BEGIN, NOON, World, admitted, principal

TODAY = NOON.date()


@pytest.fixture
def world() -> World:
    return World()


def test_requests_of_a_minute(world: World) -> None:
    keeper, robot = world.daemon(), principal(requests_per_minute=10)
    assert admitted(keeper, robot, 15) == 10
    world.now += 60 + 30  # half of the minute before still counts
    assert admitted(keeper, robot, 15) == 5
    with pytest.raises(RateLimitExceeded) as refused:
        keeper.admit(robot, 0)
    assert refused.value.retry_after == 6
    world.now += 6
    assert admitted(keeper, robot, 15) == 1
    assert admitted(keeper, principal("other", requests_per_minute=10), 15) == 10


def test_who_is_refused_does_not_use_up_anything(world: World) -> None:
    keeper, robot = world.daemon(), principal(requests_per_minute=2)
    assert admitted(keeper, robot, 500) == 2
    world.now += 120
    assert admitted(keeper, robot, 500) == 2


def test_tokens_are_reserved_and_then_corrected(world: World) -> None:
    keeper, robot = world.daemon(), principal(tokens_per_minute=1000)
    first, second = keeper.admit(robot, 400), keeper.admit(robot, 400)
    with pytest.raises(RateLimitExceeded, match="tokens per minute"):
        keeper.admit(robot, 400)
    first.settle(50)
    third = keeper.admit(robot, 400)
    second.settle(900)
    third.settle(0)
    assert keeper.use(robot).tokens_used == 950
    with pytest.raises(RateLimitExceeded):
        keeper.admit(robot, 60)


def test_a_request_that_is_larger_than_a_minute_allows_is_served_when_the_minute_is_empty(world: World) -> None:
    keeper, robot = world.daemon(), principal(tokens_per_minute=100)
    keeper.admit(robot, 5000).settle(150)
    with pytest.raises(RateLimitExceeded) as refused:
        keeper.admit(robot, 5000)
    assert refused.value.retry_after == 120
    world.now += 120
    keeper.admit(robot, 5000).settle(10)


def test_requests_at_once_wait_or_run(world: World) -> None:
    keeper, robot = world.daemon(), principal(max_concurrent=2)
    waits, runs = keeper.admit(robot, 0), keeper.admit(robot, 0)
    runs.runs()
    with pytest.raises(TooManyConcurrent) as refused:
        keeper.admit(robot, 0)
    assert refused.value.retry_after == 1
    runs.leave()
    keeper.admit(robot, 0).settle(0)
    runs.settle(0)
    waits.settle(0)
    assert keeper.unsettled == 0


def test_a_claim_is_settled_once(world: World) -> None:
    keeper, robot = world.daemon(), principal(max_concurrent=5, tokens_per_minute=1000)
    claim = keeper.admit(robot, 100)
    for _ in range(3):
        claim.runs()
        claim.leave()
        claim.settle(30)
        claim.runs(False)
    use = keeper.use(robot)
    assert (use.in_flight, use.reserved, use.tokens_used) == (0, 0, 30)


async def test_a_budget_begins_with_what_the_database_holds(world: World) -> None:
    world.written["key:robot", TODAY] = (600, 5000)
    keeper, robot = world.daemon(), principal(tokens_per_day=1000)
    await keeper.prepare(robot)
    keeper.admit(robot, 10).settle(399)
    keeper.admit(robot, 10).settle(50)
    with pytest.raises(BudgetExceeded, match="1,000 tokens per day") as refused:
        keeper.admit(robot, 10)
    assert refused.value.retry_after == 12 * 3600
    assert refused.value.hint == "It begins anew at 2026-02-01 00:00 UTC."


async def test_a_month_ends_with_the_calendars(world: World) -> None:
    world.written["key:robot", TODAY] = (0, 5000)
    keeper, robot = world.daemon(), principal(tokens_per_month=5000)
    await keeper.prepare(robot)
    with pytest.raises(BudgetExceeded, match="per month"):
        keeper.admit(robot, 1)
    world.now += 12 * 3600  # the first of February; the database knows nothing of it
    await keeper.prepare(robot)
    assert admitted(keeper, robot, 1, 10) == 1


async def test_what_is_in_flight_may_use_up_a_budget(world: World) -> None:
    keeper, robot = world.daemon(), principal(tokens_per_day=1000)
    await keeper.prepare(robot)
    claims = [keeper.admit(robot, 600), keeper.admit(robot, 600)]
    with pytest.raises(BudgetExceeded, match="in flight") as refused:
        keeper.admit(robot, 1)
    assert refused.value.retry_after == 5
    for claim in claims:
        claim.settle(10)
    keeper.admit(robot, 600).settle(10)


async def test_the_database_is_not_asked_for_each_request(world: World) -> None:
    keeper, robot = world.daemon(), principal(tokens_per_day=10**6)
    for _ in range(100):
        await keeper.prepare(robot)
        keeper.admit(robot, 10).settle(10)
    assert world.reads == 1
    world.now += 20  # it was not seen for a while, nor its budget read
    await keeper.prepare(robot)
    assert world.reads == 2


async def test_in_an_outage_of_the_database_what_is_known_is_good_enough(world: World) -> None:
    keeper, robot, stranger = world.daemon(), principal(tokens_per_day=100), principal("new", tokens_per_day=100)
    await keeper.prepare(robot)
    keeper.admit(robot, 10).settle(90)
    world.is_down = True
    world.now += 60
    await keeper.prepare(robot)
    assert admitted(keeper, robot, 5, 10) == 1
    with pytest.raises(StoreUnavailable):
        await keeper.prepare(stranger)


def test_of_several_limits_the_one_that_lasts_longest_is_told(world: World) -> None:
    keeper, robot = world.daemon(), principal(max_concurrent=1, requests_per_minute=1)
    keeper.admit(robot, 0)
    with pytest.raises(RateLimitExceeded):
        keeper.admit(robot, 0)


def test_a_change_of_limits_holds_from_the_next_request_on_for_what_was_counted_before(world: World) -> None:
    keeper = world.daemon()
    assert admitted(keeper, principal(requests_per_minute=100), 50) == 50
    assert admitted(keeper, principal(requests_per_minute=60), 50) == 10


def test_headers_as_openai_writes_them(world: World) -> None:
    keeper, robot = world.daemon(), principal(requests_per_minute=10, tokens_per_minute=1000)
    assert keeper.headers(principal("free")) == []
    world.now = BEGIN + 20
    keeper.admit(robot, 300)
    assert dict(keeper.headers(robot)) == {
        b"x-ratelimit-limit-requests": b"10",
        b"x-ratelimit-remaining-requests": b"9",
        b"x-ratelimit-reset-requests": b"1m40s",
        b"x-ratelimit-limit-tokens": b"1000",
        b"x-ratelimit-remaining-tokens": b"700",
        b"x-ratelimit-reset-tokens": b"1m40s",
    }


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.02, "20ms"), (1, "1s"), (59.2, "1m0s"), (360, "6m0s"), (3661, "1h1m1s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert judge.duration(seconds) == text


def test_who_is_idle_is_forgotten_and_who_is_in_flight_is_not(world: World) -> None:
    keeper = world.daemon()
    claim = keeper.admit(principal("busy", max_concurrent=1), 0)
    admitted(keeper, principal("idle", requests_per_minute=1), 1)
    world.now += 3600
    keeper.forget()
    assert list(keeper._tallies) == ["key:busy"]
    claim.settle(0)
    world.now += 3600
    keeper.forget()
    assert keeper._tallies == {}


# -- several daemons -------------------------------------------------------------------------


def test_requests_per_minute_hold_over_two_daemons(world: World) -> None:
    one, two, robot = world.daemon("one"), world.daemon("two"), principal(requests_per_minute=30)
    passed = 0
    for _ in range(40):  # two requests a second at each, told once a second
        passed += admitted(one, robot, 2) + admitted(two, robot, 2)
        world.beat()
        world.now += 1
    assert 30 <= passed <= 30 + 4 + 1  # one second's traffic, and what fades out of the window


def test_concurrent_requests_hold_over_two_daemons(world: World) -> None:
    one, two, robot = world.daemon("one"), world.daemon("two"), principal(max_concurrent=3, max_waiting=2)
    claims = [one.admit(robot, 0), two.admit(robot, 0)]
    world.beat()
    assert (one.may_wait(robot), two.may_wait(robot)) == (1, 1)
    claims.append(two.admit(robot, 0))
    world.beat()
    for keeper in (one, two):
        with pytest.raises(TooManyConcurrent):
            keeper.admit(robot, 0)
    for claim in claims:
        claim.settle(0)
    world.beat()
    claims = [one.admit(robot, 0) for _ in range(3)]


def test_a_daemon_that_falls_silent_is_believed_for_five_seconds(world: World) -> None:
    one, two, robot = world.daemon("one"), world.daemon("two"), principal(max_concurrent=1)
    one.admit(robot, 0)
    world.beat()
    world.cut = True
    world.now += 4
    with pytest.raises(TooManyConcurrent):
        two.admit(robot, 0)
    world.now += 2
    two.admit(robot, 0)


async def test_a_budget_holds_over_two_daemons_whatever_is_written_yet(world: World) -> None:
    one, two, robot = world.daemon("one"), world.daemon("two"), principal(tokens_per_day=1000)
    await one.prepare(robot)
    await two.prepare(robot)
    world.beat()
    one.admit(robot, 1).settle(700)
    world.unwritten["one", "key:robot"] = 700
    world.beat()
    assert two.use(robot).today == 700
    two.admit(robot, 1).settle(200)
    world.unwritten["two", "key:robot"] = 200
    world.beat()
    assert (one.use(robot).today, two.use(robot).today) == (900, 900)
    world.written["key:robot", TODAY] = (700, 700)  # the first one writes, and the second one reads
    world.unwritten["one", "key:robot"] = 0
    world.now += 20
    world.beat()
    await two.prepare(robot)
    await one.prepare(robot)
    assert (one.use(robot).today, two.use(robot).today) == (900, 900)
    two.admit(robot, 1).settle(100)
    world.unwritten["two", "key:robot"] = 300
    world.beat()
    for keeper in (one, two):
        with pytest.raises(BudgetExceeded):
            keeper.admit(robot, 1)


async def test_what_a_daemon_that_is_gone_had_not_written_is_not_counted_beside_what_it_then_wrote(
    world: World,
) -> None:
    one, two, robot = world.daemon("one"), world.daemon("two"), principal(tokens_per_day=1000)
    await two.prepare(robot)
    one.admit(robot, 1).settle(700)
    world.unwritten["one", "key:robot"] = 700
    world.beat()
    assert two.use(robot).today == 700
    del world.keepers["one"]  # it is stopped, and writes what it has
    world.written["key:robot", TODAY] = (700, 700)
    world.now += 20
    await two.prepare(robot)
    assert two.use(robot).today == 700


def test_a_message_is_bounded_and_one_that_cannot_be_read_is_refused(world: World) -> None:
    sent: list[dict[str, list[float]]] = []
    keeper = world.daemon()
    keeper._tell = lambda topic, body: sent.append(body)
    busy = keeper.admit(principal("busy", max_concurrent=1), 0)
    for number in range(700):
        world.now += 0.01
        admitted(keeper, principal(f"key-{number}", requests_per_minute=1), 1)
    keeper.tell_others()
    assert len(sent[0]) == 500
    assert {"key:busy", "key:key-699"} <= set(sent[0])
    busy.settle(0)
    world.now += 3600
    keeper.tell_others()
    keeper.tell_others()
    assert sent[1:] == [{}]  # nothing is used any more: that is told once
    for unreadable in ({"key:a": [1, 2]}, {"key:a": ["x"] * 11}, {"key:a": [float("nan")] * 11}, {"key:a": 7}):
        with pytest.raises((ValueError, TypeError)):
            keeper.heard("other", unreadable)
    keeper.heard("other", {"key:a": [-1] * 11})
    keeper.heard("other", {"key:a": [1e300] * 11})


def test_claims_survive_a_change_of_the_minute_and_of_the_day(world: World) -> None:
    keeper, robot = world.daemon(), principal(tokens_per_minute=1000)
    claim: Claim = keeper.admit(robot, 400)
    world.now += timedelta(days=1).total_seconds()
    claim.settle(500)
    assert keeper.use(robot).tokens_used == 100  # what was not expected counts when it is known
