"""A gateway in front of one fake Ollama with two slots."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes import FakeOllama
from tests.gateway.harness import Running, run_gateway, settings_for, upstream_for


@pytest.fixture
async def ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as fake:
        yield fake


@pytest.fixture
async def gateway(ollama: FakeOllama, tmp_path: Path) -> AsyncIterator[Running]:
    async with run_gateway(settings_for(tmp_path / "state", [upstream_for(ollama, slots=2)])) as running:
        yield running
