"""A PostgreSQL that a test may break in every way, and mend again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Literal

import psutil

from tests.services.fixtures import opened
from tests.services.ports import free_ports
from tests.services.postgres import PostgresServer
from tests.services.proxy import FaultProxy

Kind = Literal["stopped", "frozen", "blackholed", "refused"]
KINDS: Final[tuple[Kind, ...]] = ("stopped", "frozen", "blackholed", "refused")


class BreakableServer(PostgresServer):
    """It listens on loopback too, so that a proxy can stand before it."""

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        super().__init__(options=["listen_addresses=127.0.0.1", f"port={self.port}", "synchronous_commit=on"])

    def url(self, database: str) -> str:
        return f"{super().url(database)}&port={self.port}"

    def send(self, number: signal.Signals) -> None:
        """To the server and all of its processes."""
        pid = int((self.directory / "data" / "postmaster.pid").read_text().split()[0])
        server = psutil.Process(pid)
        for process in (server, *server.children(recursive=True)):
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                os.kill(process.pid, number)

    def terminate_connections(self, database: str) -> None:
        self.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'")  # noqa: S608


class Outages:
    """``url`` is a fresh, migrated database, by way of a proxy."""

    def __init__(self, server: BreakableServer, proxy: FaultProxy, name: str) -> None:
        self.server = server
        self.name = name
        self.url = f"postgresql://postgres@127.0.0.1:{proxy.port}/{name}"
        self.direct = server.url(name)
        self._proxy = proxy

    @asynccontextmanager
    async def strike(self, kind: Kind) -> AsyncIterator[None]:
        """The database is away for the time of the block."""
        await self.begin(kind)
        try:
            yield
        finally:
            await self.end(kind)

    async def begin(self, kind: Kind) -> None:
        match kind:
            case "stopped":
                await asyncio.to_thread(self.server.crash)
            case "frozen":
                self.server.send(signal.SIGSTOP)
            case "blackholed":
                await self._proxy.blackhole()
            case "refused":
                await self._proxy.refuse()

    async def end(self, kind: Kind) -> None:
        match kind:
            case "stopped":
                await asyncio.to_thread(self.server.resume)
            case "frozen":
                self.server.send(signal.SIGCONT)
            case "blackholed" | "refused":
                await self._proxy.heal()


@asynccontextmanager
async def breakable(server: BreakableServer, name: str) -> AsyncIterator[Outages]:
    await asyncio.to_thread(server.execute, f"CREATE DATABASE {name}")
    async with opened(server.url(name)) as database:
        await database.migrate()
    async with FaultProxy(server.port) as proxy:
        yield Outages(server, proxy, name)


async def eventually(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 30) -> None:
    """Wait until it is true; nobody tells when, so look often."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)
