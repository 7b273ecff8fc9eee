"""The last word to those who are not served.

A socket that is closed while something its client sent is unread, or still on its way, resets the connection, and the
client loses the answer that told it why. So the connection is kept for a moment, and what comes is thrown away (RFC
9112, section 9.6).
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Final

MOST: Final = 8
"""Connections that are kept. They have no place, and take from the reserve of file descriptors."""
LINGER_SECONDS: Final = 1.0
"""So long a connection is kept after its last word, that the client may read it."""
_PIECE: Final = 65_536


class Farewells:
    """Tells clients why they are not served, and keeps a few of their connections until they have read it."""

    def __init__(self) -> None:
        self._kept: dict[socket.socket, asyncio.TimerHandle] = {}

    def tell(self, client: socket.socket, answer: bytes) -> None:
        """Send a whole ``answer`` over a connection that does not block, whatever is asked for, and close it."""
        if len(self._kept) >= MOST:
            self._drop(next(iter(self._kept)))
        try:
            client.send(answer)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            client.close()
            return
        loop = asyncio.get_running_loop()
        self._kept[client] = loop.call_later(LINGER_SECONDS, self._drop, client)
        loop.add_reader(client, self._hear, client)

    def end(self) -> None:
        """Keep none of them any longer."""
        for client in list(self._kept):
            self._drop(client)

    def _hear(self, client: socket.socket) -> None:
        try:
            has_gone = not client.recv(_PIECE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            has_gone = True
        if has_gone:
            self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        self._kept.pop(client).cancel()
        asyncio.get_running_loop().remove_reader(client)
        with client, suppress(OSError):  # what has come by now shall not reset the connection either
            client.recv(_PIECE)
