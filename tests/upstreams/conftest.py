from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from llmgate.daemon.upstreams.transport import UpstreamClient
from tests.fakes import FakeOllama
from tests.upstreams.support import settings_for


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as server:
        yield server


@pytest.fixture
async def client(fake: FakeOllama) -> AsyncIterator[UpstreamClient]:
    made = UpstreamClient(settings_for(fake.url, first_byte_timeout=0.2, idle_timeout=0.1, connect_timeout=0.5))
    yield made
    await made.close()
