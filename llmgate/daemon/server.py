"""Runs the application on a listening socket, and stops kindly."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import cast

import uvicorn

from llmgate.config import LoadedSettings, Settings
from llmgate.daemon import unread, websocket
from llmgate.daemon.acceptor import Acceptor
from llmgate.daemon.app import Application
from llmgate.daemon.connections import Place, raise_descriptor_limit
from llmgate.daemon.http import GatewayProtocol
from llmgate.daemon.listening import BACKLOG
from llmgate.daemon.services import Services, open_services
from llmgate.daemon.terminal import Terminal
from llmgate.daemon.websocket import GatewaySocket
from llmgate.daemon.workers import Order

Announce = Callable[[Services], Awaitable[None]]

KEEP_ALIVE_SECONDS = 75
"""Longer than common clients and proxies keep idle connections: they close first, so that no request
is sent into a connection that is just going away."""

QUIET_SECONDS = 0.25
"""At a shutdown: when so long nothing has come over the connections that clients keep, they are closed,"""
QUIET_LOOKS = 12
"""and after so many times of that in any case. A proxy that has other daemons to ask closes its connections itself, two
seconds after their last use (deploy/nginx.conf): what it sends into one that is just being closed is lost, and may not
be sent again."""

COLLECT = (700, 10, 1000)
"""The garbage collector's thresholds. With Python's own it looks through all that lives again and again while ten
thousand clients come, wait and leave, for a third of the time; what is left in cycles by then is little."""


class GatewayServer(uvicorn.Server):
    """uvicorn, with our announcement when it listens and our drain before its own shutdown."""

    def __init__(
        self,
        services: Services,
        announce: Announce,
        terminal: Terminal | None = None,
        hung_up: Callable[[], bool] = lambda: False,
        *,
        is_alone: bool = True,
    ) -> None:
        """``terminal`` is that of the start. ``hung_up`` tells whether a SIGHUP came while the services were made: to
        be obeyed once they serve. ``is_alone``: no other worker accepts on the same socket."""
        config = uvicorn.Config(
            Application(services),
            http=GatewayProtocol,
            ws=GatewaySocket,
            ws_max_size=websocket.LARGEST,
            ws_ping_interval=websocket.PING_SECONDS,
            ws_ping_timeout=websocket.PING_SECONDS,
            ws_per_message_deflate=False,  # pieces of a few bytes gain nothing, and each socket would cost a window
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
        self._signalled = False
        self._terminal = terminal or Terminal()
        self._hung_up_early = hung_up
        self._is_alone = is_alone
        self._reloads: set[asyncio.Task[None]] = set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Like uvicorn's own, but the signal is not raised again at the end: we exit with 0."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, any further one ends what still runs."""
        # Not judged by should_exit: a worker that its parent has told to drain may get its first signal after that.
        if self._signalled:
            self._cut()
        self._signalled = self.should_exit = True

    def _hung_up(self) -> None:
        if self._terminal.is_gone:
            self.handle_exit(signal.SIGHUP, None)
        else:
            self.reload()

    def reload(self) -> None:
        """Read the configuration again, beside everything else."""
        task = asyncio.create_task(self._services.reconfiguration.hang_up())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def obey(self, orders: AsyncIterator[Order]) -> None:
        """Do what the orders of a worker's parent say; stop when they end."""
        try:
            async for order in orders:
                if order is Order.RELOAD:
                    self.reload()
                    continue
                if order is Order.CUT:
                    self._cut()
                self.should_exit = True
        finally:
            self.should_exit = True

    def _cut(self) -> None:
        self.force_exit = True
        self._services.gateway.cut()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        acceptors = [
            Acceptor(listener, self._services.connections, self._protocol, is_alone=self._is_alone)
            for listener in sockets or ()
        ]
        self.servers = cast("list[asyncio.Server]", acceptors)
        await self._announce(self._services)
        # Only now: it may fail, and then nobody must be in the middle of being served. Connections wait in the port.
        for acceptor in acceptors:
            acceptor.open()
        self._services.supervisor.start("unread answers", unread.watch(self.server_state.connections))
        if self._hung_up_early():
            self._hung_up()

    def _protocol(self, place: Place) -> GatewayProtocol:
        protocol = GatewayProtocol(self.config, self.server_state, self.lifespan.state, place)
        if self.should_exit:  # it was connected before we stopped to listen
            protocol.leave()
        return protocol

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        # Kept connections are not closed yet: a proxy may be sending its next request over one in this moment. It would
        # be lost, and may not be sent to another daemon. It is answered, and the connection closed with that.
        for connection in self._connections():
            connection.leave()
        await self._services.drain()
        await asyncio.gather(*(server.wait_closed() for server in self.servers))
        await self._quiet()
        await super().shutdown(sockets)
        for left in list(self.server_state.connections):  # its client has not taken the rest in time
            left.transport.abort()

    def _connections(self) -> list[GatewayProtocol]:
        return [one for one in self.server_state.connections if isinstance(one, GatewayProtocol)]

    async def _quiet(self) -> None:
        """Wait until proxies have closed the connections that they keep, and others were quiet for a while."""
        seen = -1
        for _ in range(QUIET_LOOKS):
            kept = self._connections()
            is_quiet = seen == self.server_state.total_requests and not any(one.is_of_proxy for one in kept)
            if self.force_exit or not kept or is_quiet:
                return
            seen = self.server_state.total_requests
            await asyncio.sleep(QUIET_SECONDS)


def _spare_the_collector() -> None:
    """What exists now stays: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)


async def serve(
    settings: Settings | LoadedSettings,
    listener: socket.socket,
    announce: Announce,
    orders: AsyncIterator[Order] | None = None,
    ended: Callable[[], None] = lambda: None,
) -> None:
    """Run a daemon on ``listener`` until SIGTERM or SIGINT; a second one ends it at once. SIGHUP lets it read its
    configuration again.

    ``announce`` is called when it is ready to serve, and nobody is served if that fails; ``ended`` when it serves
    nobody any more and only has to put everything away. A worker also obeys the ``orders`` of its parent.
    """
    raise_descriptor_limit()
    terminal, hung_up = Terminal(), asyncio.Event()
    # Without a handler it would end a daemon that is still migrating, say.
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up.set)
    async with open_services(settings) as services:
        _spare_the_collector()
        server = GatewayServer(services, announce, terminal, hung_up.is_set, is_alone=orders is None)
        obeying = asyncio.create_task(server.obey(orders)) if orders is not None else None
        try:
            await server.serve(sockets=[listener])
        finally:
            ended()
            if obeying is not None:
                obeying.cancel()
