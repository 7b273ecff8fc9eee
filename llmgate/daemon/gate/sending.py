"""Answers that may be large, to clients that may be slow: nobody fills the gateway's memory by not taking them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from llmgate.daemon.admin.dependencies import Daemon, Person
from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.budget import BodyBudget
from llmgate.daemon.http import ABORT

STALL_SECONDS: Final = 60.0
"""A client that takes nothing for so long is treated as gone."""
SLICE_BYTES: Final = 64 * 1024
"""So much is handed over at once: the next waits until the client has taken most of what came before."""


async def reading(daemon: Daemon, caller: Person) -> AsyncIterator[None]:
    """For routes whose answer is large: counts it from before it is read until it was sent. Raises
    TooManyConcurrent."""
    with daemon.reads.one(caller.owner):
        yield


@contextmanager
def held(bodies: BodyBudget, owner: str, size: int) -> Iterator[None]:
    """Within this block so many bytes count as memory of this owner, but never more than it may have: one at a time
    is always possible. Raises LimitExceeded, or QueueFull."""
    key = object()
    bodies.reservation(key, owner)(min(size, bodies.share))
    try:
        yield
    finally:
        bodies.forget(key)


async def in_time(send: Send, message: Message) -> None:
    """Send it, its body in slices. Raises TimeoutError when the client takes nothing, however slow it may be."""
    body: bytes = message.get("body", b"")
    last = max(0, len(body) - 1) // SLICE_BYTES * SLICE_BYTES
    for begin in range(0, last, SLICE_BYTES):
        async with asyncio.timeout(STALL_SECONDS):
            await send({**message, "body": body[begin : begin + SLICE_BYTES], "more_body": True})
    async with asyncio.timeout(STALL_SECONDS):
        await send({**message, "body": body[last:]} if last else message)


async def cut(scope: Scope) -> None:
    """Drop the connection: the client must not take a part for the whole."""
    scope["extensions"][ABORT]()
    await asyncio.sleep(0)  # the server learns of it before we return


class Large(Response):
    """A whole answer. It counts as its reader's memory until it was taken."""

    def __init__(
        self, bodies: BodyBudget, reader: Principal, content: bytes, media_type: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(content, headers=headers, media_type=media_type)
        self._bodies = bodies
        self._owner = reader.owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises LimitExceeded, or QueueFull, before anything is sent."""
        body = bytes(self.body)
        with held(self._bodies, self._owner, len(body)):
            try:
                await in_time(send, {"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await in_time(send, {"type": "http.response.body", "body": body, "more_body": True})
                await in_time(send, {"type": "http.response.body", "body": b"", "more_body": False})
            except TimeoutError:
                await cut(scope)
