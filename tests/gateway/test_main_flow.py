"""A client asks, waits its turn, and gets the upstream's answer."""

from __future__ import annotations

import asyncio

import pytest

from llmgate.daemon.queue.ticket import Outcome
from tests.fakes import FakeOllama, FakeOpenAI, Script
from tests.gateway.harness import CHAT, Running, events_of, lines_of

STREAMED = [
    ("/api/chat", CHAT),
    ("/api/generate", {"model": "llama3.2", "prompt": "Hello"}),
    ("/v1/chat/completions", CHAT),
    ("/v1/completions", {"model": "llama3.2", "prompt": "Hello"}),
    ("/v1/responses", {"model": "llama3.2", "input": "Hello"}),
    ("/v1/messages", {**CHAT, "max_tokens": 64}),
]


@pytest.mark.parametrize(("path", "body"), STREAMED)
async def test_a_streamed_answer_arrives_whole_and_is_counted(
    gateway: Running, path: str, body: dict[str, object]
) -> None:
    async with gateway.stream(path, body) as answer:
        text = (await answer.aread()).decode()
    assert answer.status_code == 200
    assert "Hello" in text
    assert " world" in text
    finished = await gateway.outcome()
    assert finished.outcome is Outcome.COMPLETED
    assert (finished.input_tokens, finished.output_tokens) == (7, 4)
    assert finished.model == "llama3.2:latest"
    assert finished.upstream == "fake"
    assert finished.submitted_level == 2


@pytest.mark.parametrize(("path", "body"), STREAMED)
async def test_a_whole_answer_is_the_upstreams_own_bytes(
    gateway: Running, ollama: FakeOllama, path: str, body: dict[str, object]
) -> None:
    answer = await gateway.post(path, {**body, "stream": False})
    direct = await gateway.client.post(f"{ollama.url}{path}", json={**body, "stream": False})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == direct.json().keys()
    finished = await gateway.outcome()
    assert (finished.input_tokens, finished.output_tokens) == (7, 4)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/embed", {"model": "llama3.2", "input": ["a", "b"]}),
        ("/api/embeddings", {"model": "llama3.2", "prompt": "a"}),
        ("/v1/embeddings", {"model": "llama3.2", "input": "a"}),
    ],
)
async def test_embeddings_are_relayed(gateway: Running, path: str, body: dict[str, object]) -> None:
    answer = await gateway.post(path, body)
    assert answer.status_code == 200
    assert "embedding" in answer.text
    assert (await gateway.outcome()).outcome is Outcome.COMPLETED


async def test_tokens_arrive_one_by_one(gateway: Running, ollama: FakeOllama) -> None:
    ollama.script(Script(token_gates={1: "second"}))
    async with gateway.stream("/api/chat", CHAT) as answer:
        lines = answer.aiter_lines()
        assert '"Hello"' in await anext(lines)
        seen = await ollama.request(0)
        assert seen.tokens_sent == 1
        ollama.release("second")
        assert len([line async for line in lines]) == 4


async def test_answers_carry_id_level_and_wait(gateway: Running) -> None:
    answer = await gateway.post("/api/chat", {**CHAT, "stream": False}, **{"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"].startswith("mine-1-")
    assert answer.headers["x-llmgate-level"] == "2"
    assert int(answer.headers["x-llmgate-wait-ms"]) >= 0


async def test_one_slot_serves_one_after_the_other_by_level(gateway: Running, ollama: FakeOllama) -> None:
    ollama.script(Script(gate="first"))
    first = asyncio.create_task(gateway.post("/api/chat", {**CHAT, "stream": False}))
    await ollama.request(0)
    tasks = []
    for number, level in enumerate((5, 3, 4, 2)):
        content = [{"role": "user", "content": f"nonce-{level}"}]
        body = {"model": "llama3.2", "messages": content, "stream": False}
        tasks.append(asyncio.create_task(gateway.post("/api/chat", body, **{"x-llmgate-priority": str(level)})))
        await gateway.waiting(number + 1)
    ollama.release("first")
    answers = await asyncio.gather(first, *tasks)
    assert {answer.status_code for answer in answers} == {200}
    assert [seen.nonce for seen in ollama.requests[1:]] == ["nonce-2", "nonce-3", "nonce-4", "nonce-5"]
    assert ollama.max_concurrency == 1


@pytest.mark.parametrize("wish", ["1", "2"])
async def test_nobody_raises_their_own_level(gateway: Running, wish: str) -> None:
    answer = await gateway.post("/api/chat", {**CHAT, "stream": False}, **{"x-llmgate-priority": wish})
    assert answer.headers["x-llmgate-level"] == "2"


@pytest.mark.parametrize("wish", ["0", "6", "high", "", "1.0", "²"])
async def test_a_level_that_is_no_number_is_refused(gateway: Running, wish: str) -> None:
    answer = await gateway.client.post("/api/chat", json=CHAT, headers=[(b"x-llmgate-priority", wish.encode())])
    assert answer.status_code == 400
    assert "X-LLMGate-Priority" in answer.json()["error"]


async def test_the_clients_credential_never_reaches_the_upstream(gateway: Running, ollama: FakeOllama) -> None:
    await gateway.post("/api/chat", {**CHAT, "stream": False}, **{"cookie": "a=b", "x-secret": "1"})
    seen = await ollama.request(0)
    assert not {"authorization", "cookie", "x-secret", "x-api-key"} & {name.lower() for name in seen.headers}


async def test_the_usage_chunk_is_only_for_clients_that_asked(gateway: Running) -> None:
    async with gateway.stream("/v1/chat/completions", CHAT) as answer:
        plain = (await answer.aread()).decode()
    asked = {**CHAT, "stream_options": {"include_usage": True}}
    async with gateway.stream("/v1/chat/completions", asked) as answer:
        full = (await answer.aread()).decode()
    assert not any(event.get("usage") for event in events_of(plain))
    assert events_of(full)[-1]["usage"]["completion_tokens"] == 4
    assert plain.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_an_ollama_client_is_served_by_an_openai_upstream(
    openai_gateway: Running, vllm: FakeOpenAI, path: str
) -> None:
    body = {"model": "qwen", "messages": [{"role": "user", "content": "Hello"}], "prompt": "Hello"}
    async with openai_gateway.stream(path, body) as answer:
        lines = lines_of((await answer.aread()).decode())
    text = "".join(line.get("response", "") or line.get("message", {}).get("content", "") for line in lines)
    assert text == "Hello, world!"
    assert lines[-1]["done"] is True
    assert lines[-1]["done_reason"] == "stop"
    assert (lines[-1]["prompt_eval_count"], lines[-1]["eval_count"]) == (7, 4)
    assert lines[-1]["model"] == "qwen"
    assert vllm.requests[0].path == "/v1/chat/completions"
    finished = await openai_gateway.outcome()
    assert (finished.input_tokens, finished.output_tokens) == (7, 4)
