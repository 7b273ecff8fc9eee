"""Listens, runs the application, and stops kindly."""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from llmgate.config import ServerSettings, Settings
from llmgate.daemon.app import Application
from llmgate.daemon.http import GatewayProtocol
from llmgate.daemon.services import Services, open_services
from llmgate.errors import AddressInUse, StartupError

Announce = Callable[[Services], Awaitable[None]]

BACKLOG = 4096
KEEP_ALIVE_SECONDS = 75
"""Longer than common clients and proxies keep idle connections: they close first, so that no request
is sent into a connection that is just going away."""


def listen(settings: ServerSettings) -> socket.socket:
    """A listening socket. Raises AddressInUse or StartupError, saying what to do."""
    host, port = settings.host, settings.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as failure:
        raise StartupError(
            f"Cannot listen on {host!r}: {failure}.", hint="Set server.host to a local address."
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as failure:
        listener.close()
        if failure.errno == errno.EADDRINUSE:
            raise AddressInUse(
                f"Port {port} on {host} is taken by another program.",
                hint="Stop it, or choose another one with --port (0 takes any free one).",
            ) from None
        raise StartupError(f"Cannot listen on {host} port {port}: {failure.strerror}.") from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The URL under which this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class GatewayServer(uvicorn.Server):
    """uvicorn, with our announcement when it listens and our drain before its own shutdown."""

    def __init__(self, services: Services, announce: Announce) -> None:
        config = uvicorn.Config(
            Application(services),
            http=GatewayProtocol,
            ws="none",
            lifespan="off",
            loop="none",
            proxy_headers=False,  # who the client is, is judged by auth.ip_whitelist alone
            server_header=False,
            access_log=False,
            log_config=None,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=5,
        )
        super().__init__(config)
        self._services = services
        self._announce = announce

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Like uvicorn's own, but the signal is not raised again at the end: we exit with 0."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, any further one ends what still runs."""
        if self.should_exit:
            self.force_exit = True
            self._services.gateway.cut()
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What exists now stays: the garbage collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        await self._announce(self._services)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        await self._services.drain()
        await super().shutdown(sockets)


async def serve(settings: Settings, listener: socket.socket, announce: Announce) -> None:
    """Run a daemon on ``listener`` until SIGTERM or SIGINT; a second one ends it at once.

    ``announce`` is called when it is ready to serve.
    """
    async with open_services(settings) as services:
        await GatewayServer(services, announce).serve(sockets=[listener])
