"""The server's WebSocket protocol: uvicorn's, with bounds that it does not have itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from llmgate.daemon.protocols.bodies import INLINE_BYTES
from llmgate.errors import BodyTooLarge, LLMGateError

LARGEST: Final = 24 * 1024 * 1024
"""Bytes of one message: a question with pictures."""
PING_SECONDS: Final = 10.0
"""So often a client is asked whether it is there, and so long it has to answer."""
FLUSH_SECONDS: Final = 5.0
"""Longest wait, at the end, for a client to take what was sent."""
MOST_PIECES: Final = 4096
"""Of one message."""
MOST_UNSENT: Final = 1024 * 1024
"""A client that sends pings and never reads would let the answers to them pile up."""

WIRE: Final = "llmgate.wire"
"""In ``scope["extensions"]``: the connection itself, a ``GatewaySocket``."""

TOO_BIG: Final = 1009


def unread(size: int) -> None:
    """What ``hold`` is while nobody reads: before somebody is let in, and when the end is only to be awaited."""
    raise BodyTooLarge


class GatewaySocket(WebSocketsSansIOProtocol):
    """One client's WebSocket."""

    hold: Callable[[int], None] = staticmethod(unread)
    """Told of every further byte of a large message before it is complete; it may raise, which ends the connection."""
    left: Callable[[], None] = staticmethod(lambda: None)
    """Called when the connection has ended."""
    _held = 0
    _heard_at = 0.0
    _unread = 0

    def data_received(self, data: bytes) -> None:
        self._heard_at = self.loop.time()
        super().data_received(data)
        if not self.handshake_initiated:
            # The head comes in one piece. One that the library does not understand would be waited on for ever.
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()
        elif not self.transport.is_closing():
            self._count()

    def connection_lost(self, exc: Exception | None) -> None:
        self.left()
        super().connection_lost(exc)
        self.frames = []

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            cast("dict[str, object]", self.scope["extensions"])[WIRE] = self

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= MOST_PIECES:
            self.cut(TOO_BIG)
        elif not self.close_sent:
            super().handle_cont(event)

    def handle_ping(self) -> None:
        super().handle_ping()
        if self.unsent() > MOST_UNSENT:
            self.transport.abort()

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self._end_in_time()

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self._end_in_time()

    def keepalive_timeout(self) -> None:
        """The answer to a ping is missing. A client that sends a large message can answer only behind it: then every
        byte of it says that the client is there."""
        patience = (self.ping_timeout or 0.0) - (self.loop.time() - self._heard_at)
        if patience > 0:
            self.pong_timer = self.loop.call_later(patience, self.keepalive_timeout)
        else:
            super().keepalive_timeout()
            self._end_in_time()

    def shutdown(self) -> None:
        super().shutdown()
        self._end_in_time()

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if self.close_sent:  # with a refusal, too, the handshake is over: uvicorn would log it as an error of ours
            self.handshake_complete = True

    def look_at_unread(self) -> None:
        """Hang up on a client that takes nothing of the end. Until then pings tell whether it is there, and ``send``
        has its own patience."""
        unsent = self.unsent() if self.transport.is_closing() else 0
        if unsent >= self._unread > 0:
            self.transport.abort()
        self._unread = unsent

    def unsent(self) -> int:
        """Bytes that the client has not taken yet, as far as this process knows."""
        return self.transport.get_write_buffer_size()

    def cut(self, code: int) -> None:
        """Close the connection at once, whatever is still to be sent. Harmless when it is closed."""
        if self.close_sent or self.transport.is_closing():
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})
        self.conn.send_close(code)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()
        self._end_in_time()

    def _end_in_time(self) -> None:
        """A transport that is closed waits for its client to take the rest, without end."""
        self.loop.call_later(FLUSH_SECONDS, self.transport.abort)

    def _count(self) -> None:
        """Tell ``hold`` of what of a large message is here already."""
        here = len(self.conn.reader.buffer) + sum(map(len, self.frames))
        if here <= INLINE_BYTES:
            self._held = 0
        elif here > self._held:
            more, self._held = here - self._held, here
            try:
                self.hold(more)
            except LLMGateError:
                if self.handshake_complete and not self.close_sent:
                    self.cut(TOO_BIG)
                else:
                    self.transport.abort()
