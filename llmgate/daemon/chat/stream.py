"""A turn over plain HTTP, for clients that have no WebSocket: its frames as lines of JSON, to the last one."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.chat.chat import Chat
from llmgate.daemon.chat.connections import MOST_CONNECTIONS, SESSION_OVER
from llmgate.daemon.chat.following import Follower, rest
from llmgate.daemon.chat.link import Link
from llmgate.daemon.outgoing import outgoing_of
from llmgate.errors import NotFound, TooManyConcurrent
from llmgate.schemas.base import Answer
from llmgate.schemas.chat import Start

BLANK_SECONDS: Final = 5.0
"""A silent stream gets an empty line so often: proxies end connections on which nothing comes."""
HEADERS: Final = {"cache-control": "no-store, no-transform", "x-accel-buffering": "no"}


class TurnStream(Response):
    """See the module. It counts as one of its user's connections from the moment that it is made."""

    media_type = "application/x-ndjson"

    def __init__(self, chat: Chat, caller: Principal) -> None:
        """Raises TooManyConcurrent."""
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self.user_id = caller.id
        self.session_id = caller.session_id or ""
        self._chat = chat
        self._caller = caller
        self._follower: Follower | Link | None = None
        self._loose: list[Answer] = []
        self._news = asyncio.Event()
        self._closing: int | None = None
        if not chat.connections.enter(self):
            raise TooManyConcurrent(f"You follow {MOST_CONNECTIONS} chats at once.", hint="Close one of them.")

    # -- whose frames ------------------------------------------------------------------------

    async def start(self, start: Start) -> TurnStream:
        """Begin a turn. Raises what refuses it."""
        try:
            follower = self._follower = await self._chat.begin(self._caller, start, self._news.set)
            if isinstance(follower, Follower):
                await follower.turn.settled.wait()
                if follower.turn.refusal is not None:
                    raise follower.turn.refusal
        except BaseException:
            self._let_go()
            raise
        return self

    async def attach(self, turn_id: str) -> TurnStream:
        """Follow a turn. Raises NotFound."""
        try:
            self._follower = await self._chat.attach(self.user_id, turn_id, self._news.set)
            if self._follower is None:
                raise NotFound("You have no such turn (any more).", hint="Read the conversation again.")
        except BaseException:
            self._let_go()
            raise
        return self

    def put(self, frame: Answer) -> None:
        self._loose.append(frame)
        self._news.set()

    def close(self, code: int) -> None:
        """At once when its session is over, else behind what there is to tell at this moment."""
        self._closing = code
        self._news.set()

    def _let_go(self) -> None:
        self._chat.connections.leave(self)
        if self._follower is not None:
            self._chat.leave(self._follower, bye=False)

    # -- telling them ------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # It ends with its session, like every connection to the chat: what is too slow for that is cut.
        outgoing_of(scope).says_why(lambda _: self.close(SESSION_OVER))
        work = {asyncio.create_task(self._write(send)), asyncio.create_task(_gone(receive))}
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._let_go()
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        for task in done:
            task.result()

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        while (closing := self._closing) != SESSION_OVER:
            frames = self._take()
            for frame in frames:
                await _lines(send, frame.model_dump_json().encode() + b"\n")
            if closing is not None or self._follower is None or self._follower.is_done:
                break
            await rest(frames)
            if not frames and not await self._has_news():
                await _lines(send, b"\n")
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _take(self) -> list[Answer]:
        self._news.clear()
        loose, self._loose = self._loose, []
        return [*loose, *(self._follower.take() if self._follower is not None else ())]

    async def _has_news(self) -> bool:
        try:
            async with asyncio.timeout(BLANK_SECONDS):
                await self._news.wait()
        except TimeoutError:
            return False
        return True


async def _lines(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
