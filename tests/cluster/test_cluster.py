"""What holds for several daemons together: rights, readiness, workers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cluster.harness import Cluster, Daemon, cluster, eventually, two_workers
from tests.fakes import FakeOllama, Script
from tests.services.fixtures import StartBroker
from tests.services.rabbitmq import RabbitServer

pytestmark = pytest.mark.slow


async def queue_state(running: Cluster, daemon: Daemon) -> dict[str, Any]:
    ready = await running.client.get(f"{daemon.url}/health/ready", timeout=5)
    state: dict[str, Any] = {**ready.json(), "status": ready.status_code}
    return state


def chat(running: Cluster, daemon: Daemon, key: str) -> Any:
    body = {"model": "llama3.2", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"authorization": f"Bearer {key}"}
    return running.client.stream("POST", f"{daemon.url}/api/chat", json=body, headers=headers)


async def test_a_key_that_is_disabled_at_one_daemon_loses_its_stream_at_another(
    tmp_path: Path, postgres_url: str, vhost_url: str
) -> None:
    async with FakeOllama() as fake:
        fake.script(Script(tokens=["a ", "b ", "c "], token_gates={1: "never"}))
        async with cluster(
            tmp_path, database_url=postgres_url, broker_urls=[vhost_url] * 2, upstream_url=fake.url
        ) as running:
            await running.all_connected()
            one, two = running.daemons
            async with chat(running, two, running.key) as answer:
                lines = answer.aiter_lines()
                assert "a " in await anext(lines)
                keys = (await running.ask(one, "/keys"))["data"]
                key = next(key["id"] for key in keys if key["name"] == "load")
                changed = await running.client.patch(
                    f"{one.url}/admin/v1/keys/{key}",
                    json={"disabled": True},
                    headers={"authorization": f"Bearer {running.admin}"},
                )
                assert changed.status_code == 200
                async with asyncio.timeout(5):
                    last = [json.loads(line) async for line in lines][-1]
                assert "error" in last
            async with chat(running, two, running.key) as refused:
                assert refused.status_code == 401


async def test_every_daemon_says_which_mode_it_is_in_and_heals(
    tmp_path: Path, postgres_url: str, broker: StartBroker
) -> None:
    rabbit: RabbitServer = broker()
    async with (
        FakeOllama() as fake,
        cluster(tmp_path, database_url=postgres_url, broker_urls=[rabbit.url()] * 2, upstream_url=fake.url) as running,
    ):
        await running.all_connected()
        dispatcher = await running.dispatcher()
        other = next(daemon for daemon in running.daemons if daemon is not dispatcher)
        rabbit.kill()

        async def degraded() -> bool:
            return all([(await queue_state(running, one))["queue"]["state"] == "degraded" for one in running.daemons])

        await eventually(degraded, 10)
        # The free slots stay with the last dispatcher; who has none takes nothing, and says so.
        assert (await queue_state(running, dispatcher))["status"] == 200
        without = await queue_state(running, other)
        assert without["status"] == 503
        assert any("without any slot here" in reason for reason in without["reasons"])
        assert dispatcher.events("queue_degraded")
        status = await running.ask(dispatcher, "/queue/status")
        assert (status["state"], status["serves"]) == ("degraded", True)
        async with chat(running, dispatcher, running.key) as answer:
            assert answer.status_code == 200
            await answer.aread()
        waits = asyncio.create_task(ask_and_wait(running, other))
        await eventually(lambda: waiting_is(running, other, 1), 10)
        await asyncio.to_thread(rabbit.start)
        assert await waits == 200
        await running.all_connected()
        assert all(one.events("queue_connected")[-1]["again"] for one in running.daemons)


async def ask_and_wait(running: Cluster, daemon: Daemon) -> int:
    async with chat(running, daemon, running.key) as answer:
        await answer.aread()
        status: int = answer.status_code
        return status


async def waiting_is(running: Cluster, daemon: Daemon, count: int) -> bool:
    waiting: int = (await running.stats(daemon))["waiting"]
    return waiting == count


async def test_a_daemon_starts_without_the_broker_and_joins_when_it_is_there(
    tmp_path: Path, postgres_url: str, broker: StartBroker
) -> None:
    rabbit = broker()
    rabbit.kill()
    async with (
        FakeOllama() as fake,
        cluster(tmp_path, database_url=postgres_url, broker_urls=[rabbit.url()], upstream_url=fake.url) as running,
    ):
        [daemon] = running.daemons
        state = await queue_state(running, daemon)
        assert (state["status"], state["queue"]["state"]) == (503, "degraded")
        waits = asyncio.create_task(ask_and_wait(running, daemon))
        await eventually(lambda: waiting_is(running, daemon, 1), 10)
        await asyncio.to_thread(rabbit.start)
        assert await waits == 200
        assert (await queue_state(running, daemon))["status"] == 200


async def test_workers_share_the_slots_and_the_line(tmp_path: Path, postgres_url: str, vhost_url: str) -> None:
    async with FakeOllama() as fake:
        fake.default = Script(tokens=["word "] * 3, interval=0.01)
        async with cluster(
            tmp_path, database_url=postgres_url, broker_urls=[vhost_url], upstream_url=fake.url, slots=2
        ) as running:
            log = tmp_path / "workers.log"
            url = running.daemons[0].url
            async with two_workers(running, log), httpx.AsyncClient(timeout=60, trust_env=False) as client:
                body = {"model": "llama3.2", "messages": [], "stream": False}
                headers = {"authorization": f"Bearer {running.key}"}
                asked = [client.post(f"{url}/api/chat", json=body, headers=headers) for _ in range(40)]
                answers = await asyncio.gather(*asked)
                assert {answer.status_code for answer in answers} == {200}
                assert fake.max_concurrency == 2
                # Before they stop: when the one that dispatches goes first, the other takes over for a moment.
                told = log.read_text()
            assert {entry["worker"] for entry in map(json.loads, told.splitlines())} == {1, 2}
            assert told.count('"dispatching"') == 1
