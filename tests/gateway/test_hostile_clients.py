"""Clients that do not read, do not finish, do not stop, or should not be there: none of them holds what others need."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from llmgate.config import QueueSettings, ServerSettings
from llmgate.daemon import exchange, http
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.queue.ticket import Outcome
from llmgate.daemon.store import keys
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT, Running, lines_of, run_gateway, settings_for, upstream_for
from tests.gateway.test_credentials import whitelist_loopback
from tests.gateway.test_disconnects import RawClient

WHOLE = {**CHAT, "stream": False}


async def raw_connection(gateway: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(gateway.url)
    return await asyncio.open_connection(parts.hostname, parts.port, limit=2**16)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_stops_reading_does_not_keep_the_slot(
    gateway: Running, ollama: FakeOllama, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr(exchange, "STALL_SECONDS", 0.1)
    ollama.script(Script(tokens=["x" * 1_000_000] * 12))
    client = await RawClient.ask(gateway, "/api/chat", {**CHAT, "stream": stream})
    await ollama.request(0)
    assert (await gateway.post("/api/chat", WHOLE)).status_code == 200
    if stream:
        assert (await gateway.outcome()).outcome is Outcome.CLIENT_DISCONNECTED
    await client.hang_up(reset=True)


async def test_a_client_that_stops_reading_does_not_hold_up_the_shutdown(
    ollama: FakeOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "FAIL_SECONDS", 0.1)
    server = ServerSettings(port=0, drain_seconds=0.1)
    async with asyncio.timeout(8):
        async with run_gateway(settings_for(tmp_path / "state", [upstream_for(ollama)], server=server)) as gateway:
            ollama.script(Script(tokens=["x" * 1_000_000] * 12))
            client = await RawClient.ask(gateway, "/api/chat", {**CHAT, "stream": True})
            await ollama.request(0)
            gateway.server.should_exit = True
            await gateway.outcome()
        await client.hang_up(reset=True)


async def test_a_slow_upload_does_not_hold_up_the_shutdown(ollama: FakeOllama, tmp_path: Path) -> None:
    server = ServerSettings(port=0, drain_seconds=0.1)
    async with asyncio.timeout(8):
        async with run_gateway(settings_for(tmp_path / "state", [upstream_for(ollama)], server=server)) as gateway:
            reader, writer = await raw_connection(gateway)
            head = f"POST /api/chat HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n"
            writer.write(head.encode() + b"content-length: 99\r\n\r\n{")
            while not gateway.services.gateway.active:
                await asyncio.sleep(0)
            gateway.server.should_exit = True
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 503")
            writer.close()
            await writer.wait_closed()


async def test_a_pipelined_request_does_not_hide_the_hang_up(gateway: Running, ollama: FakeOllama) -> None:
    ollama.script(Script(hang_after=1))
    _, writer = await raw_connection(gateway)
    body = json.dumps(CHAT)
    one = (
        f"POST /api/chat HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    )
    writer.write((one + one).encode())
    seen = await ollama.request(0)
    await ollama.wait_for(lambda: seen.tokens_sent == 1)
    writer.close()
    async with asyncio.timeout(1):
        await seen.disconnected.wait()
    assert (await gateway.outcome()).outcome is Outcome.CLIENT_DISCONNECTED
    assert len(ollama.requests) == 1
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@pytest.mark.parametrize("head", [b"a: b\r\n" * 200, b"a: " + b"b" * 1_000_000, b"a: b\r\n" * 100_000])
async def test_a_head_without_end_is_cut_off(gateway: Running, head: bytes) -> None:
    reader, writer = await raw_connection(gateway)
    writer.write(b"POST /api/chat HTTP/1.1\r\nhost: x\r\n" + head)
    async with asyncio.timeout(5):
        try:
            answer = await reader.read()
        except ConnectionResetError:
            answer = b""
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431")
    writer.transport.abort()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    assert (await gateway.post("/api/chat", WHOLE)).status_code == 200


@pytest.mark.parametrize("sent", [b"", b"POST /api/chat HTTP/1.1\r\nhost"])
async def test_a_head_that_never_comes_is_cut_off(
    gateway: Running, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.1)
    reader, writer = await raw_connection(gateway)
    writer.write(sent)
    async with asyncio.timeout(5):
        assert await asyncio.gather(reader.read(), return_exceptions=True)
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_a_revoked_key_ends_what_it_has_running_and_waiting(gateway: Running, ollama: FakeOllama) -> None:
    other = await gateway.new_key("other")
    ollama.script(Script(hang_after=1))
    streamed = asyncio.create_task(gateway.post("/api/chat", {**CHAT, "stream": True}))
    seen = await ollama.request(0)
    waiting = asyncio.create_task(gateway.post("/api/chat", WHOLE))
    await gateway.waiting(1)
    allowed = asyncio.create_task(gateway.post("/api/chat", WHOLE, authorization=f"Bearer {other}"))
    await gateway.waiting(2)
    async with gateway.services.database.begin() as tx:
        await keys.revoke(tx, (await keys.resolve(tx, "test")).id)
    gateway.services.authenticator.invalidate()
    async with asyncio.timeout(1):
        await seen.disconnected.wait()
    assert "credentials" in lines_of((await streamed).text)[-1]["error"]
    assert (await waiting).status_code == 401
    assert (await allowed).status_code == 200
    outcomes = [event.outcome for event in gateway.finished]
    assert sorted(outcomes) == [Outcome.CANCELLED_IN_QUEUE, Outcome.CLIENT_DISCONNECTED, Outcome.COMPLETED]


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}]
)
async def test_a_page_of_another_site_cannot_use_a_whitelisted_address(
    gateway: Running, ollama: FakeOllama, headers: dict[str, str]
) -> None:
    del gateway.client.headers["authorization"]
    await whitelist_loopback(gateway)
    answer = await gateway.post("/api/chat", WHOLE, **headers)
    assert answer.status_code == 403
    assert not ollama.requests
    assert (await gateway.post("/api/chat", WHOLE)).status_code == 200


async def test_bodies_that_wait_are_bounded_for_one_and_for_all(ollama: FakeOllama, tmp_path: Path) -> None:
    queue = QueueSettings(max_waiting_bytes=4 * 1024 * 1024, settle_ms=0)
    async with run_gateway(settings_for(tmp_path / "state", [upstream_for(ollama)], queue=queue)) as gateway:
        ollama.script(Script(gate="first"))
        large = {**WHOLE, "messages": [{"role": "user", "content": "x" * 900_000}]}
        tasks = [asyncio.create_task(gateway.post("/api/chat", large))]
        await ollama.request(0)
        greedy = await gateway.post("/api/chat", large)
        assert (greedy.status_code, gateway.refused[-1].error_code) == (429, "limit_exceeded")
        for number in range(3):
            key = await gateway.new_key(f"key-{number}")
            tasks.append(asyncio.create_task(gateway.post("/api/chat", large, authorization=f"Bearer {key}")))
            await gateway.waiting(number + 1)
        last = await gateway.new_key("last")
        full = await gateway.post("/api/chat", large, authorization=f"Bearer {last}")
        assert (full.status_code, gateway.refused[-1].error_code) == (503, "queue_full")
        ollama.release("first")
        assert {answer.status_code for answer in await asyncio.gather(*tasks)} == {200}
        assert (await gateway.post("/api/chat", large)).status_code == 200


async def test_an_answer_is_over_when_the_upstream_said_so(gateway: Running, ollama: FakeOllama) -> None:
    done = json.dumps({"model": "llama3.2", "done": True, "prompt_eval_count": 1, "eval_count": 1}).encode() + b"\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ncontent-length: 100000\r\n\r\n"
    ollama.script(Script(raw=head + done))
    answer = await gateway.post("/api/chat", {**CHAT, "stream": True})
    assert lines_of(answer.text)[-1]["done"] is True
    assert (await gateway.outcome()).outcome is Outcome.COMPLETED
    assert (await gateway.post("/api/chat", WHOLE)).status_code == 200


async def test_one_row_that_cannot_be_written_does_not_stop_the_others(gateway: Running) -> None:
    for _ in range(3):
        await gateway.post("/api/chat", WHOLE)
    await gateway.until(lambda: len(gateway.finished) == 3)
    usage = gateway.services.usage
    poison = gateway.finished[1]
    object.__setattr__(poison, "status", None)
    await usage.flush()
    assert (usage.pending, usage.dropped) == (0, 1)
    admin = await gateway.new_key("admin-key", role=Role.ADMIN)
    listed = await gateway.client.get("/admin/v1/requests", headers={"authorization": f"Bearer {admin}"})
    assert len(listed.json()["data"]) == 2
