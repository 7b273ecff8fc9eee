"""Ten minutes of overload, simulated: the stated bound holds for every ticket of every level.

bound = (level - 1) * aging_seconds + the tickets served before it out of the aged lane (and itself)
/ (aged_share * capacity), plus the answers that are running when its turn comes.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import pytest

from llmgate.daemon.queue.policy import AGED_LANE, WaitingLine
from tests.queue.factory import a_ticket

AGING = 20.0
SHARE = 0.25
SLOTS = 2
SERVICE = 1.0
DURATION = 600.0


@dataclass
class Record:
    """What happened to one ticket."""

    level: int
    submitted_at: float
    aged_at_entry: int | None = None
    granted_at: float | None = None
    aged_before: int = 0


@dataclass
class Run:
    """Requests of each level at a steady pace, against a few slots."""

    per_second: dict[int, float]
    records: dict[str, Record] = field(default_factory=dict)
    aged_grants: int = 0
    contested: list[bool] = field(default_factory=list)
    """The grants while both sides waited: did the aged lane get it?"""

    def play(self) -> None:
        pace = [(n / rate, level) for level, rate in self.per_second.items() for n in range(int(DURATION * rate))]
        arrivals = deque(sorted(pace))
        line = WaitingLine(aging_seconds=AGING, aged_share=SHARE)
        ends: list[float] = []
        while arrivals or len(line):
            next_arrival = arrivals[0][0] if arrivals else math.inf
            next_slot = ends[0] if len(ends) == SLOTS else math.inf
            now = min(next_arrival, next_slot, line.next_due() or math.inf)
            ends = [end for end in ends if end > now]
            for promotion in line.age(now):
                if promotion.to == AGED_LANE:
                    self.records[promotion.ticket.id].aged_at_entry = self.aged_grants
            while arrivals and arrivals[0][0] <= now:
                self._submit(line, *arrivals.popleft())
            while len(ends) < SLOTS and len(line):
                self._grant(line, now)
                ends.append(now + SERVICE)

    def _submit(self, line: WaitingLine, at: float, level: int) -> None:
        ticket = a_ticket(f"t{len(self.records)}", level=level, flow=f"f{level}", at=at)
        self.records[ticket.id] = Record(level, at)
        line.add(ticket, at)

    def _grant(self, line: WaitingLine, now: float) -> None:
        both_wait = 0 < line.aged_waiting < len(line)
        turn = line.take()
        assert turn
        record = self.records[turn.ticket.id]
        record.granted_at = now
        if record.aged_at_entry is not None:
            record.aged_before = self.aged_grants - record.aged_at_entry
        self.aged_grants += turn.aged
        if both_wait:
            self.contested.append(turn.aged)


OVERLOADS = {
    "level 1 alone saturates": {1: 2.0, 2: 0.05, 3: 0.05, 4: 0.05, 5: 0.05},
    "level 1 and much aged work": {1: 2.0, 2: 0.3, 3: 0.3, 4: 0.3, 5: 0.3},
    "level 2 floods": {1: 0.5, 2: 4.0, 3: 0.1, 4: 0.1, 5: 0.1},
    "batch floods": {1: 0.2, 2: 0.2, 3: 0.2, 4: 0.2, 5: 4.0},
}


@pytest.mark.parametrize("overload", OVERLOADS)
def test_every_ticket_is_served_within_its_bound(overload: str) -> None:
    run = Run(OVERLOADS[overload])
    run.play()
    seen = set()
    for record in run.records.values():
        assert record.granted_at is not None
        if record.aged_at_entry is None:
            continue  # served before it reached the aged lane: well within the first term
        seen.add(record.level)
        aging = (record.level - 1) * AGING
        lane = (record.aged_before + 1) / (SHARE * SLOTS / SERVICE)
        assert record.granted_at - record.submitted_at <= aging + lane + SERVICE
    assert seen


@pytest.mark.parametrize("overload", OVERLOADS)
def test_ordinary_traffic_keeps_exactly_the_rest(overload: str) -> None:
    run = Run(OVERLOADS[overload])
    run.play()
    assert len(run.contested) > 200
    assert run.contested.count(True) == int(len(run.contested) * SHARE)


def test_a_flood_of_batch_work_does_not_hold_light_traffic_back() -> None:
    run = Run(OVERLOADS["batch floods"])
    run.play()
    for record in run.records.values():
        if record.level <= 2:
            assert record.granted_at is not None
            assert record.granted_at - record.submitted_at <= 3 * SERVICE
