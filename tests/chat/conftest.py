"""A gateway in front of one fake Ollama with one slot, and somebody who has logged in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llmgate.config import ChatSettings
from tests.chat.harness import Person, log_in
from tests.fakes import FakeOllama
from tests.gateway.harness import Running, run_gateway, settings_for, upstream_for


@pytest.fixture
async def ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as fake:
        yield fake


@pytest.fixture
async def gateway(ollama: FakeOllama, tmp_path: Path) -> AsyncIterator[Running]:
    settings = settings_for(tmp_path / "state", [upstream_for(ollama)])
    settings = settings.model_copy(update={"chat": ChatSettings(titles="first_line")})
    async with run_gateway(settings) as running:
        yield running


@pytest.fixture
async def ann(gateway: Running) -> Person:
    return await log_in(gateway)
