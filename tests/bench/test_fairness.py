"""The measure of fairness, by hand, and that the suites are those of the paper."""

from __future__ import annotations

import pytest

from bench.fairness import FIFO, LEVEL_1, SUITES, backlogs, play, requests, service, widest_gap
from bench.simulation import Record, Request


def a_record(flow: str, at: float, granted_at: float, ended_at: float, tokens: float = 100.0) -> Record:
    return Record(Request(at, 1, flow, ended_at - granted_at, tokens, tokens), 200, granted_at, ended_at)


def test_service_grows_while_an_answer_is_under_way() -> None:
    records = [a_record("a", 0, 0.5, 2.5), a_record("a", 0, 3, 4), a_record("b", 0, 4, 9)]
    assert service(records, 5) == {"a": [0, 25, 75, 100, 200, 200], "b": [0, 0, 0, 0, 0, 20]}


def test_a_backlog_lasts_as_long_as_something_waits_without_a_break() -> None:
    records = [a_record("a", 0, 3, 9), a_record("a", 2, 5, 9), a_record("a", 7, 8, 9)]
    assert backlogs(records) == {"a": [(0, 5), (7, 8)]}


def test_the_gap_counts_only_while_both_wait() -> None:
    alone = [a_record("a", 0, 0, 10, 1000.0), a_record("b", 12, 12, 20)]
    assert widest_gap(alone, 20) == 0
    both = [
        a_record("a", 0, 0, 10, 1000.0), a_record("a", 0, 10, 12), a_record("b", 4, 8, 9), a_record("b", 4, 10, 12),
    ]  # fmt: skip
    # from the 5th second to the 10th: 500 for a, and 100 for b in the meantime
    assert widest_gap(both, 20) == pytest.approx(400)


def test_the_suites_ask_as_often_as_the_paper_s() -> None:
    overload, on_off, eight, mixed = ([request.flow for request in requests(suite, 1, seed=1)] for suite in SUITES)
    assert overload.count("client 2") == 2 * overload.count("client 1") == 3 * 360
    assert on_off.count("client 1") == pytest.approx(2 * 300, abs=2)
    assert len(eight) == pytest.approx(6 * 60 * 4.2, abs=8)
    assert mixed.count("client 1") == pytest.approx(8 * 600, rel=0.1)
    assert [suite.bound for suite in SUITES] == [38_912] * 4


def test_the_real_queue_keeps_the_bound_where_a_plain_line_does_not() -> None:
    suite = SUITES[0]
    assert widest_gap(play(suite, LEVEL_1, seed=9), 360) < suite.bound < widest_gap(play(suite, FIFO, seed=9), 360)
