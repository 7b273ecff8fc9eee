"""A crowd of clients that wait for one slot, and the upstream behind that slot, both in this process: when the slot was
given back and when somebody got it is then told by one clock."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import urlsplit

from bench.upstream import HEAD, LISTINGS, TOKEN, Upstream, end

MODEL: Final = "desk"
TEXT: Final = "The quick brown fox jumps over the lazy dog. " * 40
SPARE_DESCRIPTORS: Final = 500


def allow_descriptors(count: int) -> int:
    """Raise the limit of open files to this and some more, for this process and for what it starts. Returns what it is
    then. Raises RuntimeError where the administrator's limit is lower than ``count``."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = min(hard, max(soft, count + SPARE_DESCRIPTORS))
    if limit < count:
        raise RuntimeError(f"this needs {count:,} open files, and {limit:,} are allowed: see `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit


def question(host: str, key: str, number: int) -> bytes:
    """A chat request of about 2 kB that tells whose it is."""
    body = json.dumps(
        {
            "model": MODEL,
            "messages": [{"role": "user", "content": TEXT}],
            "stream": True,
            "user": f"client-{number}",
        }
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass(frozen=True, slots=True)
class Visit:
    """A request that has reached the upstream: whose it is, and when it came, in seconds of the monotonic clock."""

    number: int
    at: float
    _seat: Seat

    def answer(self) -> float:
        """Answer it. Returns when: before the answer is written, as the next one may be there as soon as it is."""
        now = time.monotonic()
        self._seat.answer()
        return now


class Seat(Upstream):
    """One connection of the gateway to the upstream."""

    def __init__(self, visits: asyncio.Queue[Visit]) -> None:
        super().__init__()
        self._visits = visits

    def answer(self) -> None:
        self._write(HEAD + TOKEN + end(1))

    def _answer(self, body: bytes) -> None:
        told = re.search(rb'"user": ?"client-(\d+)"', body)
        assert told is not None
        self._visits.put_nowait(Visit(int(told[1]), time.monotonic(), self))


@asynccontextmanager
async def desk() -> AsyncIterator[tuple[str, asyncio.Queue[Visit]]]:
    """The upstream: its address, and those who have got to it."""
    listed = json.dumps({"models": [{"name": MODEL, "model": MODEL}]}).encode()
    LISTINGS.update({b"/api/tags": listed, b"/api/ps": listed})
    visits: asyncio.Queue[Visit] = asyncio.Queue()
    server = await asyncio.get_running_loop().create_server(lambda: Seat(visits), "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", visits
    finally:
        server.close()


class Client(asyncio.Protocol):
    """A client that has asked. Whatever it is told is dropped, but a refusal is noted."""

    def __init__(self, refused: list[bytes]) -> None:
        self._refused = refused
        self._heard = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._heard and not data.startswith(b"HTTP/1.1 200"):
            self._refused.append(data[:300])
        self._heard = True


class Crowd:
    """Clients by their numbers, one connection each."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._address = (parts.hostname, parts.port)
        self._host = parts.netloc
        self._key = key
        self._clients: dict[int, Client] = {}
        self.came: dict[int, float] = {}
        """When each of them has asked."""

        self._refused: list[bytes] = []

    async def come(self, numbers: Iterable[int]) -> None:
        """Connect and ask, one after the other. Raises RuntimeError when somebody was refused."""
        loop = asyncio.get_running_loop()
        for number in numbers:
            _, client = await loop.create_connection(lambda: Client(self._refused), *self._address)
            assert client.transport is not None
            client.transport.write(question(self._host, self._key, number))
            self._clients[number], self.came[number] = client, time.monotonic()
        if self._refused:
            raise RuntimeError(f"{len(self._refused)} clients were refused: {self._refused[0]!r}")

    def leave(self, numbers: Iterable[int]) -> None:
        """Hang up, all of them at once."""
        for number in numbers:
            client = self._clients.pop(number)
            assert client.transport is not None
            client.transport.abort()

    def disband(self) -> None:
        """Everybody who is still here leaves."""
        self.leave(list(self._clients))
