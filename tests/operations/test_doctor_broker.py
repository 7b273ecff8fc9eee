"""The doctor looks at a broker without leaving or disturbing anything there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from llmgate.config import QueueSettings, load
from llmgate.daemon.operations.checks.base import Case, Finding
from llmgate.daemon.operations.checks.broker import check_broker
from tests.fakes import FakeOllama
from tests.gateway.harness import run_gateway, settings_for, upstream_for
from tests.operations.support import write_config
from tests.services.rabbitmq import RabbitServer


@pytest.fixture
async def ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as fake:
        yield fake


async def look(tmp_path: Path, url: str, **queue: Any) -> dict[str, Finding]:
    sections = {"queue": {"backend": "rabbitmq", "url": url, **queue}}
    config = write_config(tmp_path, state=tmp_path / "none", upstreams={"fake": "http://127.0.0.1:1"}, **sections)
    return {one.id: one for one in await check_broker(Case(load(config)))}


def vhost_of(url: str) -> str:
    return url.rpartition("/")[2]


async def test_an_empty_virtual_host_stays_empty(rabbit: RabbitServer, vhost_url: str, tmp_path: Path) -> None:
    found = await look(tmp_path, vhost_url)
    assert [one.status for one in found.values()] == ["ok", "ok"]
    assert "no queues yet" in found["broker.topology"].found
    assert "guest:guest" not in found["broker"].found
    assert rabbit.queues(vhost_of(vhost_url)) == {}
    assert rabbit.exchanges(vhost_of(vhost_url)) == {}


async def test_a_running_cluster_is_compared_and_goes_on(
    rabbit: RabbitServer, vhost_url: str, tmp_path: Path, ollama: FakeOllama
) -> None:
    queue = QueueSettings(backend="rabbitmq", url=vhost_url, settle_ms=0)
    async with run_gateway(settings_for(tmp_path / "state", [upstream_for(ollama)], queue=queue)) as gateway:
        before = rabbit.queues(vhost_of(vhost_url))
        fits = await look(tmp_path, vhost_url)
        aging = await look(tmp_path, vhost_url, aging_seconds=7)
        kind = await look(tmp_path, vhost_url, queue_type="quorum")
        assert rabbit.queues(vhost_of(vhost_url)) == before
        answer = await gateway.post("/api/chat", {"model": "llama3.2", "messages": [{"role": "user", "content": "Hi"}]})
        assert answer.status_code == 200
    assert "9 exchanges and queues fit" in fits["broker.topology"].found
    assert aging["broker.topology"].status == kind["broker.topology"].status == "fail"
    assert "queue.aging_seconds" in aging["broker.topology"].found
    assert "queue.queue_type" in kind["broker.topology"].found


async def test_what_keeps_us_out_is_told(rabbit: RabbitServer, vhost_url: str, tmp_path: Path) -> None:
    wrong = {
        "refuses the login": vhost_url.replace("guest:guest", "guest:hunter2"),
        "virtual host": rabbit.url("nowhere"),
        "cannot be reached": "amqp://guest:hunter2@127.0.0.1:1/x",
    }
    for says, url in wrong.items():
        found = await look(tmp_path, url)
        assert [one.status for one in found.values()] == ["fail"]
        assert says in found["broker"].found
        assert found["broker"].fix
        assert "hunter2" not in found["broker"].found
