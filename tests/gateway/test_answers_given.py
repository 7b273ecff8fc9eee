"""Answers that are given at once, and whole: what a client does not take, it does not keep in the gateway's memory."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from llmgate.config import QueueSettings
from llmgate.daemon import exchange
from llmgate.daemon.app import nothing_here
from llmgate.daemon.budget import SLICE_BYTES
from llmgate.daemon.exchange import Exchange
from llmgate.daemon.http import ABORT
from llmgate.daemon.queue.ticket import Outcome
from llmgate.daemon.store import keys
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import Running, run_gateway, settings_for, upstream_for

EMBED = {"model": "llama3.2", "input": "Hello"}
MIB = 1024 * 1024
AT_ONCE = ["/nope", "/api/nope", "/v1/nope", "/api/tags", "/api/version", "/v1/models"]


def vectors(size: int) -> bytes:
    """An answer of about so many bytes."""
    document = {"model": "llama3.2", "embeddings": ["x" * size], "prompt_eval_count": 7}
    return json.dumps(document).encode()


def connections(gateway: Running) -> list[Any]:
    """The server's side of all connections from clients."""
    return list(gateway.server.server_state.connections)


def unsent(gateway: Running) -> int:
    """Bytes that the gateway has handed over, and that the system has not taken yet."""
    return sum(one.transport.get_write_buffer_size() for one in connections(gateway))


def exchanges() -> int:
    return sum(type(one) is Exchange for one in gc.get_objects())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


class Deaf:
    """A client that asks, and takes of the answers only what it is told to."""

    def __init__(self, peer: socket.socket, gateway: Running) -> None:
        self._peer = peer
        self._gateway = gateway

    async def ask(self, path: str, body: object = None, method: str = "GET", key: str | None = None) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key or self._gateway.key}\r\n"
            f"content-length: {len(content)}\r\n\r\n"
        )
        await asyncio.get_running_loop().sock_sendall(self._peer, head.encode() + content)

    async def take(self, size: int = MIB) -> bytes:
        """What has come; nothing when the connection is closed."""
        async with asyncio.timeout(5):
            try:
                return await asyncio.get_running_loop().sock_recv(self._peer, size)
            except ConnectionResetError:
                return b""

    async def take_one(self) -> tuple[dict[str, str], bytes]:
        """Headers and body of the next answer."""
        taken = b""
        while b"\r\n\r\n" not in taken:
            taken += await self.take()
        head, _, body = taken.partition(b"\r\n\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
        parts, size = [body], len(body)
        while size < int(headers["content-length"]):
            parts.append(await self.take())
            assert parts[-1], "the connection was closed in the middle"
            size += len(parts[-1])
        return headers, b"".join(parts)

    async def take_all(self) -> int:
        """How many bytes come until the connection is closed."""
        size = 0
        while part := await self.take():
            size += len(part)
        return size


@asynccontextmanager
async def deaf(gateway: Running) -> AsyncIterator[Deaf]:
    """A connection with as little room in the system as can be, on both sides."""
    before = set(connections(gateway))
    parts = urlsplit(gateway.url)
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        peer.setblocking(False)
        await asyncio.get_running_loop().sock_connect(peer, (parts.hostname, parts.port))
        await until(lambda: bool(set(connections(gateway)) - before))
        (own,) = set(connections(gateway)) - before
        own.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
        yield Deaf(peer, gateway)


@pytest.mark.parametrize("path", AT_ONCE)
async def test_an_answer_at_once_leaves_nothing_behind(gateway: Running, path: str) -> None:
    for _ in range(5):
        await gateway.client.get(path)
    await until(lambda: exchanges() == 0)


@pytest.mark.parametrize("path", ["/nope", "/api/nope", "/v1/nope"])
async def test_who_takes_no_refusal_is_let_go(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """The server's protocol serves nobody who has not taken the answer before; this does not count on it."""
    monkeypatch.setattr(exchange, "STALL_SECONDS", 0.05)
    dropped = asyncio.Event()

    async def never(message: object = None) -> Any:
        await asyncio.Event().wait()

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "extensions": {ABORT: dropped.set}}
    async with asyncio.timeout(2):
        await nothing_here(scope, never, never)
    assert dropped.is_set()
    assert exchanges() == 0


@pytest.mark.parametrize("size", [10, SLICE_BYTES - 100, SLICE_BYTES, SLICE_BYTES + 1, 5 * MIB])
async def test_a_whole_answer_is_what_the_upstream_said(gateway: Running, ollama: FakeOllama, size: int) -> None:
    ollama.script(Script(body=vectors(size)))
    async with deaf(gateway) as client:
        await client.ask("/api/embed", EMBED, "POST")
        headers, body = await client.take_one()
        assert body == vectors(size)
        assert int(headers["content-length"]) == len(body)
        assert "transfer-encoding" not in headers
        finished = await gateway.outcome()
        assert (finished.outcome, finished.input_tokens) == (Outcome.COMPLETED, 7)
    await until(lambda: not exchanges())


async def test_a_whole_answer_that_is_not_taken_waits_outside_the_slot_and_is_counted(
    gateway: Running, ollama: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "STALL_SECONDS", 1.0)
    ollama.script(Script(body=vectors(10 * MIB)))
    async with deaf(gateway) as client:
        await client.ask("/api/embed", EMBED, "POST")
        await until(lambda: gateway.services.gateway.bodies.in_use > 10 * MIB)
        assert not await gateway.services.queue.running()
        assert gateway.services.gateway.active == 1
        assert unsent(gateway) <= 3 * SLICE_BYTES
        assert (await gateway.post("/api/embed", EMBED)).status_code == 200
        await gateway.until(lambda: len(gateway.finished) == 2)
        small, large = gateway.finished
        assert small.outcome is Outcome.COMPLETED
        assert (large.outcome, large.input_tokens) == (Outcome.CLIENT_DISCONNECTED, 7)
        assert gateway.services.gateway.bodies.in_use == 0
        assert await client.take_all() < 3 * SLICE_BYTES
        assert unsent(gateway) == 0


async def test_what_one_user_does_not_take_is_bounded(ollama: FakeOllama, tmp_path: Path) -> None:
    queue = QueueSettings(max_waiting_bytes=16 * MIB, settle_ms=0)
    upstream = upstream_for(ollama, slots=2)
    async with run_gateway(settings_for(tmp_path / "state", [upstream], queue=queue)) as gateway:
        bodies = gateway.services.gateway.bodies
        async with deaf(gateway) as first, deaf(gateway) as second:
            for client in (first, second):
                ollama.script(Script(body=vectors(3 * MIB), gate="both"))
                await client.ask("/api/embed", EMBED, "POST")
            await ollama.request(1)
            ollama.release("both")
            refusal = await gateway.outcome()
            assert (refusal.outcome, refusal.error_code) == (Outcome.REJECTED_LIMIT, "limit_exceeded")
            assert refusal.input_tokens == 7
            assert 3 * MIB < bodies.in_use <= bodies.share
            other = await gateway.new_key("other")
            ollama.script(Script(body=vectors(3 * MIB)))
            answer = await gateway.post("/api/embed", EMBED, authorization=f"Bearer {other}")
            assert answer.content == vectors(3 * MIB)
        await until(lambda: bodies.in_use == 0)
        ollama.script(Script(body=vectors(20 * MIB)))  # one at a time is always possible
        assert (await gateway.post("/api/embed", EMBED)).content == vectors(20 * MIB)


async def test_a_limit_holds_until_the_answer_was_taken(gateway: Running, ollama: FakeOllama) -> None:
    key = await gateway.new_key("robot", max_concurrent=1)
    ollama.script(Script(body=vectors(3 * MIB)))
    async with deaf(gateway) as client:
        await client.ask("/api/embed", EMBED, "POST", key)
        await until(lambda: unsent(gateway) > 0)
        refused = await gateway.post("/api/embed", EMBED, authorization=f"Bearer {key}")
        assert (refused.status_code, gateway.finished[-1].error_code) == (429, "too_many_concurrent")
        assert (await client.take_one())[1] == vectors(3 * MIB)
        await client.ask("/api/embed", EMBED, "POST", key)
        _, body = await client.take_one()
        assert "embeddings" in json.loads(body)


async def test_a_whole_answer_that_is_ended_in_the_middle_is_cut(gateway: Running, ollama: FakeOllama) -> None:
    ollama.script(Script(body=vectors(3 * MIB)))
    async with deaf(gateway) as client:
        await client.ask("/api/embed", EMBED, "POST")
        await until(lambda: unsent(gateway) > 0)
        async with gateway.services.database.begin() as tx:
            await keys.revoke(tx, (await keys.resolve(tx, "test")).id)
        gateway.services.authenticator.invalidate()
        finished = await gateway.outcome()
        assert (finished.outcome, finished.input_tokens) == (Outcome.CLIENT_DISCONNECTED, 7)
        assert await client.take_all() < 3 * SLICE_BYTES


async def test_a_large_list_that_is_not_taken_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "STALL_SECONDS", 1.0)
    async with FakeOllama() as ollama:
        ollama.described["llama3.2:latest"] = {"modelfile": "x" * 3 * MIB}
        queue = QueueSettings(max_waiting_bytes=16 * MIB, settle_ms=0)
        async with run_gateway(settings_for(tmp_path / "state", [upstream_for(ollama)], queue=queue)) as gateway:
            bodies = gateway.services.gateway.bodies
            show = {"model": "llama3.2"}
            async with deaf(gateway) as client:
                await client.ask("/api/show", show, "POST")
                await until(lambda: bodies.in_use > 3 * MIB)
                assert unsent(gateway) <= 3 * SLICE_BYTES
                assert (await gateway.post("/api/show", show)).status_code == 429
                await until(lambda: bodies.in_use == 0)
                assert await client.take_all() < 3 * SLICE_BYTES
            assert len((await gateway.post("/api/show", show)).content) > 3 * MIB
