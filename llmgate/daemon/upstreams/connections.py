"""The connections to one upstream: made when they are needed, and kept for the next request where that is safe."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import aiohappyeyeballs
from aiohappyeyeballs import AddrInfoType

from llmgate.addresses import is_forbidden
from llmgate.daemon.upstreams.connection import Connection

KEPT_SECONDS: Final = 30.0
SECOND_ADDRESS_SECONDS: Final = 0.25
"""Of a name with several addresses the next one is tried, too, after so long (RFC 8305, section 5)."""

ADDRESSES_SECONDS: Final = 10.0
"""A name means the same for so long."""

_KEEP_ALIVE: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


class ForbiddenAddress(OSError):
    """What a name means is an address that no upstream may have."""


class Connections:
    """See the module. ``url`` is the upstream's base URL, checked before (``is_base_url``); ``keeps``: whether a
    connection may be used again."""

    def __init__(self, url: str, connect_timeout: float, *, keeps: bool) -> None:
        parts = urlsplit(url)
        self.path = parts.path.rstrip("/")
        """Before that of each request."""
        self.keeps = keeps
        self._is_secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._is_secure else 80)
        self._timeout = connect_timeout
        self._context: ssl.SSLContext | None = None
        self._idle: dict[Connection, float] = {}
        self._all: set[Connection] = set()
        self._lookup: asyncio.Future[Any] | None = None
        self._addresses_until = 0.0
        self._is_closed = False
        self._cleaning: asyncio.TimerHandle | None = None
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.authority = host if parts.port is None else f"{host}:{parts.port}"
        """As the Host header has it."""

    async def take(self) -> Connection:
        """An open connection that nobody else uses. Raises OSError (TimeoutError, ssl.SSLError, socket.gaierror)."""
        while self._idle:
            connection, _ = self._idle.popitem()  # the one that was used last is the most likely to be open
            if connection.is_usable and connection.is_quiet():
                return connection
            connection.abort()
        async with asyncio.timeout(self._timeout):
            return await self._connect()

    def give_back(self, connection: Connection) -> None:
        """It was used, and its answer has been read to the end."""
        connection.release()
        if not self.keeps or not connection.is_usable:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        self._idle[connection] = loop.time() + KEPT_SECONDS
        if self._cleaning is None:
            self._cleaning = loop.call_later(KEPT_SECONDS, self._clean)

    def close(self) -> None:
        """All of them, now, and what is just being opened."""
        self._is_closed = True
        if self._cleaning is not None:
            self._cleaning.cancel()
            self._cleaning = None
        for connection in list(self._all):
            connection.abort()

    def _clean(self) -> None:
        loop = asyncio.get_running_loop()
        self._cleaning = None
        for connection, until in list(self._idle.items()):
            if until <= loop.time():
                del self._idle[connection]
                connection.abort()
        if self._idle:
            self._cleaning = loop.call_at(min(self._idle.values()), self._clean)

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        if self._is_secure and self._context is None:
            self._context = await asyncio.to_thread(ssl.create_default_context)  # reads hundreds of certificates
        addresses = checked(await self._addresses())
        opened = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=SECOND_ADDRESS_SECONDS, socket_factory=_watched_socket
        )
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(self._gone),
                sock=opened,
                ssl=self._context,
                server_hostname=self._host.rstrip(".") if self._context else None,
            )
        except BaseException:
            opened.close()
            raise
        self._all.add(connection)
        if self._is_closed:
            connection.abort()
            raise ConnectionAbortedError(errno.ECONNABORTED, "closed meanwhile")
        return connection

    async def _addresses(self) -> Any:
        """What the name means. One look-up for all who wait for it: there are four threads for all upstreams, and
        what they do cannot be stopped."""
        loop = asyncio.get_running_loop()
        lookup = self._lookup
        if lookup is None or (lookup.done() and loop.time() >= self._addresses_until):
            lookup = asyncio.ensure_future(loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM))
            lookup.add_done_callback(self._looked_up)
            self._lookup = lookup
        return await asyncio.shield(lookup)

    def _looked_up(self, lookup: asyncio.Future[Any]) -> None:
        if lookup.cancelled() or lookup.exception() is not None:
            self._lookup = None
        else:
            self._addresses_until = asyncio.get_running_loop().time() + ADDRESSES_SECONDS

    def _gone(self, connection: Connection) -> None:
        self._all.discard(connection)
        self._idle.pop(connection, None)


def checked(addresses: Sequence[AddrInfoType]) -> Sequence[AddrInfoType]:
    """These addresses, which are the ones that will be connected to: the name is not looked up again after this.

    Raises ForbiddenAddress when one of them is, whatever the others are.
    """
    if any(is_forbidden(str(address[4][0])) for address in addresses):
        raise ForbiddenAddress
    return addresses


def _watched_socket(address: AddrInfoType) -> socket.socket:
    """A socket on which a dead peer is noticed also while a prompt is worked on in silence."""
    family, kind, protocol, _, _ = address
    connection = socket.socket(family, kind, protocol)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option, value in _KEEP_ALIVE.items():
        if hasattr(socket, option):  # not every system has them all
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return connection
