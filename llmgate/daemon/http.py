"""The server's HTTP protocol: uvicorn's, with bounds that it does not have itself."""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from llmgate.daemon.acceptor import answer_of, overloaded
from llmgate.daemon.connections import Place, Refusal
from llmgate.daemon.farewell import LINGER_SECONDS
from llmgate.daemon.heads import HEAD_BYTES, HEADERS, check_head, check_size, too_large
from llmgate.daemon.websocket import GatewaySocket
from llmgate.errors import HeadTooLarge, InvalidRequest, LLMGateError, RequestTooSlow

HEAD_SECONDS = 10.0
"""Longest wait for a whole request head: from the connection, and from the first byte of each request."""
SPARE_HEAD_SECONDS = 2.0
"""The same, of a connection that is one too many."""
BODY_SECONDS = 10.0
"""So often a body that is not complete is looked at; so long one is still awaited whose request is answered."""
BODY_RATE = 1024
"""Bytes of a body that must come in a second, on the average of ``BODY_SECONDS``."""
BODY_LOOKS = 12
"""A body that is not complete by then is given up."""

WEBSOCKET_PATH = b"/gate/ws"
"""How the one path ends that is a WebSocket; before it there may be the path of a proxy."""
HEALTH = (b"/health/live", b"/health/ready")
"""What is answered even when there are too many connections."""

FRAMING = (b"content-length", b"transfer-encoding")
"""The headers that say where a body ends."""

ELSEWHERE = b"x-llmgate-elsewhere"
"""The request header of a proxy that has other daemons to ask (deploy/nginx.conf)."""

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
    and hide that the client has hung up. An answer has ended when the client has taken it: else whoever asks on
    and never reads would hold a place at which somebody seems to be served.
    """

    _in_head = True
    _in_body = False
    _idle_bytes = 0
    """What has come since the head began, or since the last byte of a body's content."""
    _piece = 0
    """What is being parsed now, in bytes."""
    _timer: asyncio.TimerHandle | None = None
    _body_bytes = 0
    _looks = 0
    _was_paused = False
    _unread = 0
    """What the client had not taken at the last look; 0 when it was different bytes."""
    _deaf = False
    _refusal: LLMGateError | None = None
    _resuming = False
    _leaving = False

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        place: Place,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, loop)
        self.place = place

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self.place.close = self._make_room
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self.place.leave()
        super().connection_lost(exc)
        # Whatever holds on to this connection as the connection does to it: such a ring would stay in memory until the
        # garbage collector comes by, which is seldom.
        self.cycle = self.scope = self.parser = None  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        if not (self._in_head or self._in_body):
            self._begin_head()
        before, self._piece = self._body_bytes, len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._turn_away(self._refusal or InvalidRequest("This is not valid HTTP."))
        if self._in_head or self._in_body:
            self._wait_for_more(0 if before != self._body_bytes else len(data))

    def _wait_for_more(self, size: int) -> None:
        """``size`` bytes of framing have come, and the head or the body is not complete."""
        if self._deaf:
            return
        if self._in_body and self._timer is None:
            self._timer = self.loop.call_later(BODY_SECONDS, self._look_at_body)
        self._idle_bytes += size
        if self._idle_bytes > HEAD_BYTES:
            self._turn_away(too_large())

    # -- what the parser finds ---------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._resuming:
            return
        if not self._in_head:
            self._begin_head()
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]  # extensions may be anything
        scope["extensions"] = {ABORT: self.transport.abort, WRITE: self._write}

    def on_url(self, url: bytes) -> None:
        if not self._resuming:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._resuming:
            return
        if not self._in_head:
            # A field behind the body. Nobody needs them, and a proxy may not have looked at it as it did at the head.
            raise self._refused(InvalidRequest("Trailer fields are not taken."))
        if len(self.headers) >= HEADERS:
            raise self._refused(HeadTooLarge(f"The request has more than {HEADERS} headers."))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._resuming:
            return
        self._stop_waiting()
        if self._owes_answer:
            self._end_behind_answer()
            raise _Refused
        try:
            self._check_head()
        except LLMGateError as refusal:
            raise self._refused(refusal) from None
        self._in_head, self._in_body = False, True
        self._body_bytes = self._looks = self._idle_bytes = 0
        self._was_paused = False
        self._unread = 0
        self.place.busy()
        super().on_headers_complete()
        if self.cycle is not None and (self.expect_100_continue or self.place.is_spare or self._leaving):
            # Who expects a word before sending the body may, after another one, not send it at all: what comes next
            # would be taken for it.
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._idle_bytes = 0
        super().on_body(body)
        if self.flow.read_paused:
            self._was_paused = True

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade() and not self._should_upgrade():
            return  # the parser thinks that what follows is of another protocol; see _upgrade
        self._in_body = False
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.place.idle()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread = 0

    def look_at_unread(self) -> None:
        """Hang up on a client that has taken nothing since the last look.

        What is still to be sent only becomes less while nothing is written: when the answer has ended, or waits for the
        client. An answer that is being written is nobody's fault.
        """
        waits_for_client = self.flow.write_paused or not self._answering or self.transport.is_closing()
        unsent = self.transport.get_write_buffer_size() if waits_for_client else 0
        if unsent >= self._unread > 0:
            self.place.refused(Refusal.SLOW)
            self.transport.abort()
        self._unread = unsent

    def leave(self) -> None:
        """The daemon shuts down: close the connection with the next answer whose head can say so. With a head that has
        gone out already a proxy may send its next request into a connection that is just being closed."""
        self._leaving = True
        if self._answering and not self.cycle.response_started:
            self.cycle.keep_alive = False

    @property
    def is_of_proxy(self) -> bool:
        """Whether a proxy keeps it that has other daemons to ask."""
        return any(name == ELSEWHERE for name, _ in self.headers or ())

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _owes_answer(self) -> bool:
        """Whether the client has not got all of the answer to its last request."""
        return self._answering or self.transport.get_write_buffer_size() > 0

    def _make_room(self) -> None:
        """The place is somebody else's now, and with it the descriptor: to wait until the client has taken the rest,
        which it may never do, would hold one without a place."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def _end_behind_answer(self) -> None:
        """Take no further request. The answer that is there is all that the client gets."""
        self._deaf = True
        if self._answering:
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    def _refused(self, refusal: LLMGateError) -> _Refused:
        self._refusal = refusal
        return _Refused()

    def _check_head(self) -> None:
        """Raises InvalidRequest, HeadTooLarge, ExpectationFailed, or Overloaded."""
        self.scope["method"] = method = self.parser.get_method().decode("ascii")
        check_head(method, self.url, self.parser.get_http_version(), self.headers)
        if self._idle_bytes + self._piece > HEAD_BYTES:
            check_size(self.url, self.headers)
        if self.place.is_spare and not self.url.partition(b"?")[0].endswith(HEALTH):
            raise overloaded()
        if self.parser.should_upgrade() and self._should_upgrade() and any(name in FRAMING for name, _ in self.headers):
            raise InvalidRequest("A request for a WebSocket has no body.")

    # -- another protocol --------------------------------------------------------------------

    def _should_upgrade(self) -> bool:
        """Only to the WebSocket of the chat: everywhere else the wish for one is ignored."""
        is_wanted = self.scope["method"] == "GET" and self.url.partition(b"?")[0].endswith(WEBSOCKET_PATH)
        return is_wanted and super()._should_upgrade()

    def _upgrade(self, rest: bytes) -> None:
        """The parser has read a head with ``Upgrade``. What follows it, ``rest`` first, is of another protocol if we
        agree. If not, it is the body that the head has announced, and then the next request: the parser, which would
        go on with a request, has to be told."""
        if self._should_upgrade():
            self.handle_websocket_upgrade()
            socket = self.transport.get_protocol()
            if isinstance(socket, GatewaySocket):
                socket.left = self.place.leave
            return
        self.parser = httptools.HttpRequestParser(self)
        head = [b"%b: %b\r\n" % (name, value) for name, value in self.headers if name in FRAMING]
        self._resuming = True
        self.parser.feed_data(b"".join([b"POST / HTTP/1.1\r\n", *head, b"\r\n"]))
        self._resuming = False
        if rest:
            self.data_received(rest)

    # -- answering ---------------------------------------------------------------------------

    def _write(self, body: bytes) -> bool:
        cycle = self.cycle
        if cycle is None or self.flow.write_paused or not cycle.chunked_encoding:
            return False
        if cycle.response_complete or cycle.disconnected:
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(body), body))
        return True

    def _turn_away(self, refusal: LLMGateError) -> None:
        """Serve nothing more here, and say why if nothing was said about this request yet."""
        if self._deaf or self.transport.is_closing():
            return
        self._deaf = True
        self._stop_waiting()
        if self._in_head and self._answering:  # of the one before: only its end is awaited
            self.cycle.keep_alive = False
            return
        self.place.refused(Refusal.SLOW if isinstance(refusal, RequestTooSlow) else Refusal.BAD)
        if self._in_head or (self._answering and not self.cycle.response_started):
            if self._in_body:  # what is served does not get the rest of its body, and must not answer any more
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            self._say(refusal)
        else:
            self.transport.abort()

    def _say(self, refusal: LLMGateError) -> None:
        self.transport.write(answer_of(refusal))
        self.transport.write_eof()
        self.place.idle()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    # -- waiting -----------------------------------------------------------------------------

    def _begin_head(self) -> None:
        self._in_head = True
        self._idle_bytes = 0
        self._await_head()

    def _await_head(self) -> None:
        if self._timer is None:
            seconds = SPARE_HEAD_SECONDS if self.place.is_spare else HEAD_SECONDS
            self._timer = self.loop.call_later(seconds, self._miss_head)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _miss_head(self) -> None:
        self._timer = None
        if self._idle_bytes or self._answering:
            self._turn_away(RequestTooSlow("The head of the request did not arrive in time."))
        else:
            self.transport.close()

    def _look_at_body(self) -> None:
        """Give up a body that comes too slowly, or is still coming though its request is answered."""
        self._timer = None
        self._looks += 1
        waits_for_us = self._was_paused or self.flow.read_paused or self.cycle.waiting_for_100_continue
        enough = waits_for_us or self._body_bytes >= BODY_RATE * BODY_SECONDS
        if self._looks > (BODY_LOOKS if self._answering else 1) or not enough:
            self._turn_away(RequestTooSlow("The body of the request comes too slowly."))
            return
        self._body_bytes, self._was_paused = 0, self.flow.read_paused
        self._timer = self.loop.call_later(BODY_SECONDS, self._look_at_body)
