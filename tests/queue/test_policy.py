"""The policy by itself: what the scenarios do not reach."""

from __future__ import annotations

import doctest

from hypothesis import given
from hypothesis import strategies as st

from llmgate.daemon.queue import flows, policy
from llmgate.daemon.queue.flows import IDLE_FLOWS, LazyHeap, Line, Waiting
from llmgate.daemon.queue.policy import AGED_LANE, Promotion, WaitingLine, share_out
from llmgate.daemon.queue.slots import UpstreamState, choose_upstream
from tests.queue.factory import a_ticket


def a_line(aging_seconds: float = 30.0, aged_share: float = 0.25) -> WaitingLine:
    return WaitingLine(aging_seconds=aging_seconds, aged_share=aged_share)


def take_all(line: WaitingLine) -> list[str]:
    taken = []
    while turn := line.take():
        taken.append(turn.ticket.id)
    return taken


def test_the_example_in_the_documentation_is_true() -> None:
    assert doctest.testmod(policy).failed == 0


def test_nobody_waits_nobody_goes() -> None:
    line = a_line()
    assert line.take() is None
    assert line.next_due() is None
    assert line.order() == []
    assert not line.remove("t1")
    assert not line.set_level("t1", 3, 0.0)


def test_a_late_timer_costs_nobody_time() -> None:
    line = a_line()
    ticket = a_ticket(level=5, at=0.0)
    line.add(ticket, 0.0)
    assert line.age(95.0) == [Promotion(ticket, 5, 4), Promotion(ticket, 4, 3), Promotion(ticket, 3, 2)]
    assert line.next_due() == 120.0
    assert line.age(119.9) == []
    assert line.age(120.0) == [Promotion(ticket, 2, AGED_LANE)]
    assert line.next_due() is None


def test_level_one_never_ages_and_nothing_ages_into_it() -> None:
    line = a_line()
    line.add(a_ticket("a1", level=1), 0.0)
    line.add(a_ticket("b1", level=2), 0.0)
    line.age(10_000.0)
    assert line.waiting_by_level() == {1: 1, 2: 0, 3: 0, 4: 0, 5: 0}
    assert line.aged_waiting == 1


def test_a_ticket_that_comes_back_enters_at_the_level_that_its_age_has_earned() -> None:
    line = a_line()
    for level in (1, 2, 3, 4, 5):
        line.add(a_ticket(f"t{level}", level=level, at=0.0), 65.0)
    standing = {level: line.standing(f"t{level}") for level in (1, 2, 3, 4, 5)}
    assert {level: (at.level, at.aged) for level, at in standing.items()} == {
        1: (1, False),
        2: (2, True),
        3: (2, True),
        4: (2, False),
        5: (3, False),
    }
    assert line.next_due() == 90.0


def test_a_clock_that_differs_a_little_does_not_put_anyone_back() -> None:
    line = a_line()
    line.add(a_ticket(level=3, at=10.5), 10.0)
    assert line.standing("t1").level == 3


def test_a_grant_out_of_the_aged_lane_is_charged_to_the_flow_at_its_own_level() -> None:
    line = a_line()
    for ticket_id in ("a1", "a2"):
        line.add(a_ticket(ticket_id, level=3, at=0.0), 0.0)
    line.age(60.0)
    line.add(a_ticket("a3", level=3, at=60.0), 60.0)
    line.add(a_ticket("b1", level=3, at=61.0), 61.0)
    assert [turn.ticket.id for _ in range(3) if (turn := line.take())] == ["a3", "b1", "a1"]
    turn = line.take()
    assert turn is not None
    assert (turn.ticket.id, turn.aged) == ("a2", True)
    assert line._lines[3].counter("a") == 300.0
    line.correct(turn, 40.0)
    assert line._lines[3].counter("a") == 240.0


@given(
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from("abc"), st.integers(1, 500)), max_size=40),
    st.integers(0, 130),
)
def test_the_order_told_is_the_order_of_service(tickets: list[tuple[int, str, int]], now: int) -> None:
    line = a_line(aged_share=0.3)
    for n, (level, flow, cost) in enumerate(tickets):
        line.add(a_ticket(f"t{n}", level=level, flow=flow, at=float(n), cost=float(cost)), float(n))
    line.age(float(now + len(tickets)))
    has_aged = line.aged_waiting > 0
    order = line.order()
    taken = take_all(line)
    assert sorted(order) == sorted(taken)
    if not has_aged:  # grants out of the aged lane also charge a flow, which the forecast leaves out
        assert order == taken


def test_who_does_not_fit_is_passed_over_and_the_flow_of_who_goes_is_charged() -> None:
    line = a_line()
    for n, name in enumerate(["a1", "a2", "b1", "b2"]):
        line.add(a_ticket(name, level=2, at=float(n), model="m" if name == "a1" else "x"), float(n))
    line.add(a_ticket("c1", level=3, at=9.0, model="m"), 9.0)
    taken = [turn.ticket.id for _ in range(4) if (turn := line.take(lambda ticket: ticket.model == "x"))]
    assert taken == ["b1", "a2", "b2"]
    assert (line._lines[2].counter("a"), line._lines[2].counter("b")) == (100.0, 200.0)
    assert take_all(line) == ["a1", "c1"]


def test_the_share_of_the_aged_lane_is_counted_only_while_both_sides_could_go() -> None:
    line = a_line(aging_seconds=1.0)
    for n in range(4):
        line.add(a_ticket(f"aged{n}", level=2, at=0.0, model="x" if n else "m"), 0.0)
    line.age(1.0)
    for n in range(8):
        line.add(a_ticket(f"new{n}", level=1, at=1.0, model="m" if n < 2 else "x"), 1.0)
    fitting = [turn.ticket.id for _ in range(5) if (turn := line.take(lambda ticket: ticket.model == "x"))]
    assert fitting == ["new2", "new3", "new4", "aged1", "new5"]
    alone = [turn.ticket.id for _ in range(3) if (turn := line.take(lambda ticket: ticket.level == 2))]
    assert alone == ["aged0", "aged2", "aged3"]


@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from([0.1, 0.2, 0.25, 0.5, 0.9]))
def test_while_both_wait_the_share_is_exact(ordinary: int, aged: int, share: float) -> None:
    merged = share_out(["o"] * ordinary, ["a"] * aged, share, 0.0)
    assert sorted(merged) == ["a"] * aged + ["o"] * ordinary
    for n in range(1, len(merged) + 1):
        got = merged[:n].count("a")
        if got < aged and n - got < ordinary:
            assert got == int(n * share + 1e-6)


def test_flows_that_went_away_are_forgotten() -> None:
    line = a_line()
    for n in range(3 * IDLE_FLOWS):
        line.add(a_ticket(f"t{n}", flow=f"f{n}", cost=float(3 * IDLE_FLOWS - n)), 0.0)
        line.take()
    assert len(line._lines[2]._idle) <= IDLE_FLOWS
    assert line._lines[2].counter("f0") is None


def test_an_idle_flow_keeps_what_it_was_served_beyond_the_others() -> None:
    line = Line()
    for stamp, ticket_id in enumerate(("a1", "b1", "b2"), start=1):
        entry = Waiting(a_ticket(ticket_id), 2, 0.0)
        entry.stamp = stamp
        line.add(entry)
    first = line.first()
    assert first is not None
    first.stamp = flows.DEAD
    line.remove(first, served=5000.0)
    assert line.counter("a") == 5000.0
    line.charge("a", -4000.0)
    assert line.counter("a") == 1000.0
    line.charge("nobody", -1.0)
    assert line.counter("nobody") is None


def test_a_heap_does_not_keep_the_dead() -> None:
    heap: LazyHeap[float, Waiting] = LazyHeap()
    for stamp in range(1, 10_001):
        entry = Waiting(a_ticket(), 2, 0.0)
        entry.stamp = stamp
        heap.push(float(stamp), entry)
        if stamp % 100:
            entry.stamp = flows.DEAD
    assert len(heap._entries) <= 400
    assert [entry.stamp for entry in heap.ordered()] == list(range(100, 10_001, 100))


def upstream(
    name: str, *, running: int = 0, slots: int = 2, usable: bool = True, loaded: str = "", models: str = ""
) -> UpstreamState:
    offered = frozenset(models.split()) or None
    return UpstreamState(name, "main", slots, usable, frozenset(loaded.split()), running, models=offered)


def chosen(*candidates: UpstreamState, model: str = "m1", avoid: str = "") -> str | None:
    found = choose_upstream(candidates, a_ticket(model=model, avoid=frozenset(avoid.split())))
    return found.name if found else None


def test_an_upstream_without_a_free_slot_or_out_of_use_is_not_chosen() -> None:
    assert chosen() is None
    assert chosen(upstream("a", running=2), upstream("b", usable=False)) is None
    assert chosen(upstream("a", running=2), upstream("b", running=1)) == "b"


def test_upstreams_are_chosen_by_avoidance_then_model_then_load_then_name() -> None:
    assert chosen(upstream("b"), upstream("a")) == "a"
    assert chosen(upstream("a", running=1), upstream("b", running=1, slots=4)) == "b"
    assert chosen(upstream("a"), upstream("b", running=1, loaded="m1")) == "b"
    assert chosen(upstream("a", loaded="m1"), upstream("b"), avoid="a") == "b"
    assert chosen(upstream("a", loaded="m1"), avoid="a") == "a"


def test_an_upstream_without_the_model_is_never_chosen() -> None:
    assert chosen(upstream("a", models="m2")) is None
    assert chosen(upstream("a", models="m2"), upstream("b", models="m1 m2", running=1)) == "b"
    assert chosen(upstream("a", models="m2"), upstream("b", models="m1", running=2)) is None


def test_a_busy_upstream_is_waited_for_rather_than_one_to_avoid() -> None:
    assert chosen(upstream("a"), upstream("b", running=2), avoid="a") is None
    assert chosen(upstream("a"), upstream("b", running=2, usable=False), avoid="a") == "a"
    assert chosen(upstream("a"), upstream("b", models="m2"), avoid="a") == "a"
    assert chosen(upstream("a", running=2), upstream("b"), avoid="a b") == "b"


def test_a_resting_slot_is_not_free() -> None:
    resting = upstream("a", slots=1)
    resting.resting = 1
    assert chosen(resting) is None


def test_a_flow_that_is_new_starts_level_with_the_least_served_that_were_taken_over() -> None:
    """Otherwise it would be served alone until it had caught up with what the others got long ago."""
    line = WaitingLine(aging_seconds=30, aged_share=0.25)
    line.adopt({2: {"old": 100_000.0, "older": 200_000.0}})
    for number in range(3):
        line.add(a_ticket(f"new{number}", at=1.0, flow="new"), 1.0)
        line.add(a_ticket(f"old{number}", at=2.0, flow="old"), 2.0)
    turns = [turn.ticket.flow for _ in range(6) if (turn := line.take())]
    assert turns == ["new", "old"] * 3
