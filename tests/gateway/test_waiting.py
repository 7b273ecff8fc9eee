"""What happens while a request waits: keep-alives, deadlines, bounds, retries, shutdown."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from llmgate.config import HealthSettings, QueueSettings
from llmgate.daemon.events import UpstreamChanged
from llmgate.daemon.queue.ticket import Outcome
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT, Running, run_gateway, settings_for, upstream_for


@pytest.mark.parametrize(
    ("path", "alive"),
    [
        ("/api/chat", b'"done":false}\n'),
        ("/v1/chat/completions", b": keep-alive\n"),
        ("/v1/messages", b'event: ping\ndata: {"type": "ping"}\n\n'),
    ],
)
async def test_a_stream_that_waits_is_kept_alive_in_its_dialect(
    ollama: FakeOllama, tmp_path: Path, path: str, alive: bytes
) -> None:
    queue = QueueSettings(keepalive_after=0.05, settle_ms=0)
    async with run_gateway(settings_for(tmp_path / "state", [upstream_for(ollama)], queue=queue)) as gateway:
        ollama.script(Script(gate="first"))
        first = asyncio.create_task(gateway.post("/api/chat", {**CHAT, "stream": False}))
        await ollama.request(0)
        async with gateway.stream(path, {**CHAT, "max_tokens": 9}) as answer:
            assert answer.status_code == 200
            chunks = answer.aiter_raw()
            assert (await anext(chunks)).endswith(alive)
            ollama.release("first")
            rest = b"".join([chunk async for chunk in chunks])
        assert b"world" in rest
        assert (await first).status_code == 200
        finished = await gateway.outcome(1)
        assert finished.outcome is Outcome.COMPLETED


async def test_after_a_keepalive_an_error_is_a_terminal_event(ollama: FakeOllama, tmp_path: Path) -> None:
    queue = QueueSettings(keepalive_after=0.05, settle_ms=0)
    async with run_gateway(settings_for(tmp_path / "state", [upstream_for(ollama)], queue=queue)) as gateway:
        ollama.script(Script(gate="fail", status=500))
        async with gateway.stream("/v1/chat/completions", CHAT) as answer:
            chunks = answer.aiter_raw()
            await anext(chunks)
            ollama.release("fail")
            rest = b"".join([chunk async for chunk in chunks])
        assert answer.status_code == 200
        assert b'data: {"error":' in rest
        assert b"[DONE]" not in rest


@pytest.mark.parametrize("stream", [True, False])
async def test_the_queue_deadline_is_a_504(ollama: FakeOllama, tmp_path: Path, stream: bool) -> None:
    queue = QueueSettings(deadline_seconds=0.2, settle_ms=0)
    async with run_gateway(settings_for(tmp_path / "state", [upstream_for(ollama)], queue=queue)) as gateway:
        ollama.script(Script(gate="first"))
        first = asyncio.create_task(gateway.post("/api/chat", {**CHAT, "stream": False}))
        await ollama.request(0)
        answer = await gateway.post("/v1/chat/completions", {**CHAT, "stream": stream})
        assert answer.status_code == 504
        assert answer.json()["error"]["code"] == "queue_timeout"
        assert (await gateway.outcome()).outcome is Outcome.EXPIRED_IN_QUEUE
        ollama.release("first")
        assert (await first).status_code == 200


async def test_a_full_line_is_503_and_a_greedy_caller_429(ollama: FakeOllama, tmp_path: Path) -> None:
    queue = QueueSettings(max_waiting=2, max_waiting_per_principal=1, settle_ms=0)
    async with run_gateway(settings_for(tmp_path / "state", [upstream_for(ollama)], queue=queue)) as gateway:
        other, third = await gateway.new_key("other"), await gateway.new_key("third")
        ollama.script(Script(gate="first"))
        body = {**CHAT, "stream": False}
        tasks = [asyncio.create_task(gateway.post("/api/chat", body))]
        await ollama.request(0)
        tasks.append(asyncio.create_task(gateway.post("/api/chat", body)))
        await gateway.waiting(1)
        greedy = await gateway.post("/v1/chat/completions", body)
        tasks.append(asyncio.create_task(gateway.post("/api/chat", body, authorization=f"Bearer {other}")))
        await gateway.waiting(2)
        full = await gateway.post("/v1/messages", {**body, "max_tokens": 5}, authorization=f"Bearer {third}")
        assert (greedy.status_code, greedy.json()["error"]["code"]) == (429, "limit_exceeded")
        assert (full.status_code, full.json()["error"]["type"]) == (503, "overloaded_error")
        assert int(greedy.headers["retry-after"]) >= 1
        assert int(full.headers["retry-after"]) >= 1
        ollama.release("first")
        assert {answer.status_code for answer in await asyncio.gather(*tasks)} == {200}
        outcomes = [event.outcome for event in gateway.finished]
        assert outcomes[:2] == [Outcome.REJECTED_LIMIT, Outcome.REJECTED_FULL]


@pytest.mark.parametrize("status", [503, 429])
async def test_a_refusal_is_tried_elsewhere(tmp_path: Path, status: int) -> None:
    async with FakeOllama() as busy, FakeOllama() as free:
        upstreams = [upstream_for(busy, "a", pool="gpu"), upstream_for(free, "b", pool="gpu")]
        async with run_gateway(settings_for(tmp_path / "state", upstreams)) as gateway:
            busy.script(Script(status=status), times=None)
            answers = [await gateway.post("/api/chat", {**CHAT, "stream": False}) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [200, 200]
            assert busy.requests
            assert {event.upstream for event in gateway.finished} == {"b"}


async def test_a_server_that_is_busy_for_a_moment_is_asked_again(gateway: Running, ollama: FakeOllama) -> None:
    ollama.script(Script(status=503))
    answer = await gateway.post("/api/chat", {**CHAT, "stream": False})
    assert answer.status_code == 200
    assert len(ollama.requests) == 2


async def test_a_server_that_stays_busy_is_given_up(gateway: Running, ollama: FakeOllama) -> None:
    ollama.script(Script(status=503, headers={"Retry-After": "7"}), times=None)
    answer = await gateway.post("/v1/chat/completions", {**CHAT, "stream": False})
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "upstream_refused"
    assert answer.headers["retry-after"] == "7"
    assert len(ollama.requests) == 3


async def test_an_upstream_that_is_gone_is_avoided(tmp_path: Path) -> None:
    async with FakeOllama() as gone, FakeOllama() as there:
        upstreams = [upstream_for(gone, "a", pool="gpu"), upstream_for(there, "b", pool="gpu")]
        async with run_gateway(settings_for(tmp_path / "state", upstreams)) as gateway:
            await gone.stop()
            answers = [await gateway.post("/api/chat", {**CHAT, "stream": False}) for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200] * 4
            assert {event.upstream for event in gateway.finished} == {"b"}
            assert len(gateway.finished) == 4


async def test_shutdown_ends_waiting_and_lets_answers_finish(ollama: FakeOllama, tmp_path: Path) -> None:
    async with run_gateway(settings_for(tmp_path / "state", [upstream_for(ollama)])) as gateway:
        ollama.script(Script(token_gates={2: "rest"}))
        running = asyncio.create_task(gateway.post("/api/chat", {**CHAT, "stream": True}))
        seen = await ollama.request(0)
        await ollama.wait_for(lambda: seen.tokens_sent == 2)
        waiting = asyncio.create_task(gateway.post("/api/chat", {**CHAT, "stream": False}))
        await gateway.waiting(1)
        gateway.server.should_exit = True
        refused = await waiting
        assert refused.status_code == 503
        assert "shutting down" in refused.json()["error"]
        ollama.release("rest")
        whole = await running
        assert json.loads(whole.text.splitlines()[-1])["done"] is True
        outcomes = {event.outcome for event in gateway.finished}
        assert outcomes == {Outcome.SHUTDOWN, Outcome.COMPLETED}


async def test_an_answer_that_outlives_the_drain_ends_in_a_terminal_error(ollama: FakeOllama, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "state", [upstream_for(ollama)])
    settings = settings.model_copy(update={"server": settings.server.model_copy(update={"drain_seconds": 0.1})})
    async with run_gateway(settings) as gateway:
        ollama.script(Script(hang_after=2))
        running = asyncio.create_task(gateway.post("/api/chat", {**CHAT, "stream": True}))
        seen = await ollama.request(0)
        await ollama.wait_for(lambda: seen.tokens_sent == 2)
        gateway.server.should_exit = True
        last = json.loads((await running).text.splitlines()[-1])
        assert "shutting down" in last["error"]
        assert (await gateway.outcome()).outcome is Outcome.SHUTDOWN


async def test_waiting_requests_survive_a_restart_of_their_upstream(ollama: FakeOllama, tmp_path: Path) -> None:
    health = HealthSettings(interval=0.2, timeout=1, backoff_max=0.2)
    settings = settings_for(tmp_path / "state", [upstream_for(ollama)], health=health)
    async with run_gateway(settings) as gateway:
        ollama.script(Script(hang=True))
        body = {**CHAT, "stream": False}
        running = asyncio.create_task(gateway.post("/api/chat", body))
        await ollama.request(0)
        waiting = [asyncio.create_task(gateway.post("/api/chat", body)) for _ in range(3)]
        await gateway.waiting(3)
        await ollama.stop()
        assert (await running).status_code == 502
        await gateway.until(lambda: any(isinstance(e, UpstreamChanged) and not e.usable for e in gateway.events))
        await ollama.start()
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
