"""Clients that ask and do not read what they get: they hold no place, no descriptor, and nothing for long."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from llmgate.config import ServerSettings
from llmgate.daemon import page, unread
from llmgate.daemon.http import GatewayProtocol
from llmgate.daemon.websocket import GatewaySocket
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT, Running, run_gateway, settings_for, upstream_for
from tests.gateway.test_disconnects import RawClient

PLACES = 16
LARGE = 300_000
"""Bytes of a file that a stranger may ask for: more than the kernel keeps here for somebody who does not read."""
WHOLE = {**CHAT, "stream": False}


@pytest.fixture
async def gateway(ollama: FakeOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """With few places and a page that has a large file."""
    async with with_page(ollama, tmp_path, monkeypatch) as running:
        yield running


@asynccontextmanager
async def with_page(ollama: FakeOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    built = tmp_path / "page"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<!doctype html>")
    (built / "assets" / "large.js").write_bytes(b"/" * LARGE)
    monkeypatch.setattr(page, "load", partial(page.load, built))
    server = ServerSettings(port=0, drain_seconds=0.1, max_connections=PLACES)
    async with run_gateway(settings_for(tmp_path / "state", [upstream_for(ollama)], server=server)) as running:
        for listener in running.server.servers[0].sockets:  # what it accepts is as it is
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        yield running


class Stranger:
    """A client without a credential, for whom the kernel keeps little."""

    def __init__(self, gateway: Running, own: socket.socket) -> None:
        self._gateway = gateway
        self._own = own

    async def ask(self, *lines: str, path: str = "/assets/large.js") -> None:
        """Ask for the file, and read nothing."""
        head = "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *lines, "", ""])
        await asyncio.get_running_loop().sock_sendall(self._own, head.encode())

    async def ask_to_the_end(self, *lines: str) -> None:
        """The same, until the gateway has nothing more to say but has not got rid of it."""
        state = self._gateway.server.server_state
        answered = state.total_requests
        await self.ask(*lines)
        await until(lambda: state.total_requests > answered)
        assert self.unsent > 0

    async def read(self, most: int = 65_536) -> bytes:
        async with asyncio.timeout(5):
            return await asyncio.get_running_loop().sock_recv(self._own, most)

    async def read_all(self) -> bytes:
        pieces = []
        while piece := await self.read():
            pieces.append(piece)
        return b"".join(pieces)

    @property
    def connection(self) -> GatewayProtocol | None:
        """The other end. None when it is closed."""
        for one in self._gateway.server.server_state.connections:
            if isinstance(one, GatewayProtocol) and one.client == self._own.getsockname():
                return one
        return None

    @property
    def unsent(self) -> int:
        connection = self.connection
        return connection.transport.get_write_buffer_size() if connection is not None else 0


@asynccontextmanager
async def strangers(gateway: Running, count: int) -> AsyncIterator[list[Stranger]]:
    parts, loop = urlsplit(gateway.url), asyncio.get_running_loop()
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            own = stack.enter_context(socket.socket())
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            own.setblocking(False)
            await loop.sock_connect(own, (parts.hostname, parts.port))
            found.append(Stranger(gateway, own))
        yield found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


def open_in(gateway: Running) -> int:
    """Connections that hold a descriptor."""
    return len(gateway.server.server_state.connections)


# -- places and descriptors -----------------------------------------------------------------


async def test_whoever_asks_again_and_again_and_never_reads_keeps_nobody_out(gateway: Running) -> None:
    async with strangers(gateway, PLACES) as all_of_them:
        for one in all_of_them:
            await one.ask_to_the_end()
            await one.ask()
            await one.ask()
        assert (await gateway.post("/api/chat", WHOLE)).status_code == 200


async def test_a_place_that_is_given_away_holds_no_descriptor(gateway: Running) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(3 * PLACES):
            (one,) = await stack.enter_async_context(strangers(gateway, 1))
            await one.ask_to_the_end()
            await until(lambda: open_in(gateway) <= PLACES)
        assert len(gateway.services.connections) == open_in(gateway) == PLACES
        assert (await gateway.client.get("/health/live")).status_code == 200
        assert open_in(gateway) <= PLACES


async def test_a_request_before_the_answer_is_taken_is_pipelined_and_ends_the_connection(gateway: Running) -> None:
    async with strangers(gateway, 1) as (one,):
        await one.ask_to_the_end()
        await one.ask()
        heard = await one.read_all()
        assert heard.count(b"HTTP/1.1 200") == 1
        assert len(heard.partition(b"\r\n\r\n")[2]) == LARGE


async def test_a_slow_reader_may_ask_again_behind_its_answer(gateway: Running) -> None:
    async with strangers(gateway, 1) as (one,):
        for _ in range(2):
            await one.ask()
            heard = b""
            while len(heard.partition(b"\r\n\r\n")[2]) < LARGE:
                heard += await one.read()
        assert one.connection is not None


# -- without end ----------------------------------------------------------------------------


@pytest.mark.parametrize("lines", [(), ("Connection: close",)])
@pytest.mark.parametrize("little", [False, True])
async def test_an_answer_that_is_not_taken_is_given_up(
    ollama: FakeOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: tuple[str, ...], little: bool
) -> None:
    assert unread.UNREAD_SECONDS == 30
    monkeypatch.setattr(unread, "UNREAD_SECONDS", 0.2)
    async with with_page(ollama, tmp_path, monkeypatch) as gateway, strangers(gateway, 1) as (one,):
        await one.ask_to_the_end(*lines)
        while little and one.unsent >= 65_536:  # less than what makes a transport call pause_writing
            await one.read(4096)
        await until(lambda: not open_in(gateway))
        assert not len(gateway.services.connections)


async def test_nor_does_an_answer_stay_that_has_not_ended(
    ollama: FakeOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unread, "UNREAD_SECONDS", 0.2)
    async with with_page(ollama, tmp_path, monkeypatch) as gateway:
        ollama.script(Script(tokens=["x" * 1_000_000] * 12))
        client = await RawClient.ask(gateway, "/api/chat", {**CHAT, "stream": True})
        await gateway.outcome()
        await until(lambda: not open_in(gateway))
        await client.hang_up(reset=True)


async def test_an_application_that_fails_leaves_no_answer_behind(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection is closed with what was said so far, and waits for the client to take it."""
    async with strangers(gateway, 1) as (one,):
        await one.ask_to_the_end()
        connection = one.connection
        assert connection is not None
        connection.cycle.response_complete = False
        connection.transport.close()
        connection.flow.resume_writing()
        for _ in range(2):
            connection.look_at_unread()
        await until(lambda: not open_in(gateway))


async def test_a_slow_reader_is_not_given_up(gateway: Running) -> None:
    async with strangers(gateway, 1) as (one,):
        await one.ask_to_the_end()
        connection = one.connection
        assert connection is not None
        for _ in range(10):
            connection.look_at_unread()
            before = one.unsent
            while one.unsent == before:
                await one.read(4096)
        assert not connection.transport.is_closing()
        connection.look_at_unread()
        connection.look_at_unread()
        await until(lambda: not open_in(gateway))


async def test_who_has_emptied_it_meanwhile_is_not_given_up(gateway: Running) -> None:
    """The next answer may wait as far as the one before did at the last look."""
    async with strangers(gateway, 1) as (one,):
        for _ in range(3):
            await one.ask_to_the_end()
            connection = one.connection
            assert connection is not None
            connection.look_at_unread()
            assert not connection.transport.is_closing()
            heard = b""
            while len(heard.partition(b"\r\n\r\n")[2]) < LARGE:
                heard += await one.read()


async def test_a_stop_leaves_nobody_behind(ollama: FakeOllama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with with_page(ollama, tmp_path, monkeypatch) as gateway:
        gateway.server.config.timeout_graceful_shutdown = 1
        async with strangers(gateway, 2) as (first, second):
            await first.ask_to_the_end()
            await second.ask_to_the_end("Connection: close")
            gateway.server.should_exit = True
            await until(lambda: not open_in(gateway))


# -- WebSockets -----------------------------------------------------------------------------

UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
VALID = (*UPGRADE, "Sec-WebSocket-Key: " + "A" * 22 + "==")


@pytest.mark.parametrize(
    ("lines", "status"),
    [(VALID, b"401"), ((*VALID, "Origin: https://evil.example"), b"403"), (UPGRADE, b"400")],
)
async def test_a_refused_handshake_is_no_error(
    gateway: Running, caplog: pytest.LogCaptureFixture, lines: tuple[str, ...], status: bytes
) -> None:
    async with strangers(gateway, 1) as (one,):
        await one.ask(*lines, path="/gate/ws")
        assert (await one.read_all()).startswith(b"HTTP/1.1 " + status)
        await until(lambda: not open_in(gateway))
    assert [line.getMessage() for line in caplog.records if line.levelno >= logging.WARNING] == []


async def test_a_socket_cannot_be_had_behind_an_answer_that_is_not_taken(gateway: Running) -> None:
    """Its refusal would wait behind that answer, at a place that nobody is given."""
    async with strangers(gateway, 1) as (one,):
        await one.ask_to_the_end()
        await one.ask(*VALID, path="/gate/ws")
        assert (await one.read_all()).count(b"HTTP/1.1 ") == 1
        await until(lambda: not open_in(gateway))


async def test_a_socket_that_closes_does_not_wait_for_its_client(gateway: Running) -> None:
    async with strangers(gateway, 1) as (one,):
        await one.ask_to_the_end()
        connection = one.connection
        assert connection is not None
        server = gateway.server
        wire = GatewaySocket(server.config, server.server_state, {})
        connection.connections.discard(connection)
        wire.connection_made(connection.transport)
        wire.left = connection.place.leave
        connection.transport.set_protocol(wire)
        for _ in range(3):
            wire.look_at_unread()
        assert not connection.transport.is_closing()  # pings are for those that stay
        connection.transport.close()
        for _ in range(2):
            wire.look_at_unread()
        await until(lambda: not open_in(gateway))
        assert not len(gateway.services.connections)
