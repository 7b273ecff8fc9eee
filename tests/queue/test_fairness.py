"""The service gap of backlogged flows stays within the bound that the VTC paper proves.

Sheng et al., OSDI '24: for two flows that both have something waiting, over any interval,
|W_f - W_g| <= 2 * max(w_p * L_input, w_q * M), with M the tokens of all that runs at once. The workloads
are those of the paper's synthetic suites, on a simulated upstream.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from llmgate.daemon.queue.policy import Turn, WaitingLine
from tests.queue.factory import a_ticket

SLOTS = 4
SECONDS_PER_TOKEN = 0.02
MINUTES = 6
ESTIMATED_OUTPUT = 400


@dataclass(frozen=True)
class Load:
    """A flow that asks ``rate`` times a second, with so many tokens in and out."""

    rate: float
    input: int = 256
    output: int = 256
    weight: float = 1.0
    ramp: float = 0.0
    """Added to ``rate`` every second."""


SUITES = {
    "overload": [Load(1.5), Load(3)],
    "overload of eight": [Load(0.4)] * 3 + [Load(0.6)] * 5,
    "short and long": [Load(8, input=32, output=64), Load(1.5, input=512, output=512)],
    "long answers": [Load(8, input=32, output=512), Load(1.5, input=512, output=32)],
    "one grows": [Load(1), Load(1, ramp=2 / 60)],
    "weighted": [Load(2, weight=1), Load(2, weight=2), Load(2, weight=3), Load(2, weight=4)],
}


def arrivals(loads: list[Load], *, one_flow: bool, chance: random.Random) -> Iterator[tuple[float, int, str]]:
    """When, whose (number of the load), and in which flow."""
    streams = []
    for number, load in enumerate(loads):
        times, at = [], 0.0
        while at < MINUTES * 60:
            at += chance.expovariate(load.rate + load.ramp * at)
            times.append((at, number, "all" if one_flow else f"f{number}"))
        streams.append(times)
    return heapq.merge(*streams)


def simulate(loads: list[Load], *, one_flow: bool = False) -> list[list[float]]:
    """The service rendered to each load, divided by its weight, after every answer while all have a backlog."""
    chance = random.Random(7)  # noqa: S311 - a workload, not a secret
    line = WaitingLine(aging_seconds=86_400, aged_share=0.25)
    ends: list[tuple[float, int, Turn, int]] = []
    waiting, served, history = [0] * len(loads), [0.0] * len(loads), []
    numbers = itertools.count()
    now = 0.0
    coming = list(arrivals(loads, one_flow=one_flow, chance=chance))[::-1]
    while coming:
        if len(ends) < SLOTS and (turn := line.take()):
            load = loads[int(turn.ticket.owner)]
            output = chance.randint(load.output // 2, load.output)
            now = max(now, turn.ticket.submitted_at)
            heapq.heappush(ends, (now + output * SECONDS_PER_TOKEN, next(numbers), turn, output))
            waiting[int(turn.ticket.owner)] -= 1
        elif ends and ends[0][0] < coming[-1][0]:
            now, _, turn, output = heapq.heappop(ends)
            whose = int(turn.ticket.owner)
            tokens = loads[whose].input + 2 * output
            line.correct(turn, tokens)
            served[whose] += tokens / loads[whose].weight
            if all(waiting):
                history.append(list(served))
        else:
            now, whose, flow = coming.pop()
            load = loads[whose]
            cost = load.input + 2.0 * ESTIMATED_OUTPUT
            ticket = a_ticket(f"t{next(numbers)}", flow=flow, owner=str(whose), at=now, cost=cost, weight=load.weight)
            line.add(ticket, now)
            waiting[whose] += 1
    return history


def widest_gap(history: list[list[float]]) -> float:
    """The largest |W_f - W_g| over all pairs and all intervals."""
    flows = range(len(history[0]))
    gaps = []
    for f, g in itertools.combinations(flows, 2):
        difference = [served[f] - served[g] for served in history]
        gaps.append(max(difference) - min(difference))
    return max(gaps)


def bound(loads: list[Load]) -> float:
    tokens_at_once = SLOTS * max(load.input + load.output for load in loads)
    return 2 * max(2.0 * tokens_at_once, *(load.input for load in loads))


@pytest.mark.parametrize("suite", SUITES)
def test_the_service_gap_of_backlogged_flows_is_bounded(suite: str) -> None:
    history = simulate(SUITES[suite])
    assert len(history) > 100
    assert widest_gap(history) <= bound(SUITES[suite])


def test_first_come_first_served_would_not_keep_the_bound() -> None:
    history = simulate(SUITES["overload"], one_flow=True)
    assert widest_gap(history) > bound(SUITES["overload"])
