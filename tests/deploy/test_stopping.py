"""The moment in which a daemon behind nginx shuts down, again and again, while clients ask without a pause."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from llmgate.config import QueueSettings, ServerSettings
from llmgate.daemon.store import whitelist
from tests.chat.harness import until
from tests.deploy.nginx import Front, nginx_before
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT, Running, run_gateway, settings_for, upstream_for
from tests.services.ports import free_ports

pytestmark = pytest.mark.alone
CLIENTS = 10
SERVED = 15
"""Requests that a daemon has served before it is stopped: connections are kept to it, and others wait in its line."""


@asynccontextmanager
async def daemon(folder: Path, fake: FakeOllama, port: int, number: int = 0) -> AsyncIterator[Running]:
    """One of two, each with slots of its own. Everybody on this machine may ask."""
    server = ServerSettings(port=port, drain_seconds=10)
    settings = settings_for(folder, [upstream_for(fake, slots=2)], server=server, queue=QueueSettings(settle_ms=0))
    async with run_gateway(settings, key=f"key-{number}") as running:
        if number == 0:
            async with running.services.database.begin() as tx:
                await whitelist.create(tx, cidr="127.0.0.1/32")
                await running.services.whitelist.reload(tx)
        await running.client.aclose()
        yield running


class Crowd:
    """Clients that ask one of the daemons, whichever nginx chooses, one request after the other."""

    def __init__(self, front: Front) -> None:
        self.results: Counter[str] = Counter()
        self._client = front.client()
        self._numbers = itertools.count(1)
        self._stopping = False
        self._tasks = [asyncio.create_task(self._go_on()) for _ in range(CLIENTS)]

    async def stop(self) -> None:
        self._stopping = True
        async with asyncio.timeout(30):
            await asyncio.gather(*self._tasks)
        await self._client.aclose()

    async def _go_on(self) -> None:
        while not self._stopping:
            number = next(self._numbers)
            body = {**CHAT, "messages": [{"role": "user", "content": f"nonce-{number}"}], "stream": bool(number % 2)}
            try:
                answer = await self._client.post("/api/chat", json=body)
                self.results[str(answer.status_code)] += 1
            except httpx.HTTPError as failure:
                self.results[type(failure).__name__] += 1


async def stop_again_and_again(folder: Path, rounds: int) -> int:
    """How many requests were asked."""
    (stays, goes) = free_ports(2)
    async with FakeOllama() as fake, daemon(folder / "stays", fake, stays):
        fake.default = Script(tokens=["a ", "b "], interval=0.02)
        async with daemon(folder / "goes", fake, goes):
            pass  # from now on it knows whom it may serve
        async with nginx_before(folder / "nginx", [f"http://127.0.0.1:{port}" for port in (stays, goes)]) as front:
            crowd = Crowd(front)
            for number in range(1, rounds + 1):
                async with daemon(folder / "goes", fake, goes, number) as leaving:
                    await until(lambda leaving=leaving: len(leaving.finished) >= SERVED, 30)  # type: ignore[misc]
            await crowd.stop()
            asked = crowd.results.total()
            assert crowd.results == {"200": asked}, front.errors()
            assert len({seen.nonce for seen in fake.requests}) == len(fake.requests) == asked
    return asked


async def test_a_daemon_that_stops_loses_no_request(tmp_path: Path) -> None:
    assert await stop_again_and_again(tmp_path, 3) > 3 * SERVED


@pytest.mark.long
async def test_a_daemon_that_stops_thirty_times_loses_no_request(tmp_path: Path) -> None:
    assert await stop_again_and_again(tmp_path, 30) > 30 * SERVED
