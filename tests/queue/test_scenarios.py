"""The conformance suite: every backend replays every scenario file (see story.py for their language)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from llmgate.daemon.queue import pool
from tests.queue.backends import BACKENDS, MemoryBackend, RabbitMQBackend
from tests.queue.story import Story, read_steps

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))
BROKERS = [name for name in BACKENDS if name.startswith("rabbitmq")]
TOGETHER = 24
"""Scenarios that are replayed on one broker at the same time: most of the time they wait."""


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
async def test_the_memory_queue_behaves_as_the_scenario_tells(scenario: Path) -> None:
    await Story(MemoryBackend()).play(read_steps(scenario))


def duration(scenario: Path) -> float:
    """About how many of its seconds a scenario takes."""
    waits = [step for step in read_steps(scenario) if step.verb in ("advance", "serve")]
    return sum(float(step.names[0]) * float(step.options.get("each", "1")) for step in waits)


class Replays:
    """What came of all scenarios on a real broker, where they run side by side because seconds really pass."""

    def __init__(self) -> None:
        self._outcomes: dict[tuple[str, str], BaseException | None] = {}

    async def outcome(self, backend: str, scenario: Path, new_vhost: Callable[[], str]) -> BaseException | None:
        if not self._outcomes:
            turns = asyncio.Semaphore(TOGETHER)
            # The longest ones first, so that none is left over in the end.
            everything = sorted(itertools.product(SCENARIOS, BROKERS), key=lambda pair: -duration(pair[0]))
            with patch.object(pool, "DIGEST_SECONDS", 0.0):  # a scenario's seconds are short
                await asyncio.gather(*(self._replay(name, one, new_vhost(), turns) for one, name in everything))
                # A broker's seconds cannot be held: whoever was disturbed by the others may try again alone.
                for one, name in everything:
                    if self._outcomes[name, one.stem] is not None:
                        await self._replay(name, one, new_vhost(), turns)
        return self._outcomes[backend, scenario.stem]

    async def _replay(self, backend: str, scenario: Path, url: str, turns: asyncio.Semaphore) -> None:
        async with turns:
            try:
                await Story(RabbitMQBackend(url, backend.removeprefix("rabbitmq-"))).play(read_steps(scenario))
            except Exception as failure:  # told by the test of this scenario
                self._outcomes[backend, scenario.stem] = failure
            else:
                self._outcomes[backend, scenario.stem] = None


@pytest.fixture(scope="session")
def replays() -> Replays:
    return Replays()


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("backend", BROKERS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
async def test_the_broker_behaves_as_the_scenario_tells(
    scenario: Path, backend: str, replays: Replays, new_vhost: Callable[[], str]
) -> None:
    failure = await replays.outcome(backend, scenario, new_vhost)
    if failure is not None:
        raise failure
