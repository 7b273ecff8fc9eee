"""Upstreams that are added, changed and removed through one daemon of a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from llmgate.config import DatabaseSettings, QueueSettings
from llmgate.daemon.services import open_services
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT, Running, run_gateway, settings_for, upstream_for
from tests.queue.backends import until

UPSTREAMS = "/admin/v1/upstreams"


@pytest.fixture
async def fakes() -> AsyncIterator[tuple[FakeOllama, FakeOllama]]:
    async with FakeOllama() as one, FakeOllama(models=("new:1b",)) as two:
        yield one, two


async def test_all_daemons_take_it_over_and_share_its_slots(
    fakes: tuple[FakeOllama, FakeOllama], tmp_path: Path, postgres_url: str, vhost_url: str
) -> None:
    first, added = fakes
    queue = QueueSettings(backend="rabbitmq", url=SecretStr(vhost_url), settle_ms=0)
    settings = settings_for(tmp_path / "state", [upstream_for(first)], queue=queue).model_copy(
        update={"database": DatabaseSettings(url=SecretStr(postgres_url))}
    )
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(run_gateway(settings))
        other = await stack.enter_async_context(open_services(settings))
        key = await gateway.new_key("boss", role="admin")
        admin = await stack.enter_async_context(
            httpx.AsyncClient(base_url=gateway.url, headers={"x-api-key": key}, trust_env=False, timeout=10)
        )

        def known() -> dict[str, int]:
            return {status.name: status.slots for status in other.upstreams.status()}

        body = {"name": "gpu2", "url": added.url}
        assert (await admin.post(UPSTREAMS, json=body)).status_code == 201
        await until(lambda: known() == {"fake": 1, "gpu2": 1})
        await serve(gateway, added, 3)
        assert added.max_concurrency == 1

        assert (await admin.patch(f"{UPSTREAMS}/gpu2", json={"slots": 2})).status_code == 200
        await until(lambda: known() == {"fake": 1, "gpu2": 2})
        added.script(Script(gate="go"), times=4)
        asked = [asyncio.create_task(ask(gateway)) for _ in range(4)]
        await added.wait_for(lambda: added.running == 2)
        moved = await admin.patch(f"{UPSTREAMS}/gpu2", json={"pool": "main"})
        assert (moved.status_code, "run on the upstream gpu2" in moved.json()["detail"]) == (409, True)
        added.release("go")
        assert [answer.status_code for answer in await asyncio.gather(*asked)] == [200] * 4
        assert added.max_concurrency == 2

        assert (await admin.delete(f"{UPSTREAMS}/gpu2")).status_code == 204
        await until(lambda: known() == {"fake": 1})
        assert (await ask(gateway)).status_code == 404
        assert (await gateway.post("/api/chat", {**CHAT, "stream": False})).status_code == 200


async def serve(gateway: Running, fake: FakeOllama, count: int) -> None:
    answers = await asyncio.gather(*(ask(gateway) for _ in range(count)))
    assert [answer.status_code for answer in answers] == [200] * count
    assert len(fake.requests) == count


async def ask(gateway: Running) -> httpx.Response:
    return await gateway.post("/api/chat", {**CHAT, "model": "new:1b", "stream": False})
