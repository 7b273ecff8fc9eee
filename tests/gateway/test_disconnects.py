"""A client that hangs up: unstarted work never starts, started work stops at once."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

import pytest

from llmgate.daemon.queue.ticket import Outcome
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT, Running


class RawClient:
    """A client whose connection can be dropped at any moment."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    @classmethod
    async def ask(cls, gateway: Running, path: str, body: object) -> RawClient:
        parts = urlsplit(gateway.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        content = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {gateway.key}\r\n"
            f"content-length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        return cls(reader, writer)

    async def hang_up(self, *, reset: bool = False) -> None:
        if reset:
            self._writer.transport.abort()
        else:
            self._writer.close()
        await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("reset", [True, False])
async def test_a_client_that_leaves_the_queue_never_starts(
    gateway: Running, ollama: FakeOllama, stream: bool, reset: bool
) -> None:
    ollama.script(Script(gate="first"))
    first = asyncio.create_task(gateway.post("/api/chat", {**CHAT, "stream": False}))
    await ollama.request(0)
    client = await RawClient.ask(gateway, "/api/chat", {**CHAT, "stream": stream})
    await gateway.waiting(1)
    await client.hang_up(reset=reset)
    finished = await gateway.outcome()
    assert finished.outcome is Outcome.CANCELLED_IN_QUEUE
    await gateway.waiting(0)
    ollama.release("first")
    assert (await first).status_code == 200
    assert len(ollama.requests) == 1


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
async def test_leaving_before_the_first_byte_closes_the_upstream(
    gateway: Running, ollama: FakeOllama, stream: bool, path: str
) -> None:
    ollama.script(Script(hang=True))
    client = await RawClient.ask(gateway, path, {**CHAT, "stream": stream})
    seen = await ollama.request(0)
    await client.hang_up()
    async with asyncio.timeout(1):
        await seen.disconnected.wait()
    assert (await gateway.outcome()).outcome is Outcome.CLIENT_DISCONNECTED
    assert (await gateway.post("/api/chat", {**CHAT, "stream": False})).status_code == 200


async def test_leaving_in_the_middle_closes_the_upstream(gateway: Running, ollama: FakeOllama) -> None:
    ollama.script(Script(hang_after=2))
    client = await RawClient.ask(gateway, "/api/chat", {**CHAT, "stream": True})
    seen = await ollama.request(0)
    await ollama.wait_for(lambda: seen.tokens_sent == 2)
    await client.reader.readuntil(b'"done"')
    await client.hang_up()
    async with asyncio.timeout(1):
        await seen.disconnected.wait()
    finished = await gateway.outcome()
    assert finished.outcome is Outcome.CLIENT_DISCONNECTED
    assert finished.output_tokens
    assert (await gateway.post("/api/chat", {**CHAT, "stream": False})).status_code == 200


async def test_the_slot_is_free_again_after_many_cuts(gateway: Running, ollama: FakeOllama) -> None:
    for round_number in range(30):
        ollama.script(Script(hang_after=round_number % 3))
        client = await RawClient.ask(gateway, "/api/chat", {**CHAT, "stream": True})
        seen = await ollama.request(round_number)
        while seen.tokens_sent != round_number % 3:
            await asyncio.sleep(0)
        await client.hang_up(reset=bool(round_number % 2))
        await gateway.outcome(round_number)
    assert (await gateway.post("/api/chat", {**CHAT, "stream": False})).status_code == 200
    assert ollama.max_concurrency == 1
    assert not await gateway.services.queue.running()
