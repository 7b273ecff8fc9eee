"""A gateway with as many connections as it may have: who is served, who makes room, and who is told that it is full."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from llmgate.config import ServerSettings
from llmgate.daemon.connections import SPARE, Place
from llmgate.daemon.events import ConnectionRefused
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import Running, run_gateway, settings_for, upstream_for
from tests.gateway.test_protocol_limits import BODY, WHOLE, all_of, head, one_answer, raw, refused


@asynccontextmanager
async def with_room_for(count: int, ollama: FakeOllama, state: Path) -> AsyncIterator[Running]:
    server = ServerSettings(port=0, drain_seconds=0.1, max_connections=count)
    async with run_gateway(settings_for(state, [upstream_for(ollama)], server=server)) as gateway:
        yield gateway


@asynccontextmanager
async def crowded(count: int, ollama: FakeOllama, state: Path) -> AsyncIterator[Running]:
    """A gateway with room for sixteen connections, where somebody is served over ``count`` of them."""
    async with with_room_for(16, ollama, state) as gateway:
        places = list[Place]()
        for _ in range(count):
            place = gateway.services.connections.enter("127.0.0.1")
            assert isinstance(place, Place)
            place.busy()
            places.append(place)
        yield gateway
        for place in places:
            place.leave()
        assert (await gateway.post("/api/chat", WHOLE)).status_code == 200


async def test_whoever_asks_for_nothing_makes_room(ollama: FakeOllama, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(with_room_for(10, ollama, tmp_path / "state"))
        silent = [await stack.enter_async_context(raw(gateway)) for _ in range(15)]
        for _, writer in silent[10:]:
            writer.write(b"POST /api/chat HTTP/1.1\r\nHost: x\r\n")
        for _ in range(3):
            assert (await gateway.post("/api/chat", WHOLE, connection="close")).status_code == 200
        for reader, _ in silent[:5]:  # in the order in which they came
            assert await all_of(reader) == b""
        assert len(gateway.services.connections) <= 10
        assert ConnectionRefused("made_room") in gateway.events


async def test_with_everybody_served_others_are_refused_at_once_and_health_is_told(
    ollama: FakeOllama, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(with_room_for(16, ollama, tmp_path / "state"))
        ollama.script(Script(gate="go"))
        asked = [asyncio.create_task(gateway.post("/api/chat", WHOLE)) for _ in range(16)]
        await gateway.waiting(15)
        async with raw(gateway) as (reader, writer):
            writer.write(head(gateway, f"Content-Length: {len(BODY)}") + BODY)
            status, headers, body = await one_answer(reader)
            assert (status, json.loads(body)["code"]) == (503, "overloaded")
            assert 1 <= int(headers["retry-after"]) <= 5
            assert await all_of(reader) == b""
        for path in ("/health/live", "/health/ready"):
            async with raw(gateway) as (reader, writer):
                writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                status, headers, _ = await one_answer(reader)
                assert (status, headers["connection"]) == (200, "close")
        ollama.release("go")
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
        assert (await gateway.post("/api/chat", WHOLE)).status_code == 200


async def test_beyond_the_spare_places_the_answer_comes_without_a_question(ollama: FakeOllama, tmp_path: Path) -> None:
    async with crowded(16 + SPARE, ollama, tmp_path / "state") as gateway, raw(gateway) as (reader, writer):
        writer.write(head(gateway, f"Content-Length: {len(BODY)}") + BODY)
        assert await refused(reader) == (503, "overloaded")


async def test_each_of_many_that_ask_in_the_same_moment_is_told_that_there_is_no_place(
    ollama: FakeOllama, tmp_path: Path
) -> None:
    async with crowded(16, ollama, tmp_path / "state") as gateway:
        asked, loop = head(gateway, f"Content-Length: {len(BODY)}") + BODY, asyncio.get_running_loop()
        parts = urlsplit(gateway.url)
        with ExitStack() as stack:
            strangers = [
                stack.enter_context(socket.create_connection((parts.hostname, parts.port))) for _ in range(100)
            ]
            for stranger in strangers:  # all are there before the first is accepted
                stranger.sendall(asked)
                stranger.setblocking(False)
            async with asyncio.timeout(5):
                said = await asyncio.gather(*(loop.sock_recv(stranger, 65_536) for stranger in strangers))
        assert Counter(answer[:12] for answer in said) == {b"HTTP/1.1 503": 100}
        async with raw(gateway) as (reader, writer):
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await all_of(reader)).startswith(b"HTTP/1.1 200")


async def test_many_that_come_in_the_same_moment_and_ask_for_nothing_keep_nobody_out(
    ollama: FakeOllama, tmp_path: Path
) -> None:
    async with with_room_for(16, ollama, tmp_path / "state") as gateway:
        parts = urlsplit(gateway.url)
        with ExitStack() as stack:
            for _ in range(100):  # all are there before the first is accepted
                stack.enter_context(socket.create_connection((parts.hostname, parts.port)))
            assert (await gateway.post("/api/chat", WHOLE)).status_code == 200


async def test_who_asks_when_it_is_told_already_that_there_is_no_place_loses_nothing_of_the_answer(
    ollama: FakeOllama, tmp_path: Path
) -> None:
    async with crowded(16 + SPARE, ollama, tmp_path / "state") as gateway, raw(gateway) as (reader, writer):
        first = await reader.readexactly(1)
        for _ in range(20):
            writer.write(b"and more")
            await asyncio.sleep(0)  # on loopback a reset is there by now
        assert (first + await all_of(reader)).startswith(b"HTTP/1.1 503")
