"""Which fault strikes when: decided by the seed alone.

A run has rounds. In each, several lanes strike beside each other, each one thing after the other: what happens to the
broker, to the daemons, to the database, to the configuration. Then it is quiet for a while, and the run looks on.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Lane = Literal["broker", "daemon", "database", "config"]

LANES: dict[str, Lane] = {
    "broker_kill": "broker",
    "broker_stop": "broker",
    "broker_restart": "broker",
    "broker_alarm": "broker",
    "cable": "broker",
    "daemon_kill": "daemon",
    "daemon_term": "daemon",
    "daemon_freeze": "daemon",
    "database_stop": "database",
    "bad_config": "config",
}
SECONDS: dict[str, tuple[float, float]] = {
    "broker_kill": (0.0, 1.5),
    "broker_stop": (0.5, 5.0),
    "broker_alarm": (0.5, 4.0),
    "cable": (1.0, 6.0),
    "daemon_kill": (0.0, 2.0),
    "daemon_term": (0.0, 1.0),
    "daemon_freeze": (0.3, 3.0),
    "database_stop": (0.2, 3.0),
    "bad_config": (0.0, 0.0),
}
"""How long each lasts in a round, apart from the time to start again."""
SPREAD = 20.0
"""Seconds over which the faults of a round are spread, if each lane keeps up."""

ROUND: Mapping[str, int] = {
    "broker_kill": 2,
    "broker_stop": 2,
    "broker_alarm": 1,
    "daemon_kill": 4,
    "daemon_term": 2,
    "daemon_freeze": 1,
    "database_stop": 2,
    "bad_config": 8,
}
"""Every other one also cuts a cable."""
SHORT: Mapping[str, int] = {
    "broker_kill": 1,
    "broker_stop": 1,
    "broker_alarm": 1,
    "daemon_kill": 2,
    "daemon_term": 1,
    "database_stop": 1,
    "bad_config": 6,
}
LEAST: Mapping[str, int] = {
    "broker_kill": 50,
    "broker_stop": 50,
    "broker_alarm": 20,
    "daemon_kill": 100,
    "daemon_term": 50,
    "database_stop": 50,
    "bad_config": 200,
    "client_cut": 5000,
    "upstream_cut": 1000,
}
"""What a run of LONG_ROUNDS must come to. The cuts belong to the requests, and are as many as there is time for."""
LONG_ROUNDS = 30
ALONE: Mapping[str, int] = {"daemon_kill": 3, "daemon_term": 2, "bad_config": 4}
"""For one daemon without broker and database server."""
TARGETS = ("dispatcher", "daemon1", "daemon2", "daemon3")


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault: ``at`` seconds into its round, or when the one before it in its lane is over."""

    at: float
    kind: str
    target: str
    seconds: float
    detail: int = 0
    """A number to decide by whatever else is open."""


@dataclass(frozen=True, slots=True)
class Round:
    strikes: Sequence[Strike]

    def lane(self, lane: Lane) -> list[Strike]:
        return [strike for strike in self.strikes if LANES[strike.kind] == lane]


def schedule(seed: int, rounds: int, counts: Mapping[str, int] = ROUND, *, cables: bool = True) -> list[Round]:
    """The rounds of a run. ``cables``: every other round also cuts a daemon off from the broker."""
    dice = random.Random(f"schedule/{seed}")  # noqa: S311 - a test's faults
    return [_round(dice, {**counts, **({"cable": 1} if cables and number % 2 else {})}) for number in range(rounds)]


def _round(dice: random.Random, counts: Mapping[str, int]) -> Round:
    strikes = []
    for kind, count in counts.items():
        for _ in range(count):
            seconds = dice.uniform(*SECONDS[kind])
            strikes.append(
                Strike(dice.uniform(0, SPREAD), kind, dice.choice(TARGETS), seconds, dice.randrange(1_000_000))
            )
    return Round(sorted(strikes, key=lambda strike: strike.at))
