"""The upstream that the replay simulates, and the traffic that the traces offer to it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final

from bench.simulation import Request
from bench.traces import Call, calls, rotated
from llmgate.daemon.protocols.base import Task
from llmgate.daemon.protocols.fields import expected_cost

SLOTS: Final = 32
PREFILL: Final = 700.0
DECODE: Final = 175.0
"""Tokens per second of one slot: all together read 22,400 or write 5,600, like a graphics card with a small model."""

CHAT: Final = 1
BATCH: Final = 5
LEVELS: Final = {"conv": CHAT, "code": BATCH}
BYTES_PER_TOKEN: Final = 4
COPIES: Final = 3
"""More batch work is so many copies of its trace, at other times, each thinned at random."""

RUNS: Final = 5
"""In each run the bursts of the batch work meet other parts of the chats: its trace begins later by a fifth of the
length than in the one before."""


class Load(StrEnum):
    """What is asked for, in percent of what the slots can do in the same time."""

    FITS = "75 % load"
    MORE_BATCH = "110 % load by more batch work"
    FASTER = "110 % load, all of it faster"


def traffic(load: Load, run: int) -> list[Request]:
    """The requests of one run, by time."""
    if load is Load.MORE_BATCH:
        return more_batch(offered(calls(), 0.75), 1.1, run)
    return offered(rotated(calls(), "code", run / RUNS), 0.75 if load is Load.FITS else 1.1)


def service_seconds(call: Call) -> float:
    """How long an answer holds its slot."""
    return call.context / PREFILL + call.generated / DECODE


def offered(taken: Sequence[Call], load: float) -> list[Request]:
    """The calls as requests, all of them, with their times stretched or compressed so that they ask for ``load`` times
    what the slots can do from the first to the last."""
    work = sum(service_seconds(call) for call in taken)
    stretch = work / (load * SLOTS) / (taken[-1].at - taken[0].at)
    return [
        Request(
            at=call.at * stretch,
            level=LEVELS[call.trace],
            flow=call.trace,
            seconds=service_seconds(call),
            tokens=call.context + 2.0 * call.generated,
            cost=expected_cost(Task.CHAT, {}, call.context * BYTES_PER_TOKEN, None),
        )
        for call in taken
    ]


def more_batch(requests: Sequence[Request], load: float, run: int) -> list[Request]:
    """The chats as they are, and so many more requests like those of the batch work that all ask for ``load``."""
    chance = random.Random(run)
    length = requests[-1].at
    chats = [request for request in requests if request.level == CHAT]
    batch = [request for request in requests if request.level == BATCH]
    wanted = (load - demand(chats, length)) / demand(batch, length)
    for copy in range(COPIES):
        shift = (run / RUNS + copy / COPIES) * length
        taken = [request for request in batch if chance.random() < wanted / COPIES]
        chats += [replace(request, at=(request.at + shift) % length) for request in taken]
    return sorted(chats, key=lambda request: request.at)


def demand(requests: Sequence[Request], seconds: float) -> float:
    """Slot time that is asked for, as a share of what there is in so many seconds."""
    return sum(request.seconds for request in requests) / (SLOTS * seconds)


def peak(requests: Sequence[Request], seconds: float = 300.0) -> float:
    """The highest demand of any such part of the time."""
    parts: dict[int, list[Request]] = {}
    for request in requests:
        parts.setdefault(int(request.at // seconds), []).append(request)
    return max(demand(part, seconds) for part in parts.values())
