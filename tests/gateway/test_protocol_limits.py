"""What the server's protocol takes from a client, and for how long it waits for it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from llmgate.config import ServerSettings
from llmgate.daemon import exchange, http
from llmgate.daemon.connections import SPARE, Place
from llmgate.daemon.events import ConnectionRefused
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT, Running, run_gateway, settings_for, upstream_for

WHOLE = {**CHAT, "stream": False}
BODY = json.dumps(WHOLE).encode()


@asynccontextmanager
async def raw(gateway: Running) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    parts = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


def head(gateway: Running, *lines: str, start: str = "POST /api/chat HTTP/1.1", host: str = "Host: x\r\n") -> bytes:
    lines = (f"Authorization: Bearer {gateway.key}", *lines, "", "")
    return f"{start}\r\n{host}".encode() + "\r\n".join(lines).encode("latin-1")


async def all_of(reader: asyncio.StreamReader, seconds: float = 5) -> bytes:
    """What comes until the server closes the connection."""
    async with asyncio.timeout(seconds):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def one_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the next answer, which tells its length."""
    async with asyncio.timeout(5):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
        return int(lines[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def refused(reader: asyncio.StreamReader) -> tuple[int, str]:
    """The status and the code of a refusal, after which the connection is closed."""
    status, headers, body = await one_answer(reader)
    assert headers["connection"] == "close"
    assert headers["content-type"] == "application/problem+json"
    assert await all_of(reader) == b""
    return status, json.loads(body)["code"]


# -- heads ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "start", "host", "status", "code"),
    [
        ((), "POST /api/chat HTTP/1.1", "", 400, "invalid_request"),
        ((), "POST /api/chat HTTP/1.1", "Host: a\r\nHost: a\r\n", 400, "invalid_request"),
        ((), "POST /api/chat HTTP/1.1", "Host: a b\r\n", 400, "invalid_request"),
        ((), "POST /api/chat HTTP/1.1", "Host: user@a\r\n", 400, "invalid_request"),
        ((), "POST /api/chat HTTP/1.1", "Host: a/../b\r\n", 400, "invalid_request"),
        ((), "POST /api/chat HTTP/1.1", "Host: a:b\r\n", 400, "invalid_request"),
        ((), "POST /api/chat HTTP/1.1", "Host:\r\n", 400, "invalid_request"),
        ((), "POST http://a/api/chat HTTP/1.1", "Host: a\r\n", 400, "invalid_request"),
        ((), "POST /api/ch\xe4t HTTP/1.1", "Host: a\r\n", 400, "invalid_request"),
        ((), "POST /api/chat HTTP/2.0", "Host: a\r\n", 400, "invalid_request"),
        ((), "nonsense", "", 400, "invalid_request"),
        (("X_Forwarded_For: 127.0.0.1",), "POST /api/chat HTTP/1.1", "Host: a\r\n", 400, "invalid_request"),
        (("x-own: 1", "x_own: 2"), "POST /api/chat HTTP/1.1", "Host: a\r\n", 400, "invalid_request"),
        (("Expect: a-miracle",), "POST /api/chat HTTP/1.1", "Host: a\r\n", 417, "expectation_failed"),
        (("a: b",) * 120, "POST /api/chat HTTP/1.1", "Host: a\r\n", 431, "head_too_large"),
        (("a: " + "b" * 100_000,), "POST /api/chat HTTP/1.1", "Host: a\r\n", 431, "head_too_large"),
        ((), f"POST /{'a' * 100_000} HTTP/1.1", "Host: a\r\n", 431, "head_too_large"),
    ],
)
async def test_a_bad_head_gets_one_small_answer_and_the_connection_is_closed(
    gateway: Running, ollama: FakeOllama, lines: tuple[str, ...], start: str, host: str, status: int, code: str
) -> None:
    async with raw(gateway) as (reader, writer):
        first, *others = head(gateway, f"Content-Length: {len(BODY)}", *lines, host=host, start="@").split(b"@", 1)
        writer.write(first + start.encode("latin-1") + b"".join(others) + BODY)
        assert await refused(reader) == (status, code)
    assert not ollama.requests
    assert ConnectionRefused("bad_request") in gateway.events
    assert (await gateway.post("/api/chat", WHOLE)).status_code == 200


@pytest.mark.parametrize(
    "host", ["x", "gate.example:8080", "127.0.0.1:1", "[::1]:11435", "[fe80::1]", "my_service:80", "a:", "A-b.C"]
)
async def test_a_good_host_is_taken(gateway: Running, host: str) -> None:
    async with raw(gateway) as (reader, writer):
        writer.write(head(gateway, f"Content-Length: {len(BODY)}", host=f"Host: {host}\r\n") + BODY)
        assert (await one_answer(reader))[0] == 200


async def test_http_1_0_needs_no_host_and_an_own_header_may_have_an_underscore(gateway: Running) -> None:
    async with raw(gateway) as (reader, writer):
        writer.write(b"GET /health/live HTTP/1.0\r\nx_own: 1\r\n\r\n")
        assert (await all_of(reader)).startswith(b"HTTP/1.1 200")


async def test_a_head_that_is_begun_and_not_ended_is_told_so(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.2)
    async with raw(gateway) as (reader, writer):
        writer.write(b"POST /api/chat HT")
        assert await refused(reader) == (408, "request_too_slow")
    async with raw(gateway) as (reader, _):  # one that never says anything gets no word either
        assert await all_of(reader) == b""
    assert ConnectionRefused("slow_request") in gateway.events


async def test_empty_lines_do_not_keep_a_connection_open(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw(gateway) as (reader, writer):
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await one_answer(reader))[0] == 200
        monkeypatch.setattr(http, "HEAD_SECONDS", 0.2)
        writer.write(b"\r\n")
        assert (await all_of(reader)).startswith(b"HTTP/1.1 408")


async def test_a_slow_next_head_does_not_harm_the_answer_before_it(
    gateway: Running, ollama: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    ollama.script(Script(gate="go"))
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.1)
    async with raw(gateway) as (reader, writer):
        writer.write(head(gateway, f"Content-Length: {len(BODY)}") + BODY + b"POST /api/chat")
        await ollama.request(0)
        connection = next(iter(gateway.server.server_state.connections))
        assert isinstance(connection, http.GatewayProtocol)
        while not connection._deaf:
            await asyncio.sleep(0)
        ollama.release("go")
        assert (await one_answer(reader))[0] == 200
        assert await all_of(reader) == b""


# -- bodies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/chat", "/v1/messages", "/api/show", "/gate/auth/login", "/admin/v1/users"])
@pytest.mark.parametrize("sent", [b"", b"{"])
async def test_a_body_that_does_not_come_is_given_up(
    gateway: Running,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    sent: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(http, "BODY_SECONDS", 0.2)
    async with raw(gateway) as (reader, writer):
        lines = ("Content-Type: application/json", "Content-Length: 500")
        writer.write(head(gateway, *lines, start=f"POST {path} HTTP/1.1") + sent)
        heard = await all_of(reader)
    if not path.startswith("/admin"):  # where an ordinary key is refused before anybody looks at the body
        assert heard.startswith(b"HTTP/1.1 408")
        assert b"request_too_slow" in heard
    assert heard.count(b"HTTP/1.1 ") == 1
    while gateway.services.gateway.active:
        await asyncio.sleep(0)
    assert "Traceback" not in caplog.text


async def test_a_body_that_trickles_is_given_up_and_one_that_flows_is_not(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "BODY_SECONDS", 0.2)
    trickling, flowing = asyncio.create_task(_upload(gateway, 1)), asyncio.create_task(_upload(gateway, 40_000))
    assert (await trickling).startswith(b"HTTP/1.1 408")
    assert (await flowing).startswith(b"HTTP/1.1 200")


async def _upload(gateway: Running, piece: int) -> bytes:
    """What comes back for a body that is sent in pieces of this size, of which many are sent in a second."""
    body = json.dumps({**WHOLE, "options": {"stop": ["x" * 1_000_000]}}).encode()
    async with raw(gateway) as (reader, writer):
        writer.write(head(gateway, f"Content-Length: {len(body)}", "Connection: close"))
        answer = asyncio.create_task(all_of(reader, 20))
        for start in range(0, len(body), piece):
            writer.write(body[start : start + piece])
            await asyncio.wait({answer}, timeout=0.03)
            if answer.done():
                break
        return await answer


async def test_a_body_is_not_awaited_for_long_once_its_request_is_answered(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "BODY_SECONDS", 0.2)
    async with raw(gateway) as (reader, writer):
        writer.write(b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        assert (await one_answer(reader))[0] == 401
        rest = asyncio.create_task(all_of(reader))
        while not rest.done():  # as fast as anybody could want
            writer.write(b"x" * 10_000)
            await asyncio.wait({rest}, timeout=0.01)
        assert await rest == b""


async def test_a_body_that_we_do_not_read_is_not_blamed_on_the_client(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for us, because enough lies here unread, is not slow."""
    monkeypatch.setattr(http, "BODY_SECONDS", 0.05)
    go_on = asyncio.Event()
    read_body = exchange.Exchange.read_body

    async def later(self: exchange.Exchange, *arguments: object) -> bytes:
        await go_on.wait()
        return await read_body(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(exchange.Exchange, "read_body", later)
    sending = asyncio.create_task(_upload(gateway, 200_000))
    while not (found := [one for one in gateway.server.server_state.connections if getattr(one, "_looks", 0) >= 3]):
        await asyncio.sleep(0)
    assert found
    go_on.set()
    assert (await sending).startswith(b"HTTP/1.1 200")


async def test_framing_without_content_is_bounded(gateway: Running) -> None:
    async with raw(gateway) as (reader, writer):
        writer.write(head(gateway, "Transfer-Encoding: chunked") + b"1;" + b"x" * 200_000)
        heard = await all_of(reader)
    assert heard == b"" or heard.startswith(b"HTTP/1.1 431")
    assert (await gateway.post("/api/chat", WHOLE)).status_code == 200


async def test_who_expects_a_word_gets_it_and_then_a_connection_of_its_own(gateway: Running) -> None:
    async with raw(gateway) as (reader, writer):
        writer.write(head(gateway, f"Content-Length: {len(BODY)}", "Expect: 100-continue"))
        async with asyncio.timeout(5):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        status, headers, _ = await one_answer(reader)
        assert (status, headers["connection"]) == (200, "close")
        assert await all_of(reader) == b""


async def test_a_client_that_is_cut_off_for_its_body_leaves_nothing_behind(
    gateway: Running, ollama: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "BODY_SECONDS", 0.2)
    bodies = gateway.services.gateway.bodies
    async with raw(gateway) as (reader, writer):
        writer.write(head(gateway, "Content-Length: 1000000") + b"{")
        while not bodies._held:
            await asyncio.sleep(0)
        assert (await all_of(reader)).startswith(b"HTTP/1.1 408")
    while gateway.services.gateway.active:
        await asyncio.sleep(0)
    assert bodies._held == 0
    assert not ollama.requests


# -- connections ----------------------------------------------------------------------------


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


async def test_who_asks_when_it_is_told_already_that_there_is_no_place_loses_nothing_of_the_answer(
    ollama: FakeOllama, tmp_path: Path
) -> None:
    async with crowded(16 + SPARE, ollama, tmp_path / "state") as gateway, raw(gateway) as (reader, writer):
        first = await reader.readexactly(1)
        for _ in range(20):
            writer.write(b"and more")
            await asyncio.sleep(0)  # on loopback a reset is there by now
        assert (first + await all_of(reader)).startswith(b"HTTP/1.1 503")


async def test_a_websocket_holds_its_place_until_it_is_closed(gateway: Running) -> None:
    connections = gateway.services.connections
    upgrade = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: " + "A" * 22 + "==",
    )
    async with raw(gateway) as (reader, writer):
        writer.write(head(gateway, *upgrade, start="GET /gate/ws HTTP/1.1"))
        assert (await all_of(reader)).startswith(b"HTTP/1.1 403")  # a key has no chats
        async with asyncio.timeout(5):
            while len(connections):
                await asyncio.sleep(0)
    for host in ("", "Host: a\r\nHost: b\r\n"):
        async with raw(gateway) as (reader, writer):
            writer.write(head(gateway, *upgrade, start="GET /gate/ws HTTP/1.1", host=host))
            assert await refused(reader) == (400, "invalid_request")
