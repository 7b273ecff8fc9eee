"""What a daemon that shuts down says to a proxy that has other daemons to ask: 421 of what it has not begun, and of
nothing else. With ``deploy/nginx.conf`` such a request goes to another daemon: it must be certain that nothing was run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from llmgate.config import ServerSettings
from tests.chat.harness import until
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT, Running, run_gateway, settings_for, upstream_for

ELSEWHERE = {"x-llmgate-elsewhere": "1"}
WHOLE = {**CHAT, "stream": False}


@pytest.fixture
async def ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as fake:
        yield fake


@asynccontextmanager
async def draining_for(seconds: float, ollama: FakeOllama, folder: Path) -> AsyncIterator[Running]:
    server = ServerSettings(port=0, drain_seconds=seconds)
    async with run_gateway(settings_for(folder, [upstream_for(ollama)], server=server)) as running:
        yield running


@pytest.fixture
async def gateway(ollama: FakeOllama, tmp_path: Path) -> AsyncIterator[Running]:
    async with draining_for(0.3, ollama, tmp_path / "state") as running:
        yield running


def ask(gateway: Running, **headers: str) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(gateway.post("/api/chat", WHOLE, **headers))


async def test_421_is_said_of_what_waits_and_503_of_what_runs(gateway: Running, ollama: FakeOllama) -> None:
    ollama.script(Script(hang=True))
    running = ask(gateway, **ELSEWHERE)
    await ollama.request(0)
    waiting, without = ask(gateway, **ELSEWHERE), ask(gateway)
    await gateway.waiting(2)
    gateway.server.should_exit = True
    answers = [await one for one in (waiting, without, running)]
    # The one that runs is cut when the drain is over. The model has worked for it: it is nobody's to ask again but the
    # client's.
    assert [answer.status_code for answer in answers] == [421, 503, 503]
    assert {answer.headers["connection"] for answer in answers} == {"close"}
    assert len(ollama.requests) == 1
    assert [event.error_code for event in gateway.finished] == ["draining"] * 3


async def test_421_is_said_to_what_comes_over_a_kept_connection(ollama: FakeOllama, tmp_path: Path) -> None:
    """A proxy may send its next request in the very moment in which the daemon begins to shut down: it gets an answer,
    after which the connection is closed. A connection that breaks would be a request that may have been run."""
    ollama.script(Script(gate="go"))
    async with draining_for(30, ollama, tmp_path / "state") as gateway:
        running = ask(gateway)
        await ollama.request(0)
        await asyncio.gather(*(gateway.client.get("/health/live") for _ in range(3)))  # connections that are kept
        gateway.server.should_exit = True
        await until(lambda: gateway.services.draining)
        late = [ask(gateway, **ELSEWHERE), ask(gateway)]
        answers = [await one for one in late]
        assert [answer.status_code for answer in answers] == [421, 503]
        assert {answer.headers["connection"] for answer in answers} == {"close"}
        assert (await gateway.client.get("/health/live")).headers["connection"] == "close"
        ollama.release("go")
        assert (await running).status_code == 200
        assert len(ollama.requests) == 1


async def test_a_proxy_closes_the_connection_whose_last_answer_said_that_it_is_kept(
    ollama: FakeOllama, tmp_path: Path
) -> None:
    """A stream ends while the daemon shuts down. Its head went out before: the proxy keeps the connection, and may use
    it in the same moment. So it is the proxy that closes it, or is told by the next answer."""
    ollama.script(Script(token_gates={1: "go"}))
    async with (
        draining_for(30, ollama, tmp_path / "state") as gateway,
        httpx.AsyncClient(base_url=gateway.url, limits=httpx.Limits(max_connections=1), trust_env=False) as proxy,
    ):
        headers = {**ELSEWHERE, "authorization": f"Bearer {gateway.key}"}
        async with proxy.stream("POST", "/api/chat", json=CHAT, headers=headers) as stream:
            assert "connection" not in stream.headers
            gateway.server.should_exit = True
            await until(lambda: gateway.services.draining)
            ollama.release("go")
            assert b'"done":true' in (await stream.aread()).replace(b" ", b"")
        late = await proxy.post("/api/chat", json=WHOLE, headers=headers)
        assert (late.status_code, late.headers["connection"]) == (421, "close")


async def test_other_errors_stay_what_they_are(gateway: Running, ollama: FakeOllama) -> None:
    ollama.script(Script(status=503), times=None)
    assert (await gateway.post("/api/chat", WHOLE, **ELSEWHERE)).status_code == 503
    assert (await gateway.post("/api/chat", {**WHOLE, "model": "none"}, **ELSEWHERE)).status_code == 404
