"""A gateway in front of one fake Ollama with one slot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes import FakeOllama, FakeOpenAI
from tests.gateway.harness import Running, run_gateway, settings_for, upstream_for


@pytest.fixture
async def ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as fake:
        yield fake


@pytest.fixture
async def vllm() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI(models=("qwen",)) as fake:
        yield fake


@pytest.fixture
async def gateway(ollama: FakeOllama, tmp_path: Path) -> AsyncIterator[Running]:
    async with run_gateway(settings_for(tmp_path / "state", [upstream_for(ollama)])) as running:
        yield running


@pytest.fixture
async def openai_gateway(vllm: FakeOpenAI, tmp_path: Path) -> AsyncIterator[Running]:
    async with run_gateway(settings_for(tmp_path / "state", [upstream_for(vllm, "vllm")])) as running:
        yield running
