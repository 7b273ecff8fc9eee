"""What a simulated replay has shown, and whether every request was served or told in time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.replay_load import BATCH, CHAT, SLOTS, Load, traffic
from bench.simulation import Order, Record, Run, settings_for, simulate
from llmgate.config import QueueSettings

AT_ONCE: Final = 0.001
"""Seconds within which a refusal, or the end at the deadline, must come."""

OTHER_SHARE: Final = 0.25
"""The aged share with which level 1 is unharmed by more batch work."""


@dataclass(frozen=True, slots=True)
class Case:
    """One simulation of one load. ``alone``: without the batch work; ``other``: with another aged share than the
    default."""

    load: Load
    order: Order
    run: int = 0
    alone: bool = False
    other: bool = False

    @property
    def name(self) -> str:
        if self.alone:
            return "level 1 alone"
        return f"{self.order}, other share" if self.other else str(self.order)


@dataclass(frozen=True, slots=True)
class Outcome:
    """``waits``: level → p50, p99 and longest, in seconds, of those who had their turn; ``told``: level → status → how
    many; ``late``: how many were served after their bound, or not told in time; ``bound_used``: the largest share of
    its bound that a request out of the aged lane has waited; ``minutes``: level → minute in which they came, and their
    longest wait in seconds."""

    waits: dict[int, tuple[float, float, float]]
    told: dict[int, Counter[int]]
    mean_service: float
    slot_use: float
    aged_share: float
    late: int
    bound_used: float
    minutes: dict[int, list[tuple[float, float]]]


def settings_of(case: Case) -> QueueSettings:
    """The default ones, perhaps with the other aged share."""
    return QueueSettings(aged_share=OTHER_SHARE) if case.other else QueueSettings()


def play(case: Case) -> Outcome:
    """Simulate one case."""
    requests = traffic(case.load, case.run)
    until = requests[-1].at
    if case.alone:
        requests = [request for request in requests if request.level == CHAT]
    settings = settings_of(case)
    run = simulate(requests, SLOTS, case.order, settings)
    bounds = bounds_of(run, settings_for(case.order, settings)) if case.order is Order.LLMGATE else []
    waits = {level: found for level in (CHAT, BATCH) if (found := run.waits(level))}
    return Outcome(
        waits={level: (quantile(found, 0.5), quantile(found, 0.99), max(found)) for level, found in waits.items()},
        told={level: Counter(one.status for one in run.records if one.request.level == level) for level in waits},
        mean_service=sum(request.seconds for request in requests) / len(requests),
        slot_use=run.slot_use(until),
        aged_share=run.stats.granted_aged / run.stats.granted,
        late=sum(one.wait > bound for one, bound in bounds) + badly_told(run.records, settings.deadline_seconds),
        bound_used=max((one.wait / bound for one, bound in bounds if one.aged_ahead is not None), default=0.0),
        minutes={level: longest_by_minute(run.records, level) for level in waits},
    )


def bounds_of(run: Run, settings: QueueSettings) -> list[tuple[Record, float]]:
    """For everyone who was served, the longest time in seconds that the policy lets it wait.

    (level - 1) × aging_seconds + the tickets up to it in the aged lane / (aged_share × capacity), and the answers that
    run when its turn comes: the longest of all. Capacity: slots / mean service time, in grants per second. Who was
    served before it entered the aged lane was served within the first term; level 1 does not age and has the rest of
    the grants, 1 - aged_share, for those of its level up to it. Nobody waits beyond the deadline.
    """
    served = [one for one in run.records if one.granted_at is not None]
    mean = sum(one.request.seconds for one in served) / len(served)
    longest = max(one.request.seconds for one in served)
    found = []
    for one in served:
        bound = (one.request.level - 1) * settings.aging_seconds
        if one.aged_ahead is not None:
            bound += (one.aged_ahead + 1) * mean / (settings.aged_share * run.slots) + longest
        elif one.request.level == CHAT:
            bound += (one.level_ahead + 1) * mean / ((1 - settings.aged_share) * run.slots) + longest
        found.append((one, min(bound, settings.deadline_seconds)))
    return found


def badly_told(records: Sequence[Record], deadline: float) -> int:
    """Requests without a turn that were not told so at once, with the time after which to come again, or at the
    deadline."""
    count = 0
    for one in records:
        if one.status in {429, 503}:
            count += one.wait > AT_ONCE or not one.retry_after
        elif one.status == 504:
            count += abs(one.wait - deadline) > AT_ONCE
        else:
            count += one.status != 200
    return count


def longest_by_minute(records: Sequence[Record], level: int) -> list[tuple[float, float]]:
    """For each minute the longest wait of those who came in it and had their turn; NaN where there were none."""
    longest: dict[int, float] = {}
    for one in records:
        if one.request.level == level and one.granted_at is not None:
            minute = int(one.request.at // 60)
            longest[minute] = max(longest.get(minute, 0.0), one.wait)
    return [(float(minute), longest.get(minute, math.nan)) for minute in range(min(longest), max(longest) + 1)]


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
