"""One HTTP/1.1 connection to an upstream (RFC 9112): a request goes out, and its answer comes in piece by piece.

The parser is httptools, as in the server. Libraries' clients are made for more than this and take two to four times
the CPU for a request and for each piece of an answer (docs/benchmarks.md), which is most of what a gateway does.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Callable
from typing import Final, cast

import httptools

from llmgate.daemon.upstreams.base import Quick
from llmgate.daemon.upstreams.silence import Silence

HEAD_BYTES: Final = 64 * 1024
"""Of an answer: status and headers."""
WAITING_BYTES: Final = 256 * 1024
"""Of an answer that nobody has taken yet; beyond that the upstream has to wait."""
PIECE_BYTES: Final = 64 * 1024
AT_ONCE_BYTES: Final = 512 * 1024
"""A larger body is written in pieces, so that it holds up neither the event loop nor other answers."""


class BadAnswer(Exception):
    """It is not HTTP, or nothing that was asked for."""


class ConnectionCut(Exception):
    """It was closed before the answer was complete."""


class Connection(asyncio.Protocol):
    """See the module. One answer at a time; ``forget`` is called when the connection is gone."""

    transport: asyncio.Transport
    """Set as soon as the connection is made."""

    def __init__(self, forget: Callable[[Connection], None]) -> None:
        self.is_lost = False
        self._is_aborted = False
        self._is_half_sent = False
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._answer: Incoming | None = None
        self._writable: asyncio.Future[None] | None = None

    @property
    def is_usable(self) -> bool:
        """As far as the event loop knows, it is open for another request."""
        return not (self.is_lost or self._is_half_sent or self.transport.is_closing())

    def is_quiet(self) -> bool:
        """Nothing has come that nobody has asked for, nor the news that it was closed: the event loop may not have
        looked yet."""
        look = select.poll()
        look.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLRDHUP)
        return not look.poll(0)

    async def ask(self, head: bytes, body: bytes, silence: Silence) -> Incoming:
        """Send a request and wait for the head of its answer. Raises BadAnswer or ConnectionCut."""
        answer = self._answer = Incoming(self.transport, silence)
        silence.listen()
        if len(body) <= AT_ONCE_BYTES:
            self.transport.write(head + body)
        else:
            await self._write(head, body, answer)
        await answer.head
        return answer

    def release(self) -> None:
        """The answer is over; the connection is open for another one."""
        self._let_go()

    def abort(self) -> None:
        """Close it now, whatever is still to be sent."""
        self._is_aborted = True
        self.transport.abort()

    async def _write(self, head: bytes, body: bytes, answer: Incoming) -> None:
        """Piece by piece, until the upstream answers: what it has not read by then it does not want."""
        self.transport.write(head)
        for start in range(0, len(body), PIECE_BYTES):
            if answer.head.done():
                self._is_half_sent = True  # what comes next on this connection would be taken for the rest
                return
            self.transport.write(body[start : start + PIECE_BYTES])
            if self._writable is not None:
                await asyncio.wait((self._writable, answer.head), return_when=asyncio.FIRST_COMPLETED)

    # -- what the event loop tells -----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self.resume_writing()
        self._forget(self)
        if self._answer is not None:
            self._answer.cut(clean=exc is None and not self._is_aborted)
        self._let_go()

    def _let_go(self) -> None:
        if self._answer is not None:
            self._answer.let_go()
            self._answer = None

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set_result(None)
            self._writable = None

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.abort()  # nobody has asked for anything
        else:
            self._answer.feed(data)


class Incoming:
    """An answer as it arrives. ``headers`` have names in lower case; of several with one name the last counts."""

    def __init__(self, transport: asyncio.Transport, silence: Silence) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.is_complete = False
        self.is_reusable = False
        """The connection may be used for another request, once the answer is complete."""
        self._transport = transport
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self.head: asyncio.Future[None] = self._loop.create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._head_bytes = 0
        self._has_end = True
        self._parsed: list[bytes] = []
        self._raw: list[bytes] = []
        self._raw_bytes = 0
        self._seen: bytes | None = None
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._quick: Quick | None = None
        self._is_paused = False

    @property
    def is_over(self) -> bool:
        """It was read to its end, and the connection may be used for another request."""
        return self.is_complete and self.is_reusable and not self._is_paused

    def header(self, name: bytes) -> str:
        """Empty, if there is none."""
        return self.headers.get(name, b"").decode("latin-1")

    async def pieces(self, quick: Quick | None = None) -> AsyncIterator[bytes]:
        """The body, a piece for each read of the network. Raises BadAnswer, ConnectionCut, or what ``quick`` raises.

        ``quick`` gets each piece first: at once, if somebody waits for it, without any task having to wake up.
        """
        self._quick = quick
        while True:
            if self._seen is not None:
                piece, self._seen = self._seen, None
                yield piece
            elif self._raw:
                chunk = self._take()
                seen = chunk if quick is None else quick(chunk)
                if seen is not None:
                    yield seen
            elif self._failure is not None:
                raise self._failure
            elif self.is_complete:
                return
            else:
                await self._more()

    async def _more(self) -> None:
        self._silence.listen()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _take(self) -> bytes:
        raw, self._raw, self._raw_bytes = self._raw, [], 0
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        return raw[0] if len(raw) == 1 else b"".join(raw)

    # -- what arrives ------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take what the connection has received."""
        if self._failure is not None:
            return
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if self.is_complete:  # what comes behind it is nobody's
                self.is_reusable = False
            else:
                self._fail(BadAnswer("not HTTP"))
        if self._parsed:
            self._head_bytes = 0
        elif self._head_bytes > HEAD_BYTES and not self.is_complete:
            self._fail(BadAnswer("a head, or trailers, without end"))
        if self._parsed:
            self._silence.heard()
            self._arrived(self._parsed[0] if len(self._parsed) == 1 else b"".join(self._parsed))
            self._parsed.clear()
        elif self.is_complete:
            self._wake()

    def cut(self, *, clean: bool) -> None:
        """The connection is gone; ``clean``: it was closed, as an answer without a length ends."""
        if self.is_complete:
            return
        if clean and self.status and not self._has_end and not self._silence.is_over:
            self.is_complete = True
            self._wake()
        else:
            self._fail(ConnectionCut())

    def let_go(self) -> None:
        """Nothing more arrives: the parser, which holds on to the answer as the answer does to it, is not needed."""
        del self._parser

    def _arrived(self, chunk: bytes) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done() or self._quick is None:
            self._keep(chunk)
        else:
            try:
                self._seen = self._quick(chunk)
            except Exception as failure:  # raised where the pieces are waited for
                self._raw.clear()
                self._fail(failure)
            if self._seen is None and not self.is_complete and self._failure is None:
                self._silence.listen()
                return
        self._wake()

    def _keep(self, chunk: bytes) -> None:
        self._raw.append(chunk)
        self._raw_bytes += len(chunk)
        if self._raw_bytes > WAITING_BYTES and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def _fail(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
        if not self.head.done():
            self.head.set_exception(failure)
            self.head.exception()  # whoever was cancelled meanwhile does not ask for it
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- what the parser tells ---------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.status:
            raise BadAnswer("a second answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # else it is a trailer
            self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 100:
            raise BadAnswer("not a status")
        if status < 200:  # it only says that the answer will come
            self.headers.clear()
            return
        self.status = status
        coding = self.headers.get(b"transfer-encoding")
        if coding is not None and coding.lower() != b"chunked":
            raise BadAnswer("a coding that nobody asked for")
        self._has_end = coding is not None or b"content-length" in self.headers
        if not self.head.done():
            self.head.set_result(None)

    def on_body(self, body: bytes) -> None:
        self._parsed.append(body)

    def on_message_complete(self) -> None:
        if self.status:
            self.is_complete = True
            self.is_reusable = self._parser.should_keep_alive()
