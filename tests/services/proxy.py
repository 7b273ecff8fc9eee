"""A TCP proxy that can break the network between a client and a server."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.services.ports import free_ports

_CHUNK = 65_536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: closing the socket sends RST


class FaultProxy:
    """Forwards connections to ``port`` on its own ``port``, or breaks them, from one moment to the next.

    Of each direction of a connection it holds some chunks at most; then it reads nothing more, so the
    sender feels a slow or silent receiver as it would without the proxy.
    """

    def __init__(
        self, port: int, host: str = "127.0.0.1", *, look: Callable[[bytes], None] = lambda chunk: None
    ) -> None:
        """``look`` is shown every chunk of either direction."""
        self._target = (host, port)
        self._look = look
        (self.port,) = free_ports(1)
        self._forwarding = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}

    async def __aenter__(self) -> Self:
        await self.heal()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()

    async def blackhole(self) -> None:
        """A cable that is cut: connections stay open and new ones are made, nothing more is taken from them."""
        self._forwarding.clear()
        await self._listen()

    async def refuse(self) -> None:
        """A server that is gone: all connections are reset, new ones are refused."""
        self._forwarding.clear()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        await self._reset_all()

    async def heal(self) -> None:
        """Forward again. Connections of a black hole are reset: bytes of theirs are lost."""
        if not self._forwarding.is_set():
            await self._reset_all()
        self._forwarding.set()
        await self._listen()

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=_CHUNK)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._listener is None:  # accepted just before that was closed
            _reset(writer)
            return
        writers = self._links[task] = [writer]
        try:
            await self._forwarding.wait()
            await self._forward(reader, writers)
        except* (OSError, asyncio.CancelledError):  # cancelled by a reset, of which nobody has to hear
            for each in writers:
                _reset(each)
        finally:
            for each in writers:
                each.close()
            del self._links[task]

    async def _forward(self, reader: asyncio.StreamReader, writers: list[asyncio.StreamWriter]) -> None:
        """Both directions, until both have ended."""
        target_reader, target_writer = await asyncio.open_connection(*self._target, limit=_CHUNK)
        writers.append(target_writer)
        async with asyncio.TaskGroup() as pumps:
            pumps.create_task(self._pump(reader, target_writer))
            pumps.create_task(self._pump(target_reader, writers[0]))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK):
            await self._forwarding.wait()
            self._look(chunk)
            writer.write(chunk)
            await writer.drain()
        await self._forwarding.wait()  # nobody hears of an end either
        writer.write_eof()

    async def _reset_all(self) -> None:
        links = dict(self._links)
        writers = [writer for link in links.values() for writer in link]
        for writer in writers:
            _reset(writer)
        for task in links:
            task.cancel()
        if links:
            await asyncio.wait(links)
        for writer in writers:
            with suppress(OSError):
                await writer.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    transport = writer.transport
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
