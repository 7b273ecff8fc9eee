"""A small reverse proxy, as operators put one before the gateway: below a path, and perhaps without WebSockets."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from tests.services.ports import free_ports

_CHUNK: Final = 65_536
_REFUSAL: Final = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class ReverseProxy:
    """``prefix``: what stands before every path; ``strips`` takes it away. ``upgrades``: whether WebSockets pass.

    One request for each connection, so that nothing has to be understood but its head.
    """

    def __init__(self, *, prefix: str = "", strips: bool = True, upgrades: bool = True) -> None:
        (self.port,) = free_ports(1)
        self.target = 0
        """The gateway's port, set when it is known."""
        self.refused = 0
        """WebSockets that did not pass."""
        self._prefix = prefix.encode()
        self._strips = strips
        self._upgrades = upgrades
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self._prefix.decode()}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=_CHUNK)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._answer(reader, writer)
        except* (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = head.split(b" ", 2)
        is_upgrade = re.search(rb"\r\nupgrade: *websocket", head, re.IGNORECASE) is not None
        if not path.startswith(self._prefix + b"/") or (is_upgrade and not self._upgrades):
            self.refused += is_upgrade
            writer.write(_REFUSAL)
            await writer.drain()
            return
        if self._strips:
            path = path.removeprefix(self._prefix)
        rest = head.split(b"\r\n", 1)[1]
        if not is_upgrade:
            rest = b"Connection: close\r\n" + re.sub(rb"(?i)connection: [^\r]*\r\n", b"", rest)
        target_reader, target = await asyncio.open_connection("127.0.0.1", self.target, limit=_CHUNK)
        try:
            target.write(method + b" " + path + b" HTTP/1.1\r\n" + rest)
            await self._both_ways(reader, writer, target_reader, target)
        finally:
            target.close()

    @staticmethod
    async def _both_ways(
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        target_reader: asyncio.StreamReader,
        target: asyncio.StreamWriter,
    ) -> None:
        """Until either side has ended: then the other one hears of it."""
        pumps = [asyncio.create_task(_pump(reader, target)), asyncio.create_task(_pump(target_reader, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()
