"""The simulator: small traces with known waits, and an independent count of what first come, first served means."""

from __future__ import annotations

import asyncio
import heapq
import random

import pytest

from bench.simulation import Order, Request, Run, VirtualTimeLoop, simulate
from llmgate.config import QueueSettings


def a_request(at: float, level: int, seconds: float, flow: str = "") -> Request:
    return Request(at, level, flow or f"key-{level}", seconds, tokens=100.0, cost=100.0)


def waits(run: Run) -> list[float]:
    return [round(record.wait, 3) for record in run.records]


LITTLE = [a_request(0, 5, 10), a_request(1, 5, 10), a_request(2, 1, 5), a_request(3, 1, 5)]


@pytest.mark.parametrize(
    ("order", "expected"),
    [(Order.FIFO, [0, 9, 18, 22]), (Order.LLMGATE, [0, 19, 8, 12]), (Order.STRICT, [0, 19, 8, 12])],
)
def test_one_slot_serves_a_little_trace_in_order(order: Order, expected: list[float]) -> None:
    run = simulate(LITTLE, 1, order, QueueSettings())
    assert waits(run) == expected
    assert [record.status for record in run.records] == [200] * 4
    assert run.slot_use(until=30) == pytest.approx(1.0)
    assert run.slot_use(until=60) == pytest.approx(0.5)


def test_first_come_first_served_is_what_a_plain_heap_of_slots_does() -> None:
    chance = random.Random(3)  # noqa: S311 - a workload, not a secret
    at, requests = 0.0, []
    for _ in range(500):
        at += chance.expovariate(2.0)
        requests.append(a_request(at, chance.choice([1, 3, 5]), chance.uniform(0.1, 3.0)))
    slots, expected = [0.0] * 3, []
    for request in requests:
        begin = max(request.at, heapq.heappop(slots))
        heapq.heappush(slots, begin + request.seconds)
        expected.append(round(begin - request.at, 3))
    assert waits(simulate(requests, 3, Order.FIFO, QueueSettings())) == pytest.approx(expected, abs=0.002)


def test_what_waits_long_gets_its_share_only_with_aging() -> None:
    requests = [a_request(0, 5, 1), *(a_request(0.5 * n, 1, 1) for n in range(400))]
    requests.insert(2, a_request(0.25, 5, 1))
    settings = QueueSettings(aging_seconds=5, aged_share=0.25)
    ours, strict = (simulate(requests, 1, order, settings) for order in (Order.LLMGATE, Order.STRICT))
    late = next(record for record in ours.records if record.request == requests[2])
    assert late.aged_ahead == 0
    assert 20 <= late.wait <= 20 + 4 + 1
    assert ours.stats.granted_aged == 1
    assert strict.stats.granted_aged == 0
    assert max(strict.waits(5)) > 100


def test_too_many_are_refused_at_once_and_too_late_is_told_at_the_deadline() -> None:
    settings = QueueSettings(max_waiting_per_principal=2, deadline_seconds=15)
    run = simulate([a_request(0.01 * n, 2, 10) for n in range(4)], 1, Order.LLMGATE, settings)
    assert [record.status for record in run.records] == [200, 200, 504, 429]
    assert waits(run) == [0, 9.99, 15, 0]
    assert run.records[3].retry_after
    assert (run.refused(429), run.refused(429, 504)) == (1, 2)
    full = simulate([a_request(0, 2, 1, f"key-{n}") for n in range(3)], 1, Order.LLMGATE, QueueSettings(max_waiting=1))
    assert [record.status for record in full.records] == [200, 200, 503]


def test_nobody_waits_for_ever() -> None:
    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner, pytest.raises(RuntimeError, match="never come"):
        runner.run(forever())
