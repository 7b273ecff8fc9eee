"""Bad input from either side: a clear error in the caller's dialect, and the next request is served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llmgate.config import HealthSettings, QueueSettings
from llmgate.daemon.events import UpstreamChanged
from llmgate.daemon.queue.ticket import Outcome
from tests.fakes import FakeOllama, FakeOpenAI, Script
from tests.gateway.harness import CHAT, Running, events_of, lines_of, run_gateway, settings_for, upstream_for

ROUTES = ["/api/chat", "/v1/chat/completions", "/v1/messages"]


def message_of(path: str, document: dict[str, object]) -> str:
    """The text of an error, asserting that it is in the dialect of the path."""
    error = document["error"]
    if path.startswith("/api/"):
        assert isinstance(error, str)
        return error
    assert isinstance(error, dict)
    if path == "/v1/messages":
        assert document["type"] == "error"
    else:
        assert error.keys() >= {"message", "type", "code", "param"}
    return str(error["message"])


async def assert_serves(gateway: Running) -> None:
    assert (await gateway.post("/api/chat", {**CHAT, "stream": False})).status_code == 200


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"[1]", "object"),
        (b'{"model": "llama3.2", "model": "other"}', "twice"),
        (b'{"model": "llama3.2", "Model": "other"}', "case"),
        (b'{"model": "llama3.2", "MODEL": "other"}', "case"),
        ('{"model": "llama3.2", "\u017ftream": false}'.encode(), "stream"),
        (b'{"Model": "llama3.2"}', "model"),
        (b'{"model": 7}', "model"),
        (b'{"model": ""}', "model"),
        (b'{"model": "llama3.2", "messages": [], "stream": "yes"}', "stream"),
        (b'{"model": "llama3.2", "messages": [' + b"[" * 100 + b"]" * 100 + b"]}", "nested"),
        (b'{"model": "llama3.2", "n": NaN}', "NaN"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"model": "' + b"m" * 10_000 + b'"}', "512 characters"),
    ],
)
async def test_a_bad_body_is_refused_in_the_callers_dialect(
    gateway: Running, ollama: FakeOllama, path: str, body: bytes, says: str
) -> None:
    answer = await gateway.client.post(path, content=body)
    assert answer.status_code == 400
    message = message_of(path, answer.json())
    assert says in message
    assert len(message) < 400
    assert not ollama.requests
    assert gateway.refused[-1].error_code == "invalid_request"
    await assert_serves(gateway)


@pytest.mark.parametrize("path", ROUTES)
async def test_an_unknown_model_is_a_404(gateway: Running, path: str) -> None:
    answer = await gateway.post(path, {**CHAT, "model": "no-such-model", "max_tokens": 5})
    assert answer.status_code == 404
    assert "no-such-model" in message_of(path, answer.json())
    await assert_serves(gateway)


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_of_40_megabytes_is_refused(gateway: Running, chunked: bool) -> None:
    size = 40 * 1024 * 1024

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * (1024 * 1024)

    answer = await gateway.client.post("/api/chat", content=pieces() if chunked else b" " * size)
    assert answer.status_code == 413
    assert "32 MiB" in answer.json()["error"]
    await assert_serves(gateway)


@pytest.mark.parametrize(
    "path", ["/api/push", "/api/create", "/api/blobs/sha256:0", "/v1/files", "/v2", "/api/chat/", "//api/chat"]
)
async def test_what_is_not_listed_does_not_exist(gateway: Running, ollama: FakeOllama, path: str) -> None:
    reads = len(ollama.reads)
    for method in ("GET", "POST", "DELETE"):
        answer = await gateway.client.request(method, f"{gateway.url}{path}", json={"model": "llama3.2"})
        assert answer.status_code == 404, (method, path)
    assert [seen.path for seen in ollama.reads[reads:] if seen.path == path] == []


async def test_the_wrong_method_is_a_405(gateway: Running) -> None:
    assert (await gateway.client.get("/api/chat")).status_code == 405
    assert (await gateway.client.post("/api/tags")).status_code == 405


async def test_an_endless_line_ends_in_a_terminal_error(gateway: Running, ollama: FakeOllama) -> None:
    ollama.script(Script(endless_line=True))
    async with gateway.stream("/api/chat", CHAT) as answer:
        text = (await answer.aread()).decode()
    assert "line" in lines_of(text)[-1]["error"]
    finished = await gateway.outcome()
    assert finished.outcome is Outcome.UPSTREAM_FAILED
    assert finished.error_code == "upstream_protocol"
    await assert_serves(gateway)


@pytest.mark.parametrize("cut_after", [150, 200, 331])
@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("path", ROUTES)
async def test_a_half_sent_stream_ends_in_a_terminal_error_event(
    gateway: Running, ollama: FakeOllama, path: str, cut_after: int, reset: bool
) -> None:
    ollama.script(Script(cut_after=cut_after, reset=reset))
    async with gateway.stream(path, {**CHAT, "max_tokens": 9}) as answer:
        text = (await answer.aread()).decode()
    if answer.status_code == 200:
        last = lines_of(text)[-1] if path == "/api/chat" else events_of(text)[-1]
    else:
        last = answer.json()
    assert message_of(path, last)
    assert "[DONE]" not in text
    assert '"done":true' not in text
    assert (await gateway.outcome()).outcome is Outcome.UPSTREAM_FAILED
    await assert_serves(gateway)


async def test_a_half_sent_whole_answer_is_a_502(gateway: Running, ollama: FakeOllama) -> None:
    ollama.script(Script(cut_after=40))
    answer = await gateway.post("/api/chat", {**CHAT, "stream": False})
    assert answer.status_code == 502
    assert (await gateway.outcome()).error_code == "upstream_cut"
    await assert_serves(gateway)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("status", [500, 502])
async def test_an_upstreams_500_is_passed_on(gateway: Running, ollama: FakeOllama, path: str, status: int) -> None:
    ollama.script(Script(status=status))
    answer = await gateway.post(path, {**CHAT, "max_tokens": 5, "stream": False})
    assert answer.status_code == status
    assert "scripted error" in message_of(path, answer.json())
    assert (await gateway.outcome()).outcome is Outcome.UPSTREAM_FAILED
    await assert_serves(gateway)


@pytest.mark.parametrize("status", [401, 403])
async def test_the_gateways_own_bad_credential_is_not_the_clients(
    gateway: Running, ollama: FakeOllama, status: int
) -> None:
    ollama.script(Script(status=status))
    answer = await gateway.post("/api/chat", {**CHAT, "stream": False})
    assert answer.status_code == 502


async def test_an_error_line_inside_a_stream_is_passed_on_and_counted(gateway: Running, ollama: FakeOllama) -> None:
    ollama.script(Script(error_after=(2, "out of memory")))
    async with gateway.stream("/api/chat", CHAT) as answer:
        lines = lines_of((await answer.aread()).decode())
    assert lines[-1]["error"] == "out of memory"
    assert (await gateway.outcome()).outcome is Outcome.UPSTREAM_FAILED


async def test_garbage_instead_of_http_is_a_502(gateway: Running, ollama: FakeOllama) -> None:
    ollama.script(Script(raw=b"\x00\x01garbage\r\n\r\n"))
    answer = await gateway.post("/api/chat", {**CHAT, "stream": False})
    assert answer.status_code == 502
    await assert_serves(gateway)


async def test_an_unreachable_upstream_is_a_clear_error(ollama: FakeOllama, tmp_path: Path) -> None:
    queue, health = (
        QueueSettings(outage_grace=0.2, settle_ms=0),
        HealthSettings(interval=0.1, timeout=1, backoff_max=0.1),
    )
    settings = settings_for(tmp_path / "state", [upstream_for(ollama)], queue=queue, health=health)
    async with run_gateway(settings) as gateway:
        await ollama.stop()
        answers = await asyncio.gather(*(gateway.post(path, {**CHAT, "max_tokens": 5}) for path in ROUTES))
        for path, answer in zip(ROUTES, answers, strict=True):
            assert answer.status_code in (502, 503)
            assert message_of(path, answer.json())
        assert {event.outcome for event in gateway.finished} == {Outcome.UPSTREAM_FAILED}
        gateway.events.clear()
        await ollama.start()
        await gateway.until(
            lambda: any(isinstance(e, UpstreamChanged) and e.before == "offline" for e in gateway.events)
        )
        await assert_serves(gateway)


async def test_what_an_openai_upstream_cannot_do_is_said_in_the_callers_dialect(
    openai_gateway: Running, vllm: FakeOpenAI
) -> None:
    answer = await openai_gateway.post("/api/generate", {"model": "qwen", "prompt": "x", "template": "{{ .Prompt }}"})
    assert answer.status_code == 400
    assert "template" in answer.json()["error"]
    assert not vllm.requests


async def test_a_route_that_this_ollama_does_not_have_yet_is_said_clearly(gateway: Running, ollama: FakeOllama) -> None:
    ollama.script(Script(status=404, body=b"404 page not found", content_type="text/plain"))
    answer = await gateway.post("/v1/messages", {**CHAT, "max_tokens": 5})
    assert answer.status_code == 400
    assert "/v1/messages" in message_of("/v1/messages", answer.json())


async def test_the_old_spelling_of_show_is_understood(gateway: Running) -> None:
    """Ollama's own command sends both names, the new one empty."""
    assert (await gateway.post("/api/show", {"model": "", "name": "llama3.2", "options": None})).status_code == 200
