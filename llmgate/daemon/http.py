"""The server's HTTP protocol: uvicorn's, with bounds that it does not have itself."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 30.0
"""Longest wait for a whole request head: from the connection, and from the first byte of each request."""
HEAD_BYTES = 64 * 1024
HEADERS = 100

WEBSOCKET_PATH = b"/gate/ws"
"""How the one path ends that is a WebSocket; before it there may be the path of a proxy."""

ABORT = "llmgate.abort"
"""In ``scope["extensions"]``: a function that drops the connection now, with what is not sent yet."""

WRITE = "llmgate.write"
"""Beside it: a function that sends a piece from the middle of a streamed answer now. False when the client takes
nothing more at the moment, or the answer is of another kind: then ASGI's ``send`` does it."""


class _Refused(Exception):
    """Raised in a parser's callback, which ends the parsing of this connection."""


class GatewayProtocol(HttpToolsProtocol):
    """One client's connection.

    A request that is sent before the answer to the one before it has ended (pipelining) is not taken: the
    connection is closed after that answer, as RFC 9112, section 9.3.2, allows. Taken, it would stop the reading
    and hide that the client has hung up.
    """

    _in_head = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _deaf = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        super().data_received(data)
        if self._in_head and not self._deaf:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse()

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        self._await_head()
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]  # extensions may be anything
        scope["extensions"] = {ABORT: self.transport.abort, WRITE: self._write}

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= HEADERS:
            raise _Refused
        super().on_header(name, value)

    def _should_upgrade(self) -> bool:
        """Only to the WebSocket of the chat: everywhere else the wish for one is ignored."""
        is_wanted = self.scope["method"] == "GET" and self.url.partition(b"?")[0].endswith(WEBSOCKET_PATH)
        return is_wanted and super()._should_upgrade()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_waiting()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            self._deaf = True
            raise _Refused
        super().on_headers_complete()

    def _write(self, body: bytes) -> bool:
        cycle = self.cycle
        if self.flow.write_paused or not cycle.chunked_encoding or cycle.response_complete or cycle.disconnected:
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
        return True

    def send_400_response(self, msg: str) -> None:
        if not self._deaf:  # else an answer is under way, and nothing may come between
            super().send_400_response(msg)

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self) -> None:
        """The head is too slow or too large. While an answer is under way only its end is awaited."""
        self._head_timer = None
        self._deaf = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        else:
            self.transport.abort()
