"""A small HTTP/1.1 server whose every byte is under control. It exists to misbehave on purpose."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from itertools import count

from tests.fakes.script import Seen

Handler = Callable[["Connection", Seen], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One connection: parses requests, runs the handler for one at a time, cancels it when the peer hangs up."""

    _numbers = count(1)

    def __init__(self, handler: Handler, register: set[Connection], changed: Callable[[], None]) -> None:
        self._handler = handler
        self._register = register
        self._changed = changed
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._seen: Seen | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._chunked = False
        self.number = next(self._numbers)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._register.add(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next_request()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, _: Exception | None) -> None:
        self._register.discard(self)
        self._writable.set()
        if self._seen is not None and self._seen.ended_at is None:
            self._seen.disconnected_at = asyncio.get_running_loop().time()
            self._seen.disconnected.set()
        if self._task is not None:
            self._task.cancel()
        self._changed()

    # requests

    def _next_request(self) -> None:
        if self._task is not None or self._transport.is_closing():
            return
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = int(headers.get("content-length", "0"))
        if len(self._buffer) < end + 4 + size:
            return
        body = bytes(self._buffer[end + 4 : end + 4 + size])
        del self._buffer[: end + 4 + size]
        method, target, _ = first.split(" ", 2)
        loop = asyncio.get_running_loop()
        self._seen = Seen(method, target.partition("?")[0], headers, body, self.number, loop.time())
        self._task = loop.create_task(self._run(self._seen))

    async def _run(self, seen: Seen) -> None:
        try:
            await self._handler(self, seen)
        finally:
            seen.ended_at = asyncio.get_running_loop().time()
            seen.ended.set()
            self._task = None
            self._changed()
        self._next_request()

    # answers

    async def head(
        self, status: int, content_type: str, length: int | None, extra: Mapping[str, str] | None = None
    ) -> None:
        """Send the head; without a length the body is chunked."""
        self._chunked = length is None
        framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Type: {content_type}", framing]
        lines += [f"{name}: {value}" for name, value in (extra or {}).items()]
        await self.raw("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def piece(self, data: bytes) -> None:
        """Send a part of the body, as one chunk and at once."""
        assert self._seen is not None
        self._seen.sent += len(data)
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def end(self) -> None:
        if self._chunked:
            await self.raw(b"0\r\n\r\n")

    async def raw(self, data: bytes) -> None:
        """Write bytes as they are and let others run, so that each piece leaves on its own."""
        self._transport.write(data)
        await self._writable.wait()
        await asyncio.sleep(0)

    def cut(self, *, reset: bool = False) -> None:
        """End the connection in the middle: with a FIN, or with a RST."""
        if reset:
            sock: socket.socket = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()
