"""What each kind of upstream is sent, and what it tells of itself."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmgate.daemon.upstreams.messages import forwarded_headers, json_body
from llmgate.daemon.upstreams.ollama import OllamaUpstream
from llmgate.daemon.upstreams.openai import OpenAIUpstream
from llmgate.errors import ModelNotFound, UnsupportedByUpstream, UpstreamProtocolError, UpstreamRejected
from tests.fakes import FakeOllama, FakeOpenAI, Script
from tests.upstreams.support import call, settings_for


@pytest.fixture
async def ollama(fake: FakeOllama) -> AsyncIterator[OllamaUpstream]:
    made = OllamaUpstream(settings_for(fake.url), timeout=2.0)
    yield made
    await made.close()


@pytest.fixture
async def vllm() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as server:
        yield server


@pytest.fixture
async def openai(vllm: FakeOpenAI) -> AsyncIterator[OpenAIUpstream]:
    made = OpenAIUpstream(settings_for(vllm.url, kind="openai"), timeout=2.0)
    yield made
    await made.close()


@pytest.mark.parametrize(
    "path",
    ["/api/chat", "/api/generate", "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"],
)
async def test_ollama_gets_every_protocol_as_it_was_judged(fake: FakeOllama, ollama: OllamaUpstream, path: str) -> None:
    more: dict[str, Any] = {"prompt": "Hi", "input": "Hi", "max_tokens": 5}
    asked = call(path, stream=True, **more)
    answer = await ollama.send(asked)
    reader = ollama.reader(asked)
    shown = b"".join([reader.feed(chunk) async for chunk in answer.chunks()]) + reader.finish()
    await answer.close()
    assert b"Hello" in shown
    assert reader.complete
    assert (reader.usage.input_tokens, reader.usage.output_tokens) == (7, 4)
    assert (fake.requests[0].path, fake.requests[0].json) == (path, asked.body)


async def test_a_whole_answer_of_ollama_is_handed_on_as_it_came(ollama: OllamaUpstream) -> None:
    asked = call(stream=False)
    answer = await ollama.send(asked)
    raw = await answer.read(10_000)
    await answer.close()
    shown, usage = ollama.whole(asked, raw)
    assert shown == raw
    assert usage.service == 7 + 2 * 4


async def test_of_the_clients_headers_only_those_on_the_list_are_forwarded(
    fake: FakeOllama, ollama: OllamaUpstream
) -> None:
    secret = [(b"authorization", b"Bearer llmg_secret"), (b"x-api-key", b"llmg_secret"), (b"cookie", b"session=1")]
    received = [*secret, (b"traceparent", b"00-1-2-03"), (b"x-forwarded-for", b"10.0.0.1")]
    asked = call(headers=forwarded_headers(received))
    await (await ollama.send(asked)).close()
    sent = fake.requests[0].headers
    assert sent["traceparent"] == "00-1-2-03"
    assert {"authorization", "x-api-key", "cookie", "x-forwarded-for"}.isdisjoint(sent)


async def test_ollama_tells_its_models_what_is_loaded_and_its_version(fake: FakeOllama, ollama: OllamaUpstream) -> None:
    fake.models = ["llama3.2:latest", "qwen3:8b"]
    told = await ollama.inspect()
    assert [model.name for model in told.models] == ["llama3.2:latest", "qwen3:8b"]
    assert [entry["name"] for entry in told.loaded] == ["llama3.2:latest"]
    assert told.version == "0.12.6"


async def test_ollama_with_a_dead_scheduler_does_not_pass(fake: FakeOllama, ollama: OllamaUpstream) -> None:
    fake.script(Script(status=500), path="/api/ps")
    with pytest.raises(UpstreamRejected):
        await ollama.inspect()


async def test_an_empty_list_as_go_writes_it_is_empty(fake: FakeOllama, ollama: OllamaUpstream) -> None:
    fake.script(Script(body=b'{"models":null}'), path="/api/tags")
    assert (await ollama.inspect()).models == []


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"models": 3}', b'"models"', b""])
async def test_a_listing_that_is_none_is_refused(fake: FakeOllama, ollama: OllamaUpstream, body: bytes) -> None:
    fake.script(Script(body=body), path="/api/tags")
    with pytest.raises(UpstreamProtocolError, match="kind 'ollama'"):
        await ollama.inspect()


@pytest.mark.parametrize("path", ["/api/tags", "/api/ps"])
async def test_half_a_character_in_a_name_is_replaced_because_nothing_could_send_it_on(
    fake: FakeOllama, ollama: OllamaUpstream, path: str
) -> None:
    body = b'{"models": [{"name": "evil\\ud800:1b", "details": {"family": "\\uDFFF"}}, {"name": "\\ud83e\\udd99"}]}'
    fake.script(Script(body=body), path=path)
    told = await ollama.inspect()
    names = [entry["name"] for entry in told.loaded] if path == "/api/ps" else [model.name for model in told.models]
    assert names == ["evil?:1b", "\U0001f999"]
    fake.script(Script(body=b'{"status": "\\ud800"}\n{"status": "success"}\n'), path="/api/pull")
    assert [event["status"] async for event in ollama.pull("new:1b")] == ["?", "success"]


async def test_numbers_that_json_does_not_have_are_none_because_other_clients_could_not_read_them(
    fake: FakeOllama, ollama: OllamaUpstream
) -> None:
    fake.script(Script(body=b'{"a": NaN, "b": [-Infinity, 1e999, 0.5, 7]}'), path="/api/show")
    assert await ollama.show("llama3.2") == {"a": None, "b": [None, None, 0.5, 7]}


async def test_details_that_are_nested_too_deep_to_be_sent_on_are_no_answer(
    fake: FakeOllama, ollama: OllamaUpstream
) -> None:
    fake.script(Script(body=b'{"a":' * 101 + b"1" + b"}" * 101), path="/api/show")
    with pytest.raises(UpstreamProtocolError):
        await ollama.show("llama3.2")


async def test_ollama_shows_a_model(ollama: OllamaUpstream) -> None:
    assert "tools" in (await ollama.show("llama3.2"))["capabilities"]
    with pytest.raises(ModelNotFound):
        await ollama.show("other")


async def test_an_openai_call_passes_an_openai_upstream_as_it_is(vllm: FakeOpenAI, openai: OpenAIUpstream) -> None:
    asked = call("/v1/chat/completions", model="qwen3:8b", stream=True)
    answer = await openai.send(asked)
    reader = openai.reader(asked)
    shown = b"".join([reader.feed(chunk) async for chunk in answer.chunks()]) + reader.finish()
    await answer.close()
    assert shown.endswith(b"data: [DONE]\n\n")
    assert vllm.requests[0].json == asked.body


@pytest.mark.parametrize("stream", [True, False])
async def test_an_ollama_call_is_translated_for_an_openai_upstream(
    vllm: FakeOpenAI, openai: OpenAIUpstream, stream: bool
) -> None:
    asked = call("/api/chat", model="qwen3:8b", stream=stream)
    answer = await openai.send(asked)
    if stream:
        reader = openai.reader(asked)
        shown = b"".join([reader.feed(chunk) async for chunk in answer.chunks()]) + reader.finish()
        usage = reader.usage
    else:
        shown, usage = openai.whole(asked, await answer.read(10_000))
    await answer.close()
    lines = [json.loads(line) for line in shown.splitlines()]
    assert "".join(line["message"]["content"] for line in lines) == "Hello, world!"
    assert lines[-1]["done"] is True
    assert (usage.input_tokens, usage.output_tokens) == (7, 4)
    assert vllm.requests[0].path == "/v1/chat/completions"


async def test_loading_a_model_needs_no_request_to_an_openai_upstream(vllm: FakeOpenAI, openai: OpenAIUpstream) -> None:
    asked = call("/api/generate", model="qwen3:8b", stream=False, prompt="")
    answer = await openai.send(asked)
    shown, _ = openai.whole(asked, await answer.read(10_000))
    await answer.close()
    assert json.loads(shown)["done"] is True
    assert vllm.requests == []


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
async def test_a_route_that_an_upstream_does_not_have_is_named(openai: OpenAIUpstream, path: str) -> None:
    asked = call(path, model="qwen3:8b", input="Hi", max_tokens=5)
    with pytest.raises(UnsupportedByUpstream, match=f"gpu1 does not offer {path}"):
        await openai.send(asked)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
async def test_a_route_that_an_upstream_has_is_used(path: str) -> None:
    async with FakeOpenAI(modern=True) as fake:
        upstream = OpenAIUpstream(settings_for(fake.url, kind="openai"), timeout=2.0)
        answer = await upstream.send(call(path, model="qwen3:8b", input="Hi", max_tokens=5))
        assert answer.status == 200
        await answer.close()
        await upstream.close()


async def test_all_models_of_an_openai_upstream_count_as_loaded(openai: OpenAIUpstream) -> None:
    told = await openai.inspect()
    assert [model.name for model in told.models] == ["qwen3:8b"]
    assert [entry["name"] for entry in told.loaded] == ["qwen3:8b"]


async def test_a_missing_health_route_is_asked_for_only_once(vllm: FakeOpenAI, openai: OpenAIUpstream) -> None:
    await openai.inspect()
    await openai.inspect()
    assert [seen.path for seen in vllm.reads] == ["/health", "/v1/models", "/v1/models"]


async def test_llamacpp_that_still_loads_its_model_does_not_pass() -> None:
    async with FakeOpenAI(llamacpp=True) as fake:
        upstream = OpenAIUpstream(settings_for(fake.url, kind="openai"), timeout=2.0)
        await upstream.inspect()
        fake.script(Script(status=503), path="/health")
        with pytest.raises(UpstreamRejected):
            await upstream.inspect()
        await upstream.close()


async def test_an_openai_upstream_describes_a_model(openai: OpenAIUpstream) -> None:
    assert (await openai.show("qwen3:8b"))["model_info"]
    with pytest.raises(ModelNotFound):
        await openai.show("other")


async def test_a_large_body_is_the_same_json(fake: FakeOllama) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x", "images": ["y" * 400_000]}]}
    assert json.loads(await json_body(body)) == body
