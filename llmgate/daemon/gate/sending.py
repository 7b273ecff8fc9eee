"""Answers that may be large, to clients that may be slow: nobody fills the gateway's memory by not taking them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llmgate.daemon.admin.dependencies import Daemon, Person
from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.budget import BodyBudget, held


async def reading(daemon: Daemon, caller: Person) -> AsyncIterator[None]:
    """For routes whose answer is large: counts it from before it is read until it was sent. Raises
    TooManyConcurrent."""
    with daemon.reads.one(caller.owner):
        yield


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
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": body, "more_body": True})
            # It comes up to here when nearly all of it was taken.
            await send({"type": "http.response.body", "body": b"", "more_body": False})
