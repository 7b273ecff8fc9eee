"""Settings that are changed in one of two daemons with one waiting line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from llmgate.config import QueueSettings, load
from llmgate.daemon.queue.rabbitmq.manager import RabbitMQManager
from tests.admin.harness import Site, run_site
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT

PATH = "/admin/v1/settings"


@pytest.fixture
async def pair(tmp_path: Path, vhost_url: str) -> AsyncIterator[tuple[Site, Site]]:
    """Two daemons of one database and one broker, with one upstream."""
    base = load(None, environ={})
    queue = QueueSettings.model_validate({"backend": "rabbitmq", "url": vhost_url, "settle_ms": 0})
    loaded = replace(base, settings=base.settings.model_copy(update={"queue": queue}))
    async with AsyncExitStack() as stack:
        ollama = await stack.enter_async_context(FakeOllama())
        one = await stack.enter_async_context(run_site(tmp_path / "state", loaded=loaded, ollama=ollama))
        again = run_site(tmp_path / "state", loaded=loaded, ollama=ollama, users_exist=True)
        two = await stack.enter_async_context(again)
        await both_connected(one, two)
        yield one, two


async def both_connected(*sites: Site) -> None:
    async with asyncio.timeout(15):
        while not all(_is_complete(site) for site in sites):
            await asyncio.sleep(0)


def _is_complete(site: Site) -> bool:
    queue = site.gateway.services.queue
    return (
        queue.status().state == "connected"
        and len(queue.status().daemons) == 2
        and all(stats.dispatcher for stats in queue.stats())
    )


async def test_a_change_reaches_the_other_daemon_at_once_and_waiting_requests_stay(pair: tuple[Site, Site]) -> None:
    one, two = pair
    one.ollama.script(Script(gate="go"))
    asking = [asyncio.create_task(one.gateway.post("/api/chat", CHAT))]
    await one.ollama.request(0)
    asking += [asyncio.create_task(site.gateway.post("/api/chat", CHAT)) for site in (one, two) for _ in range(3)]
    await one.gateway.waiting(6)
    answer = await one.admin.put(f"{PATH}/queue.aging_seconds", json={"value": 0.3})
    assert answer.status_code == 200, answer.text
    async with asyncio.timeout(1):  # sooner than it would look by itself
        while two.gateway.services.settings.queue.aging_seconds != 0.3:
            await asyncio.sleep(0)
    async with asyncio.timeout(10):
        while not all(stats.aged_waiting == 6 for site in pair for stats in site.gateway.services.queue.stats()):
            await asyncio.sleep(0)
    await both_connected(one, two)
    one.ollama.release("go")
    assert [(await answer).status_code for answer in asking] == [200] * 7
    assert one.ollama.max_concurrency == 1


async def test_a_request_that_the_other_daemon_answers_can_be_ended(pair: tuple[Site, Site]) -> None:
    one, two = pair
    one.ollama.script(Script(gate="never"))
    asking = asyncio.create_task(two.gateway.post("/api/chat", {**CHAT, "stream": False}))
    await one.ollama.request(0)
    async with asyncio.timeout(5):
        while not (held := (await one.admin.get("/admin/v1/queue/running")).json()["data"]):
            await asyncio.sleep(0)
    assert (await one.admin.delete(f"/admin/v1/queue/running/{held[0]['ticket_id']}")).status_code == 204
    async with asyncio.timeout(5):
        assert (await asking).status_code == 503


async def test_levels_and_upstreams_are_the_same_in_both_and_no_contradiction(pair: tuple[Site, Site]) -> None:
    one, two = pair
    await two.made("upstreams", name="added", url="http://127.0.0.1:9", slots=3)
    async with asyncio.timeout(1):
        while "added" not in {status.name for status in one.gateway.services.upstreams.status()}:
            await asyncio.sleep(0)
    await one.admin.put(f"{PATH}/levels.user", json={"value": 5})
    async with asyncio.timeout(5):
        while (await two.user.get("/gate/auth/me")).json()["level"] != 5:
            await asyncio.sleep(0)
    for site in pair:
        queue = site.gateway.services.queue
        assert isinstance(queue, RabbitMQManager)
        queue.control.check_peers()
        assert queue.status().state == "connected"
