"""The conformance suite: every backend replays every scenario file (see story.py for their language)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.queue.backends import BACKENDS
from tests.queue.story import Story, read_steps

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
async def test_the_queue_behaves_as_the_scenario_tells(scenario: Path, backend: str) -> None:
    await Story(BACKENDS[backend]()).play(read_steps(scenario))
