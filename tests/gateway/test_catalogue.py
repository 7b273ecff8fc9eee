"""Which models there are, in each dialect, and what one administrator sees of it all."""

from __future__ import annotations

import json
from pathlib import Path

import anthropic
import ollama as ollama_client
import openai
import pytest

from tests.fakes import FakeOllama, FakeOpenAI
from tests.gateway.harness import CHAT, Running, run_gateway, settings_for, upstream_for


async def test_models_of_all_pools_are_one_list(tmp_path: Path) -> None:
    async with FakeOllama(models=("llama3.2:latest", "phi:3b")) as fake, FakeOpenAI(models=("qwen",)) as vllm:
        upstreams = [upstream_for(fake, "ollama"), upstream_for(vllm, "vllm")]
        async with run_gateway(settings_for(tmp_path / "state", upstreams)) as gateway:
            tags = (await gateway.client.get("/api/tags")).json()["models"]
            listed = (await gateway.client.get("/v1/models")).json()["data"]
            expected = {"llama3.2:latest", "phi:3b", "qwen"}
            assert {entry["name"] for entry in tags} == {entry["model"] for entry in tags} == expected
            assert {entry["id"] for entry in listed} == expected
            one = await gateway.client.get("/v1/models/qwen")
            assert one.json()["id"] == "qwen"
            missing = await gateway.client.get("/v1/models/nothing")
            assert missing.status_code == 404
            assert missing.json()["error"]["code"] == "model_not_found"
            assert (await gateway.client.get("/api/ps")).status_code == 200
            assert (await gateway.client.get("/api/version")).json()["version"]
            for model in ("phi:3b", "PHI:3B", "qwen"):
                shown = await gateway.post("/api/show", {"model": model})
                assert shown.status_code == 200, shown.text
            answers = [
                await gateway.post("/api/chat", {**CHAT, "model": m, "stream": False}) for m in ("Llama3.2", "qwen")
            ]
            assert [answer.status_code for answer in answers] == [200, 200]
            assert {event.pool for event in gateway.finished} == {"ollama", "vllm"}


async def test_a_model_that_only_some_of_a_pool_have_is_not_offered(tmp_path: Path) -> None:
    async with FakeOllama(models=("a:latest", "b:latest")) as one, FakeOllama(models=("a:latest",)) as two:
        upstreams = [upstream_for(one, "one", pool="gpu"), upstream_for(two, "two", pool="gpu")]
        async with run_gateway(settings_for(tmp_path / "state", upstreams)) as gateway:
            tags = (await gateway.client.get("/api/tags")).json()["models"]
            assert [entry["name"] for entry in tags] == ["a:latest"]
            assert (await gateway.post("/api/chat", {**CHAT, "model": "b"})).status_code == 404


async def test_the_official_openai_client_works_unchanged(gateway: Running) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="llama3.2", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
        assert text == "Hello, world!"
        with pytest.raises(openai.NotFoundError, match="no-such-model"):
            await client.chat.completions.create(model="no-such-model", messages=[])
        assert [model.id async for model in client.models.list()] == ["llama3.2:latest"]
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()


async def test_the_official_ollama_client_works_unchanged(gateway: Running) -> None:
    client = ollama_client.AsyncClient(host=gateway.url, headers={"Authorization": f"Bearer {gateway.key}"})
    parts = [part async for part in await client.chat("llama3.2", CHAT["messages"], stream=True)]
    assert "".join(part.message.content or "" for part in parts) == "Hello, world!"
    assert parts[-1].eval_count == 4
    with pytest.raises(ollama_client.ResponseError, match="no-such-model"):
        await client.chat("no-such-model", [])
    assert [model.model for model in (await client.list()).models] == ["llama3.2:latest"]
    assert (await client.show("llama3.2")).details
    assert len((await client.embed("llama3.2", ["a", "b"])).embeddings) == 2
    await client._client.aclose()


async def test_the_official_anthropic_client_works_unchanged(gateway: Running) -> None:
    async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0) as client:
        async with client.messages.stream(
            model="llama3.2", max_tokens=64, messages=[{"role": "user", "content": "Hello"}]
        ) as stream:
            text = "".join([piece async for piece in stream.text_stream])
        assert text == "Hello, world!"
        with pytest.raises(anthropic.NotFoundError, match="no-such-model"):
            await client.messages.create(model="no-such-model", max_tokens=5, messages=[])


async def test_nobody_needs_a_credential_for_the_health_routes(gateway: Running, ollama: FakeOllama) -> None:
    del gateway.client.headers["authorization"]
    assert (await gateway.client.get("/")).text == "llmgate is running"
    assert (await gateway.client.head("/")).status_code == 200
    assert (await gateway.client.get("/health/live")).status_code == 200
    assert (await gateway.client.get("/health/ready")).status_code == 200
    assert (await gateway.client.get("/metrics")).status_code == 401


async def test_a_dead_background_task_makes_the_daemon_unready(gateway: Running) -> None:
    async def dies() -> None:
        raise RuntimeError("boom")

    supervisor = gateway.services.supervisor
    supervisor.start("fragile", dies())
    await gateway.client.get("/health/live")
    assert supervisor.failed == {"fragile": "RuntimeError('boom')"}
    ready = await gateway.client.get("/health/ready")
    assert ready.status_code == 503
    assert "fragile" in ready.json()["reasons"][0]


async def test_metrics_are_for_administrators_and_have_no_labels_from_outside(gateway: Running) -> None:
    await gateway.post("/api/chat", {**CHAT, "stream": False})
    await gateway.post("/api/chat", {**CHAT, "model": "evil-name", "stream": False})
    assert (await gateway.client.get("/metrics")).status_code == 403
    admin = await gateway.new_key("admin-key", role="admin")
    text = (await gateway.client.get("/metrics", headers={"authorization": f"Bearer {admin}"})).text
    assert 'llmgate_requests_total{level="2",outcome="completed",protocol="ollama"} 1.0' in text
    assert 'llmgate_refused_requests_total{code="model_not_found"} 1.0' in text
    assert 'llmgate_slots{pool="fake",upstream="fake"} 1.0' in text
    assert "evil" not in text
    assert 'llmgate_tokens_total{kind="output",level="2"} 4.0' in text


async def test_every_request_is_written_down_once(gateway: Running) -> None:
    await gateway.post("/api/chat", {**CHAT, "stream": False})
    await gateway.post("/v1/chat/completions", {**CHAT, "stream": False})
    await gateway.services.usage.flush()
    admin = await gateway.new_key("admin-key", role="admin")
    headers = {"authorization": f"Bearer {admin}"}
    rows = (await gateway.client.get("/admin/v1/requests", headers=headers)).json()["data"]
    assert {row["request_id"] for row in rows} == {event.request_id for event in gateway.finished}
    sums = (await gateway.client.get("/admin/v1/usage", params={"group_by": "model"}, headers=headers)).json()["data"]
    assert [(row["key"], row["requests"], row["output_tokens"]) for row in sums] == [("llama3.2:latest", 2, 8)]
    assert json.dumps(rows).count("Hello") == 0
