"""Clients that are slow on purpose: with a head, with a body, with reading, or with saying anything at all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from urllib.parse import urlsplit

import pytest

from llmgate.daemon import connections, http, unread
from tests.attacks.cases import Attack, Breached, repelled
from tests.attacks.smuggling import CREDENTIAL, KEY, OUTER, Site, length, request
from tests.fakes import Script

MANY = 60
"""Connections of an attacker. The gateway of the test has places for fewer."""
PLACES = 40
FILE = "/assets/large.js"
"""A file of the page, of ``FILE_BYTES``."""
FILE_BYTES = 300_000
SECONDS = 6.0

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def lines(site: Site, said: bytes, count: int = MANY) -> AsyncIterator[list[Line]]:
    """So many connections over which this was said."""
    parts = urlsplit(site.gateway.url)
    opened: list[Line] = []
    try:
        for _ in range(count):
            opened.append(await asyncio.open_connection(parts.hostname, parts.port))
            opened[-1][1].write(said.replace(KEY, site.gateway.key.encode()))
        yield opened
    finally:
        for _, writer in opened:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for _, writer in opened), return_exceptions=True)


async def ended(opened: Sequence[Line]) -> bool:
    """Whether the server closes them all in time."""
    try:
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*(reader.read() for reader, _ in opened), return_exceptions=True)
    except TimeoutError:
        return False
    return True


async def served(site: Site) -> bool:
    """Whether somebody who comes now, over a connection of their own, is served."""
    async with lines(site, request(length(OUTER), body=OUTER), 1) as ((reader, _),):
        try:
            async with asyncio.timeout(SECONDS):
                return (await reader.read(65_536)).startswith(b"HTTP/1.1 200")
        except (OSError, TimeoutError):
            return False


def _crowd(said: bytes) -> Callable[[Site], object]:
    async def run(site: Site) -> None:
        async with lines(site, said):
            repelled(await served(site), "who came later was not served")

    return run


def _endless(said: bytes) -> Callable[[Site], object]:
    async def run(site: Site) -> None:
        async with lines(site, said, PLACES // 2) as opened:
            repelled(await ended(opened), "they could stay")

    return run


async def _readers(site: Site) -> None:
    """More than there are slots ask for a large answer, and take nothing of it."""
    site.upstream.script(Script(tokens=["x" * 1_000_000] * 12), times=5)
    asked = OUTER.replace(b'"stream": false', b'"stream": true')
    async with lines(site, request(length(asked), body=asked), 5):
        await site.upstream.request(0)
        repelled(await served(site), "slow readers have kept the slot")


@asynccontextmanager
async def greedy(site: Site, count: int, times: int) -> AsyncIterator[None]:
    """So many, one after another, ask so often for a file that is for everybody, and read nothing. The kernel keeps
    little for them."""
    parts, loop, state = urlsplit(site.gateway.url), asyncio.get_running_loop(), site.gateway.server.server_state
    with ExitStack() as stack:
        for _ in range(count):
            own = stack.enter_context(socket.socket())
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            own.setblocking(False)
            await loop.sock_connect(own, (parts.hostname, parts.port))
            answered = state.total_requests
            for _ in range(times):
                await loop.sock_sendall(own, b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % FILE.encode())
                while state.total_requests == answered:  # the first is answered, as far as the gateway goes
                    await asyncio.sleep(0)
        yield


async def _greedy_crowd(site: Site) -> None:
    async with greedy(site, PLACES, 3):
        repelled(await served(site), "who came later was not served")


async def _greedy_queue(site: Site) -> None:
    async with greedy(site, 2 * PLACES, 1):
        # Those that were closed leave in the next rounds of the loop.
        for _ in range(10):
            await asyncio.sleep(0)
        open_ones = len(site.gateway.server.server_state.connections)
        repelled(open_ones <= PLACES, "there are more descriptors than places")


async def _greedy_few(site: Site) -> None:
    async with greedy(site, PLACES // 2, 1):
        try:
            async with asyncio.timeout(SECONDS):
                while site.gateway.server.server_state.connections:
                    await asyncio.sleep(0)
        except TimeoutError:
            repelled(False, "they could stay")


def _no_end_of_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer has ended when it is written, whoever has it."""
    _no_looks(monkeypatch)
    monkeypatch.setattr(http.GatewayProtocol, "_owes_answer", http.GatewayProtocol._answering)


def _kind_goodbyes(monkeypatch: pytest.MonkeyPatch) -> None:
    _no_looks(monkeypatch)
    monkeypatch.setattr(http.GatewayProtocol, "_make_room", lambda self: self.transport.close())


def _no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "UNREAD_SECONDS", 3600.0)


def _no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is made to go, and as attackers come back, nobody goes."""
    _patience(monkeypatch)
    monkeypatch.setattr(connections.Connections, "_make_room", lambda *_: False)


def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_SECONDS", "BODY_SECONDS"):
        monkeypatch.setattr(http, name, 3600.0)


def _endless_patience_with_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    _no_looks(monkeypatch)
    monkeypatch.setattr("llmgate.daemon.exchange.STALL_SECONDS", 3600.0)


HALF = b"POST /api/chat HTTP/1.1\r\nHost: gate.example\r\nX: "
UNFINISHED = request(b"Content-Length: 100000") + b"{"
UNKNOWN = UNFINISHED.replace(CREDENTIAL, b"X: y")
CHUNKS = request(b"Transfer-Encoding: chunked") + b"1;"


def _attack(
    name: str, run: Callable[[Site], object], off: Callable[[pytest.MonkeyPatch], None], control: str
) -> Attack[Site]:
    return Attack(name, run, off, control, Breached)  # type: ignore[arg-type]


ATTACKS: list[Attack[Site]] = [
    _attack("silent connections take every place", _crowd(b""), _no_room, "Connections._make_room"),
    _attack("half heads take every place", _crowd(HALF), _no_room, "Connections._make_room"),
    _attack("unfinished bodies of strangers take every place", _crowd(UNKNOWN), _no_room, "Connections._make_room"),
    _attack("silent connections without end", _endless(b""), _patience, "http.HEAD_SECONDS"),
    _attack("half heads without end", _endless(HALF), _patience, "http.HEAD_SECONDS"),
    _attack("unfinished bodies without end", _endless(UNFINISHED), _patience, "http.BODY_SECONDS"),
    _attack("unfinished chunks without end", _endless(CHUNKS), _patience, "http.BODY_SECONDS"),
    _attack("unfinished bodies of strangers without end", _endless(UNKNOWN), _patience, "http.BODY_SECONDS"),
    _attack("unread answers take every place", _greedy_crowd, _no_end_of_answers, "GatewayProtocol._owes_answer"),
    _attack("unread answers take descriptors", _greedy_queue, _kind_goodbyes, "GatewayProtocol._make_room"),
    _attack("unread answers without end", _greedy_few, _no_looks, "unread.UNREAD_SECONDS"),
    _attack("slow readers", _readers, _endless_patience_with_readers, "exchange.STALL_SECONDS"),
]
