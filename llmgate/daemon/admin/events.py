"""The live stream of what happens, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llmgate import schemas
from llmgate.daemon.admin.answers import raises
from llmgate.daemon.admin.dependencies import Daemon, admin
from llmgate.daemon.feed.feed import Feed
from llmgate.daemon.feed.follower import Follower
from llmgate.daemon.outgoing import outgoing_of
from llmgate.daemon.services import Services
from llmgate.errors import Draining, InvalidRequest, LimitExceeded, LLMGateError

KEEP_ALIVE_SECONDS = 10.0
"""A silent stream gets a comment so often: proxies end connections on which nothing comes."""
CHECK_SECONDS = 0.5
"""So often it is asked whether the caller may still follow."""
FAREWELL_SECONDS = 0.5
"""Longest wait for a client to take the news that the stream ends."""
RETRY_MS = 2000

router = APIRouter(tags=["events"])

_HEADERS = {"cache-control": "no-store, no-transform", "x-accel-buffering": "no"}
_TYPES = get_args(schemas.EventType)


class EventStream(Response):
    """A stream that ends with the client, with the caller's rights, or with the daemon."""

    media_type = "text/event-stream"

    def __init__(self, feed: Feed, follower: Follower, may_follow: Callable[[], Awaitable[object]]) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._feed = feed
        self._follower = follower
        self._may_follow = may_follow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        outgoing_of(scope).says_why(_knows_already)
        work = {
            asyncio.create_task(self._write(send)),
            asyncio.create_task(_gone(receive)),
            asyncio.create_task(self._revoked()),
            asyncio.create_task(self._shut()),
        }
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            ends = [task.result() for task in done]
        finally:
            self._feed.leave(self._follower)
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        reason = next((end for end in ends if isinstance(end, LLMGateError)), None)
        await self._farewell(send, reason, scope)

    async def _write(self, send: Send) -> None:
        """Send what there is, for as long as there is somebody."""
        feed, follower = self._feed, self._follower
        first = b"retry: %d\n" % RETRY_MS + feed.place()
        if follower.is_reset:
            first += feed.note("reset")
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await _body(send, first)
        while True:
            if not await follower.news(KEEP_ALIVE_SECONDS):
                await _body(send, b": still here\n\n")
                continue
            lost, frames = follower.take()
            told = [feed.note("lost", count=lost)] if lost else []
            await _body(send, b"".join([*told, *(frame.wire for frame in frames)]))

    async def _revoked(self) -> LLMGateError:
        """Returns when the caller may not follow any more, or nobody can tell whether it may."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self._may_follow()
            except LLMGateError as refusal:
                return refusal

    async def _shut(self) -> LLMGateError:
        await self._follower.ended.wait()
        return Draining("The gateway is shutting down.")

    async def _farewell(self, send: Send, reason: LLMGateError | None, scope: Scope) -> None:
        """Say why it ends; a client that does not listen is hung up on."""
        last = self._feed.note("end", code=reason.code, message=reason.message) if reason else b""
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                await _body(send, last, more=False)
        except TimeoutError:
            await outgoing_of(scope).hang_up(reason.code if reason else "nothing was taken")


def _knows_already(_: LLMGateError) -> None:
    """It asks by itself, and more often, since it also ends with what has expired."""


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "model": schemas.AnyEvent,
        "description": "Server-sent events: `event` is the `type` of the object in `data`, `id` the place to go on "
        "from with `Last-Event-ID`. Without end, until one side hangs up.",
        "headers": {
            "Cache-Control": {"required": True, "schema": {"type": "string", "const": _HEADERS["cache-control"]}}
        },
    },
    **raises(LimitExceeded, Draining),
}


@router.get("/events", status_code=200, response_class=EventStream, responses=_ANSWER)
async def watch(
    daemon: Daemon,
    request: Request,
    types: Annotated[
        str | None,
        Query(max_length=200, description=f"Only these, with commas between them: {', '.join(_TYPES)}."),
    ] = None,
    last_event_id: Annotated[str | None, Header(max_length=100, description="Go on behind this event.")] = None,
) -> EventStream:
    """Follow what happens, in all daemons, as it happens.

    ``lost`` tells that events were dropped because the client was slow, ``reset`` that the stream could not go on
    behind ``Last-Event-ID``, ``end`` why the daemon ends the stream.
    """
    follower = daemon.observers.feed.follow(_wanted(types), last_event_id)
    return EventStream(daemon.observers.feed, follower, lambda: _still_admin(daemon, request))


async def _still_admin(daemon: Services, request: Request) -> None:
    address = daemon.client_address(request.scope)
    await admin(await daemon.authenticator.authenticate(request.headers.raw, address=address, method="GET"))


def _wanted(types: str | None) -> frozenset[str] | None:
    if types is None:
        return None
    wanted = {name.strip() for name in types.split(",")} - {""}
    unknown = sorted(wanted.difference(_TYPES))
    if unknown or not wanted:
        raise InvalidRequest(
            f"There are no events of the type {unknown[0][:64]!r}." if unknown else "No type is named.",
            hint=f"Known are: {', '.join(_TYPES)}.",
            param="types",
        )
    return frozenset(wanted)
