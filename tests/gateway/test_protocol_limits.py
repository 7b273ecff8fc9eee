"""What the server's protocol takes from a client, and for how long it waits for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from llmgate.daemon import exchange, http
from llmgate.daemon.events import ConnectionRefused
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT, Running

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
