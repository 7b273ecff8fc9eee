"""The live stream of events, as the client sees it: it goes on where it was cut off."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import cast, get_args

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError
from pydantic import TypeAdapter, ValidationError

from llmgate import schemas
from llmgate.connection import LINE_BYTES, Connection, raise_for_status
from llmgate.errors import DaemonUnreachable, LimitExceeded, LLMGateError, RequestError

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Before a broken stream is opened again, in seconds: twice as long each time, until an event has come."""

SILENCE = 30.0
"""A stream that tells nothing for so long, not even that it is still there, is broken."""

_PATH = "/admin/v1/events"
_EVENT_ENDS = ("\n\n", "\r\n\r\n", "\r\r")


@functools.cache
def _any_event() -> TypeAdapter[schemas.AnyEvent]:
    """Made when it is needed: most commands listen to nothing."""
    return TypeAdapter(schemas.AnyEvent)


class Events:
    """The noun ``events``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def listen(
        self,
        types: Sequence[str] | None = None,
        *,
        on_break: Callable[[LLMGateError], None] = lambda _: None,
        longest_pause: float | None = None,
    ) -> AsyncGenerator[schemas.FeedEvent, None]:
        """What happens, as it happens, without end: close it, best with ``contextlib.aclosing``.

        ``types`` are names of ``schemas.EventType``; None: all. Whatever is asked for, a ``lost`` or ``reset`` event
        tells that there is a gap, and an ``end`` event why the daemon ends a stream. A stream that breaks is opened
        again, behind the last event that came; ``on_break`` is told why. The pause before that is ten seconds at most,
        or as long as the daemon wants it, but never longer than ``longest_pause`` seconds. Raises what the first
        attempt has raised, and later what will not pass by itself: a RequestError other than LimitExceeded.
        """
        place = _Place(types)
        pause = FIRST_PAUSE
        reached = False
        while True:
            try:
                async with aclosing(self._once(place)) as stream:
                    async for event in stream:
                        reached, pause = True, FIRST_PAUSE
                        if event is not None:
                            yield event
                failure: LLMGateError = DaemonUnreachable(f"{self._connection.url} ended the stream.")
            except LLMGateError as reason:
                passes = isinstance(reason, LimitExceeded) or not isinstance(reason, RequestError)
                if not (reached and passes):
                    raise
                failure = reason
            on_break(failure)
            wait = max(pause, failure.retry_after or 0.0) * random.uniform(0.7, 1.3)  # noqa: S311 - spreads load
            await asyncio.sleep(wait if longest_pause is None else min(wait, longest_pause))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _once(self, place: _Place) -> AsyncGenerator[schemas.FeedEvent | None, None]:
        """One stream, from its beginning to its end. The first item is None: it is open."""
        headers = {"accept": "text/event-stream", **place.headers()}
        async with self._connection.stream("GET", _PATH, None, headers, place.query(), silence=SILENCE) as response:
            await raise_for_status(response)
            yield None
            source = EventSource(cast("httpx.Response", _Bounded(response)))
            try:
                async with aclosing(source.aiter_sse()) as stream:
                    async for sent in stream:
                        place.last_id = sent.id or place.last_id
                        if sent.data:
                            yield self._read(sent)
            except SSEError:
                raise DaemonUnreachable(
                    f"{self._connection.url} answered something else than a stream of events.", hint="Is the URL right?"
                ) from None

    def _read(self, sent: ServerSentEvent) -> schemas.FeedEvent:
        """An event of a newer daemon is one of which only little is known. One of a known type that is not as it is
        known here is of a type of its own: whoever knows the type relies on its fields."""
        with self._connection.readable():
            try:
                return cast("schemas.FeedEvent", _any_event().validate_json(sent.data))
            except ValidationError:
                event = schemas.FeedEvent.model_validate_json(sent.data)
                known = event.type in (*get_args(schemas.EventType), "lost", "reset", "end")
                return event.model_copy(update={"type": f"unknown:{event.type}"}) if known else event


class _Place:
    """What is listened to, and how far."""

    def __init__(self, types: Sequence[str] | None) -> None:
        self.last_id: str | None = None
        self._types = types

    def headers(self) -> dict[str, str]:
        return {"last-event-id": self.last_id} if self.last_id else {}

    def query(self) -> dict[str, str]:
        return {} if self._types is None else {"types": ",".join(self._types)}


class _Bounded:
    """A response of which no line, and no event of many lines, may be without end."""

    def __init__(self, response: httpx.Response) -> None:
        self.headers = response.headers
        self._response = response

    async def aiter_text(self) -> AsyncGenerator[str, None]:
        size, kept = 0, ""
        async for text in self._response.aiter_text():
            # An empty line ends an event; it may stand where two pieces meet.
            ends = [at for at in ((kept + text).rfind(end) for end in _EVENT_ENDS) if at >= 0]
            size = len(kept) + len(text) - max(ends) if ends else size + len(text)
            kept = (kept + text)[-3:]
            if size > LINE_BYTES:
                raise DaemonUnreachable("The stream holds a line or an event that is too long.")
            yield text
