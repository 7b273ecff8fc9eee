"""One client's request and the answer to it: the client's side of the gateway.

An ``Exchange`` reads the body within its bounds, notices when the client hangs up, keeps a waiting
stream open in the client's own dialect, and makes sure that the client gets exactly one of: an
answer, an error status, or a terminal error event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.budget import SLICE_BYTES, last_slice
from llmgate.daemon.clock import monotonic
from llmgate.daemon.http import ABORT, ELSEWHERE, WRITE
from llmgate.daemon.protocols.base import Call, Protocol
from llmgate.daemon.queue.ticket import Grant, Ticket
from llmgate.errors import BodyTooLarge, Draining, LLMGateError, RequestTooSlow

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

BODY_SECONDS = 60.0
"""Longest wait for a whole request body."""
STALL_SECONDS = 30.0
"""A client that takes nothing for so long, or at most twice that, is treated as gone: it holds a slot."""
FAIL_SECONDS = 5.0
"""Longest wait for a client to take the news of a failure."""
DISCARD_BYTES = 128 * 1024 * 1024
"""Of a body that is too large, so much is read and dropped, so that the client reads our answer
instead of failing while it still sends."""


def header(scope: Scope, name: bytes) -> str | None:
    """The last value of a request header, whose name is given in lower case."""
    found: bytes | None = None
    for key, value in scope["headers"]:
        if key == name:
            found = value
    return found.decode("latin-1") if found is not None else None


class ClientGone(Exception):
    """The client hung up, or stopped reading."""


@dataclass(frozen=True, slots=True)
class Insider:
    """A part of the daemon that asks for a request of its own, as a client would.

    ``identify`` tells who asks, each time that it is asked for; it raises as the authenticator does. ``waits`` and
    ``starts`` are told whenever the request gets into line, and when it has its turn.
    """

    identify: Callable[[], Awaitable[Principal]]
    waits: Callable[[Ticket], None]
    starts: Callable[[Grant], None]


class Exchange:
    """See the module. One task serves it; ``interrupt`` ends that task's work from outside."""

    __slots__ = (
        "_interruption",
        "_is_whole",
        "_keepalive",
        "_receive",
        "_send",
        "_stall",
        "_task",
        "_watcher",
        "_write",
        "_writing",
        "_written",
        "answer_begun",
        "chunks",
        "clamped",
        "extra",
        "finished",
        "first_byte_at",
        "insider",
        "level",
        "on_end",
        "opened",
        "request_id",
        "scope",
        "started_at",
        "status",
        "waited",
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, insider: Insider | None = None
    ) -> None:
        self.scope = scope
        self.insider = insider
        self.request_id = request_id
        self.started_at = monotonic()
        self.level: int | None = None
        """The level it was submitted at, echoed to the client."""
        self.waited: float | None = None
        """Seconds in line until the last grant, told to the client."""
        self.clamped: str | None = None
        """What of the request was brought within the settings, told to the client."""
        self.extra: Sequence[Header] = ()
        """More headers of the answer, whatever it is."""
        self.on_end: Callable[[], None] | None = None
        """Called before the last piece of an answer goes out: whoever has read it may count on its effect."""
        self.status = 0
        self.opened = False
        """The response has begun, perhaps with nothing but keep-alives so far."""
        self.answer_begun = False
        """A byte of the upstream's answer has been sent."""
        self.finished = False
        self.chunks = 0
        """Pieces of the answer that were sent."""
        self.first_byte_at: float | None = None
        self._receive = receive
        self._send = send
        self._task: asyncio.Task[Any] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._interruption: Exception | None = None
        self._keepalive: asyncio.TimerHandle | asyncio.Task[None] | None = None
        self._write: Callable[[bytes], bool] | None = scope.get("extensions", {}).get(WRITE)
        self._writing = 0
        self._written = 0
        self._stall: asyncio.TimerHandle | None = None
        self._is_whole = False
        """The head that has gone out tells how many bytes follow."""

    # -- reading -----------------------------------------------------------------------------

    async def read_body(self, limit: int, reserve: Callable[[int], None] = lambda size: None) -> bytes:
        """The whole body.

        ``reserve`` is told of bytes before they are kept, and may raise. Raises BodyTooLarge, RequestTooSlow
        or ClientGone.
        """
        announced = header(self.scope, b"content-length")
        expected = int(announced) if announced is not None and announced.isdigit() else 0
        too_large = expected > limit
        if not too_large:
            reserve(expected)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                more = True
                while more:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    part = message.get("body", b"")
                    more = message.get("more_body", False)
                    size += len(part)
                    too_large = too_large or size > limit
                    if not too_large:
                        reserve(max(0, min(len(part), size - expected)))
                        parts.append(part)
                    elif size > DISCARD_BYTES:
                        break
        except TimeoutError:
            raise RequestTooSlow(f"The request body did not arrive within {BODY_SECONDS:.0f} seconds.") from None
        if too_large:
            raise BodyTooLarge(
                f"The request body is larger than {limit / 1048576:.0f} MiB.",
                hint="Send less, or ask the administrator to raise server.max_body_bytes.",
            )
        return parts[0] if len(parts) == 1 else b"".join(parts)

    # -- being interrupted -------------------------------------------------------------------

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within this block ``interrupt``, and after ``watch`` the client's hang-up, end the work at its
        next await, as the exception that was given."""
        self._task = asyncio.current_task()
        try:
            yield
        except asyncio.CancelledError:
            if self._interruption is None or self._task is None:
                raise
            self._task.uncancel()
            # Nothing here may hold on to it: its traceback holds on to us, and only the garbage collector, which
            # comes by seldom, would free such a ring.
            reason, self._interruption = self._interruption, None
            try:
                raise reason from None
            finally:
                del reason
        finally:
            self._task = None
            if self._watcher is not None:
                self._watcher.cancel()
                self._watcher = None  # it holds on to us as well
            self._stop_timers()

    def watch(self) -> None:
        """From now on, when the body has been read, notice the client's hang-up."""
        self._watcher = asyncio.create_task(self._watch())

    def interrupt(self, reason: Exception) -> None:
        """End the work with ``reason``. Only the first call counts; harmless when it is over."""
        if self._task is not None and self._interruption is None and not self.finished:
            self._interruption = reason
            self._task.cancel()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.interrupt(ClientGone())

    def _stop_timers(self) -> None:
        if self._keepalive is not None:
            self._keepalive.cancel()
            self._keepalive = None
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    # -- waiting -----------------------------------------------------------------------------

    def keep_alive(self, protocol: Protocol, call: Call, after: float) -> None:
        """From ``after`` seconds on, and every so often again, send what keeps the stream open, until
        the answer begins."""
        loop = asyncio.get_running_loop()

        def begin() -> None:
            self._keepalive = loop.create_task(self._send_keepalives(protocol, call, after))

        # A timer costs a tenth of a task, and nearly every answer begins before it fires.
        self._keepalive = loop.call_later(after, begin)

    async def _send_keepalives(self, protocol: Protocol, call: Call, interval: float) -> None:
        while True:
            if not self.opened:
                await self._open_stream(protocol)
            await self._put({"type": "http.response.body", "body": protocol.keepalive(call), "more_body": True})
            await asyncio.sleep(interval)

    # -- answering ---------------------------------------------------------------------------

    async def write_chunk(self, protocol: Protocol, data: bytes) -> None:
        """Send a piece of a streamed answer; the first one opens the response."""
        if not self.answer_begun:
            await self._begin_answer(protocol)
        self.chunks += 1
        await self._put({"type": "http.response.body", "body": data, "more_body": True})

    def wrote(self, data: bytes) -> bool:
        """Send a piece from the middle of a streamed answer at once. False when that would mean to wait for the
        client, or for a piece before it: then it is for ``write_chunk``."""
        if not self.answer_begun or self._writing != self._written or self._write is None:
            return False
        if data:
            if not self._write(data):
                return False
            self.chunks += 1
        return True

    async def end_stream(self, protocol: Protocol, data: bytes = b"") -> None:
        """Send the last piece of a streamed answer."""
        if data and not self.answer_begun:
            await self._begin_answer(protocol)
        elif not self.opened:
            await self._open_stream(protocol)
        self.chunks += bool(data)
        if self.on_end is not None:
            self.on_end()
        await self._put({"type": "http.response.body", "body": data, "more_body": False})
        self.finished = True

    async def _begin_answer(self, protocol: Protocol) -> None:
        if self._keepalive is not None:
            self._keepalive.cancel()
            self._keepalive = None
        self.answer_begun = True
        self.first_byte_at = monotonic()
        if not self.opened:
            await self._open_stream(protocol)

    async def answer(
        self, status: int, body: bytes, content_type: bytes = b"application/json", headers: Sequence[Header] = ()
    ) -> None:
        """Send a whole answer. It is ours until the client has taken nearly all of it: what was handed over at once
        would wait in memory where nobody counts it, and nobody sees a client that takes nothing."""
        extra = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *headers]
        await self._put({"type": "http.response.start", "status": status, "headers": self._headers(extra)})
        self.opened = self._is_whole = True
        self.status = status
        if len(body) > SLICE_BYTES:
            body = await self._all_but_the_last_slice(body)
        if self.on_end is not None:
            self.on_end()
        await self._put({"type": "http.response.body", "body": body, "more_body": False})
        self.finished = True

    async def _all_but_the_last_slice(self, body: bytes) -> bytes:
        last = last_slice(len(body))
        for begin in range(0, last, SLICE_BYTES):
            part = body[begin : begin + SLICE_BYTES]
            await self._put({"type": "http.response.body", "body": part, "more_body": True})
        return body[last:]

    async def fail(self, protocol: Protocol, error: LLMGateError, body: bytes | None = None) -> None:
        """Tell the client what went wrong: as a status while nothing was sent, else as the terminal
        event of its dialect. ``body`` is an error body that the upstream wrote in that dialect."""
        if self.finished:
            return
        if self._is_whole:  # nothing but its rest may follow, and the client must not take a part for the whole
            await self.drop()
            return
        try:
            async with asyncio.timeout(FAIL_SECONDS):
                if self.opened:
                    event = protocol.error_event(error, self.request_id)
                    await self._put({"type": "http.response.body", "body": event, "more_body": False})
                    self.finished = True
                else:
                    message = body or protocol.error_body(error, self.request_id)
                    await self.answer(self._status_of(error), message, headers=_headers_of(error))
        except TimeoutError:
            await self.drop()

    def _status_of(self, error: LLMGateError) -> int:
        # Even a POST may be sent to another daemon after a 421 (RFC 9110, 15.5.20). Only of what never had its turn is
        # it certain that nothing was begun.
        if isinstance(error, Draining) and self.waited is None and header(self.scope, ELSEWHERE) is not None:
            return 421
        return error.status

    async def drop(self) -> None:
        """Let go of a client that is gone or takes nothing, and of what it has not taken."""
        self.finished = True
        abort = self.scope.get("extensions", {}).get(ABORT)
        if abort is not None:
            abort()
            await asyncio.sleep(0)  # the server learns of it before we return

    async def _open_stream(self, protocol: Protocol) -> None:
        extra = [
            (b"content-type", protocol.stream_type.encode("ascii")),
            (b"cache-control", b"no-cache, no-transform"),
            (b"x-accel-buffering", b"no"),
        ]
        await self._put({"type": "http.response.start", "status": 200, "headers": self._headers(extra)})
        self.opened = True
        self.status = 200

    def _headers(self, extra: list[Header]) -> list[Header]:
        headers = [(b"x-request-id", self.request_id.encode("ascii")), *extra, *self.extra]
        if self.level is not None:
            headers.append((b"x-llmgate-level", str(self.level).encode()))
        if self.clamped is not None:
            headers.append((b"x-llmgate-clamped", self.clamped.encode("ascii")))
        if self.waited is not None:
            headers.append((b"x-llmgate-wait-ms", str(round(1000 * self.waited)).encode()))
        return headers

    async def _put(self, message: Message) -> None:
        """Everything to the client goes through here: it may wait until the client takes what came before."""
        if self._stall is None and self._task is not None:  # else nobody would stop the timer
            self._watch_for_stall(-1)
        self._writing += 1
        try:
            await self._send(message)
        finally:
            self._written += 1

    def _watch_for_stall(self, seen: int) -> None:
        """One timer per stream, instead of one per chunk: a write that is still the same one when it
        fires again has waited for the client all that time."""
        if self._writing > self._written == seen:
            self.interrupt(ClientGone())
        else:
            loop = asyncio.get_running_loop()
            self._stall = loop.call_later(STALL_SECONDS, self._watch_for_stall, self._written)


def _headers_of(error: LLMGateError) -> list[Header]:
    """What an error says in headers."""
    headers: list[Header] = []
    if error.retry_after is not None:
        headers.append((b"retry-after", str(max(1, round(error.retry_after))).encode()))
    if error.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="llmgate"'))
    if error.status == 413 or isinstance(error, Draining):  # a proxy must not ask over this connection once more
        headers.append((b"connection", b"close"))
    return headers
