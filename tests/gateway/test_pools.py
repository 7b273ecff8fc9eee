"""Several upstreams in a pool that are not alike at every moment."""

from __future__ import annotations

import asyncio
from pathlib import Path

from llmgate.config import HealthSettings, UpstreamSettings
from tests.fakes import FakeOllama, FakeOpenAI, Script
from tests.gateway.harness import CHAT, run_gateway, settings_for, upstream_for

ASKED = {**CHAT, "stream": False}


async def test_a_request_is_not_given_to_an_upstream_without_its_model(tmp_path: Path) -> None:
    async with FakeOllama(models=("x:latest",)) as late, FakeOllama(models=("x:latest", "m:latest")) as first:
        url = late.url
        await late.stop()
        upstreams = [UpstreamSettings(name="late", url=url, pool="gpu"), upstream_for(first, "first", pool="gpu")]
        settings = settings_for(tmp_path / "state", upstreams, health=HealthSettings(interval=0.05, backoff_max=0.05))
        async with run_gateway(settings) as gateway:
            first.script(Script(gate="hold"))
            held = asyncio.create_task(gateway.post("/api/chat", {**ASKED, "model": "m"}))
            await first.request(0)
            waits = asyncio.create_task(gateway.post("/api/chat", {**ASKED, "model": "m"}))
            await gateway.waiting(1)
            await late.start()
            await gateway.until(lambda: any("late" in repr(e) and "recovering" in repr(e) for e in gateway.events))
            # Whoever can use the upstream that came up is not held up.
            assert (await gateway.post("/api/chat", {**ASKED, "model": "x"})).status_code == 200
            first.release("hold")
            assert [answer.status_code for answer in await asyncio.gather(held, waits)] == [200, 200]
            assert [request.json["model"] for request in late.requests] == ["x"]


async def test_a_retry_waits_for_a_busy_upstream_rather_than_go_back_to_a_dead_one(tmp_path: Path) -> None:
    async with FakeOllama() as dies, FakeOllama() as lives:
        upstreams = [upstream_for(dies, "dies", pool="gpu"), upstream_for(lives, "lives", pool="gpu")]
        async with run_gateway(settings_for(tmp_path / "state", upstreams)) as gateway:
            dies.script(Script(gate="first"))
            lives.script(Script(gate="second"))
            first = asyncio.create_task(gateway.post("/api/chat", ASKED))
            await dies.request(0)
            second = asyncio.create_task(gateway.post("/api/chat", ASKED))
            await lives.request(0)
            dies.release("first")
            await first
            dies.script(Script(status=503), times=None)
            retried = asyncio.create_task(gateway.post("/api/chat", ASKED))
            await dies.request(1)
            await gateway.waiting(1)
            lives.release("second")
            assert [answer.status_code for answer in await asyncio.gather(second, retried)] == [200, 200]
            assert len(dies.requests) == 2


async def test_one_model_of_two_pools_is_described_while_one_is_busy(tmp_path: Path) -> None:
    async with FakeOpenAI(models=("qwen",)) as vllm, FakeOllama(models=("qwen:latest",)) as ollama:
        upstreams = [upstream_for(vllm, "vllm"), upstream_for(ollama, "ollama")]
        async with run_gateway(settings_for(tmp_path / "state", upstreams)) as gateway:
            vllm.script(Script(gate="hold"))
            held = asyncio.create_task(gateway.post("/v1/chat/completions", {**ASKED, "model": "qwen"}))
            await vllm.request(0)
            answer = await gateway.client.get("/v1/models/qwen")
            assert (answer.status_code, answer.json()["id"]) == (200, "qwen:latest")
            vllm.release("hold")
            assert (await held).status_code == 200


async def test_a_key_for_one_model_never_gets_another_whose_name_differs_in_case(tmp_path: Path) -> None:
    async with (
        FakeOpenAI(models=("qwen", "Qwen")) as vllm,
        run_gateway(settings_for(tmp_path / "state", [upstream_for(vllm, "vllm")])) as gateway,
    ):
        key = await gateway.new_key("limited", models=["qwen"])
        headers = {"authorization": f"Bearer {key}"}
        answers = [
            await gateway.post("/v1/chat/completions", {**ASKED, "model": model}, **headers)
            for model in ("qwen", "Qwen")
        ]
        assert [answer.status_code for answer in answers] == [200, 404]
        assert [request.json["model"] for request in vllm.requests] == ["qwen"]
