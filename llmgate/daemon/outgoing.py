"""The answers of our own APIs on their way out: they end with a client that takes nothing, and one that takes long ends
when its caller loses the right to it.

This holds for every route, so that none has to think of it. An answer that goes out in one piece is not touched by a
revocation: who revokes itself must still be told that this was done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, cast

import structlog
from starlette.types import Message, Scope, Send

from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.budget import SLICE_BYTES, last_slice
from llmgate.daemon.http import ABORT
from llmgate.daemon.open_answers import OpenAnswer, OpenAnswers
from llmgate.errors import LLMGateError

GRACE_SECONDS: Final = 2.0
"""So long an answer that can say why it ends may take to say so; then its connection is cut."""
STALL_SECONDS: Final = 60.0
"""A client that takes nothing for so long is treated as gone. One that takes some KiB a second has taken something."""

_KEY: Final = "outgoing"

Judge = Callable[[Principal], Awaitable[object]]
"""Whether a principal may use these routes at all. Raises PermissionDenied."""


async def anybody(_: Principal) -> None:
    """The judge of routes that everybody may use who is known."""


class Outgoing:
    """See the module: one answer."""

    def __init__(self, scope: Scope, send: Send, answers: OpenAnswers, judge: Judge, request_id: str) -> None:
        scope["state"][_KEY] = self
        self._scope = scope
        self._send = send
        self._answers = answers
        self._judge = judge
        self._request_id = request_id
        self._entry: OpenAnswer | None = None
        self._is_long = self._is_whole = self._is_cut = False
        self._refusal: LLMGateError | None = None
        self._farewell: Callable[[LLMGateError], None] | None = None
        self._grace: asyncio.TimerHandle | None = None
        self.has_begun = False
        """Whether its head was sent."""

    def belongs_to(self, principal: Principal, again: Callable[[], Awaitable[Principal]]) -> None:
        """It is for ``principal``; ``again`` asks anew who that is, and raises as the authenticator does."""

        async def judge() -> None:
            await self._judge(await again())

        if self._entry is None:
            self._entry = OpenAnswer(self._request_id, principal, judge, self._end)
            self._answers.enter(self._entry)

    def over(self) -> None:
        """It has been sent, or given up. Its connection may be somebody else's by now."""
        self._is_whole = True
        if self._grace is not None:
            self._grace.cancel()
        if self._entry is not None:
            self._answers.leave(self._entry)
            self._entry = None  # it holds on to us
        self._farewell = None
        del self._scope["state"][_KEY]

    async def send(self, message: Message) -> None:
        """Pass it on, a large body in slices. When nothing is taken the client is hung up on, and what is sent after
        that goes nowhere, as with every client that has left."""
        if self._is_cut:
            await asyncio.sleep(0)  # whoever sends gets no rest here any more, and all others have to have theirs
            return
        body: bytes = message.get("body", b"")
        last = last_slice(len(body))
        self.has_begun = True
        if message.get("more_body", False) or last:
            self._lasts()
        try:
            for begin in range(0, last, SLICE_BYTES):
                async with asyncio.timeout(STALL_SECONDS):
                    await self._send({**message, "body": body[begin : begin + SLICE_BYTES], "more_body": True})
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                self._is_whole = True  # with its last piece the connection may begin with its next request
            async with asyncio.timeout(STALL_SECONDS):
                await self._send({**message, "body": body[last:]} if last else message)
        except TimeoutError:
            await self.hang_up("nothing was taken")

    async def hang_up(self, reason: str) -> None:
        """Drop the connection: the client must not take a part for the whole."""
        self._abort(reason)
        await asyncio.sleep(0)  # the server learns of it before we return

    def says_why(self, farewell: Callable[[LLMGateError], None]) -> None:
        """Instead of being cut at once the answer is told why it has to end, and ends itself."""
        self._farewell = farewell

    def _lasts(self) -> None:
        if not self._is_long:
            self._is_long = True
            if self._refusal is not None:  # while it was made
                self._cut(self._refusal)

    def _end(self, refusal: LLMGateError) -> None:
        if self._refusal is None and not self._is_whole:
            self._refusal = refusal
            if self._is_long:
                self._cut(refusal)

    def _cut(self, refusal: LLMGateError) -> None:
        if self._farewell is None:
            self._abort(refusal.code)
        else:
            self._grace = asyncio.get_running_loop().call_later(GRACE_SECONDS, self._lose_patience, refusal.code)
            self._farewell(refusal)

    def _lose_patience(self, reason: str) -> None:
        if not self._is_whole:
            self._abort(reason)

    def _abort(self, reason: str) -> None:
        self._is_cut = True
        log = structlog.get_logger("llmgate.admin")
        log.warning("answer_cut", request_id=self._request_id, path=self._scope["path"], reason=reason)
        self._scope["extensions"][ABORT]()


def outgoing_of(scope: Scope) -> Outgoing:
    """The answer to this request."""
    return cast("Outgoing", scope["state"][_KEY])
