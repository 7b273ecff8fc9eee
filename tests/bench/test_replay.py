"""What the replay makes of traces and of simulated runs."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.replay_load import BATCH, CHAT, SLOTS, Load, demand, more_batch, offered, peak
from bench.replay_outcome import Case, Outcome, badly_told, bounds_of, longest_by_minute
from bench.replay_text import OTHER, harm, refused, spread, verdict
from bench.simulation import Order, Record, Request, Run, simulate
from bench.slot_idle import IdleWatch
from bench.traces import Call, calls, compact, expand, rotated
from llmgate.config import QueueSettings

ORIGINALS = {
    "code": "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n",
    "conv": "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:01.5000000,374,44\n",
}


def test_the_compact_form_keeps_both_traces_by_time() -> None:
    assert expand(compact(ORIGINALS)) == [Call("conv", 0.0, 374, 44), Call("code", 2.479, 4808, 10)]
    assert compact(ORIGINALS) == compact(ORIGINALS)


def test_the_traces_are_whole() -> None:
    assert Counter(call.trace for call in calls()) == {"conv": 19_366, "code": 8_819}
    assert [call.at for call in calls()] == sorted(call.at for call in calls())


def test_a_rotation_moves_one_trace_and_loses_nothing() -> None:
    taken = (Call("code", 0.0, 1, 1), Call("conv", 4.0, 2, 2), Call("code", 9.999, 3, 3))
    assert rotated(taken, "code", 0.5) == [
        Call("conv", 4.0, 2, 2), Call("code", 4.999, 3, 3), Call("code", 5.0, 1, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("load", [0.75, 1.1])
def test_the_traffic_asks_for_the_load_that_is_stated(load: float) -> None:
    requests = offered(calls(), load)
    assert demand(requests, requests[-1].at) == pytest.approx(load)
    assert peak(requests) > load


def test_more_batch_work_leaves_the_chats_as_they_are() -> None:
    before = offered(calls(), 0.75)
    after = more_batch(before, 1.1, run=1)
    assert [one for one in after if one.level == CHAT] == [one for one in before if one.level == CHAT]
    assert demand(after, before[-1].at) == pytest.approx(1.1, abs=0.02)
    assert after == more_batch(before, 1.1, run=1) != more_batch(before, 1.1, run=2)


def a_record(wait: float, level: int = BATCH, status: int = 200, **more: float) -> Record:
    request = Request(60.0, level, "key", seconds=2.0, tokens=1.0, cost=1.0)
    record = Record(request, status, 60.0 + wait if status == 200 else None, 60.0 + wait)
    record.retry_after = more.get("retry_after")
    record.aged_ahead = int(more["aged_ahead"]) if "aged_ahead" in more else None
    return record


def test_the_bound_counts_who_was_before_one_in_the_aged_lane() -> None:
    stats = simulate([], SLOTS, Order.LLMGATE, QueueSettings(aged_share=0.25)).stats
    records = [a_record(1), a_record(130, aged_ahead=9), a_record(0.5, CHAT), a_record(0, status=429)]
    bounds = [bound for _, bound in bounds_of(Run(records, stats, slots=4), QueueSettings(aged_share=0.25))]
    assert bounds == pytest.approx([120, 120 + 10 * 2 / (0.25 * 4) + 2, 1 * 2 / (0.75 * 4) + 2])
    hasty = bounds_of(Run(records, stats, slots=4), QueueSettings(aged_share=0.25, deadline_seconds=60))
    assert [bound for _, bound in hasty] == pytest.approx([60, 60, 1 * 2 / 3 + 2])


@pytest.mark.parametrize(
    ("record", "is_bad"),
    [
        (a_record(5), False),
        (a_record(0, status=429, retry_after=3), False),
        (a_record(0, status=429), True),
        (a_record(0.5, status=503, retry_after=3), True),
        (a_record(600, status=504), False),
        (a_record(601, status=504), True),
        (a_record(300, status=502), True),
    ],
)
def test_a_request_without_a_turn_is_told_in_time(record: Record, is_bad: bool) -> None:
    assert badly_told([record], deadline=600) == is_bad


def test_minutes_without_anybody_are_gaps() -> None:
    records = [a_record(3), a_record(7), a_record(1)]
    records[2].request = Request(185.0, BATCH, "key", 2.0, 1.0, 1.0)
    records[2].granted_at = 186.0
    assert [minute for minute, _ in longest_by_minute(records, BATCH)] == [1, 2, 3]
    assert str(longest_by_minute(records, BATCH)) == "[(1.0, 7.0), (2.0, nan), (3.0, 1.0)]"


def an_outcome(level_1_p99: float, late: int = 0, lost: int = 0) -> Outcome:
    told = {CHAT: Counter({200: 90 - lost, 429: lost}), BATCH: Counter({200: 5, 429: 4, 504: 1})}
    waits = {CHAT: (0.0, level_1_p99, level_1_p99), BATCH: (9.0, 9.0, 9.0)}
    return Outcome(waits, told, 2.0, 0.9, 0.1, late, 0.5, {})


def outcomes(level_1_p99: float, late: int = 0, lost: int = 0) -> dict[Case, Outcome]:
    found = {Case(load, Order.LLMGATE, alone=True): an_outcome(1.0) for load in (Load.FITS, Load.FASTER)}
    for run in range(5):
        found |= {Case(load, order, run): an_outcome(level_1_p99, late, lost) for load in Load for order in Order}
        found[Case(Load.MORE_BATCH, Order.LLMGATE, run, other=True)] = an_outcome(1.0)
    return found


def test_harm_is_told_in_mean_service_times() -> None:
    assert harm(Load.FITS, [an_outcome(4.0)], outcomes(4.0)) == [1.5]
    assert refused(an_outcome(1.0), 429, 503) == pytest.approx(4.0)


def test_the_text_does_not_say_reached_where_it_was_not() -> None:
    assert "is reached in all runs. No request" in verdict(Load.FITS, outcomes(2.9))
    assert "**not reached** in 5 of 5" in verdict(Load.FITS, outcomes(2.0, lost=3))
    assert "is **not reached** in 5 of 5 runs. **10 requests**" in verdict(Load.FITS, outcomes(3.1, late=2))
    told = verdict(Load.MORE_BATCH, outcomes(3.1))
    assert "**not reached** in 5 of 5" in told.split(OTHER)[0]
    assert "reached in all runs" in told.split(OTHER)[1]


def test_runs_that_differ_are_told_with_their_ends() -> None:
    assert spread([3.0, 1.0, 2.0]) == "**2.00** (1.00 to 3.00)"
    assert spread([2.0, 2.0]) == "2.00"


def test_a_slot_is_idle_from_when_somebody_waits_for_it() -> None:
    watch = IdleWatch(slots=1)
    watch.submitted(1.0)
    watch.granted(1.5)
    watch.submitted(2.0)  # waits for the slot, which is not idle
    watch.submitted(3.0)
    watch.released(5.0)
    watch.granted(5.25)
    watch.released(6.0)
    watch.granted(6.125)
    assert watch.gaps == [0.5, 0.25, 0.125]
    with pytest.raises(IndexError):
        watch.granted(7.0)


def test_a_grant_ends_the_longest_idleness() -> None:
    watch = IdleWatch(slots=2)
    watch.submitted(1.0)
    watch.submitted(2.0)
    watch.granted(2.5)
    watch.granted(4.0)
    assert watch.gaps == [1.5, 2.0]
