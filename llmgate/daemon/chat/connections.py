"""Everybody who is connected to the chat: how many of one user, and how long their sessions let them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Final, Protocol

import structlog

from llmgate.errors import StoreUnavailable
from llmgate.schemas.base import Answer

MOST_CONNECTIONS: Final = 20
"""Sockets and streams of one user that are open at once."""
LOOK_SECONDS: Final = 4.0
"""So often it is asked whether the sessions of all who are connected still live. One that was ended by this daemon, or
by one that can tell it, is looked for at once."""
RETRY_SECONDS: Final = 1.0

SESSION_OVER, FOREIGN_PAGE, TOO_SLOW, TOO_MANY, GOING_AWAY, BAD_FRAMES = 4401, 4403, 4408, 4429, 1001, 1008
"""With what a socket is closed."""

Alive = Callable[[Collection[str]], Awaitable[set[str]]]
"""Which of these sessions are good at this moment. Raises StoreUnavailable."""


class Connection(Protocol):
    """A socket, or a stream over plain HTTP."""

    @property
    def user_id(self) -> str: ...
    @property
    def session_id(self) -> str: ...

    def put(self, frame: Answer) -> None:
        """Tell its client something that belongs to no turn."""

    def close(self, code: int) -> None:
        """End it soon, for this reason. Must not block."""


class Connections:
    """See the module. ``ended`` is told of every session that somebody was connected with and that is over."""

    def __init__(self, alive: Alive, ended: Callable[[str], None]) -> None:
        self._alive = alive
        self._ended = ended
        self._of_user: dict[str, set[Connection]] = {}
        self._news = asyncio.Event()
        self._left = asyncio.Event()
        self._log = structlog.get_logger("llmgate.chat")

    def __len__(self) -> int:
        return sum(len(those) for those in self._of_user.values())

    def enter(self, connection: Connection) -> bool:
        """False when its user has too many already."""
        those = self._of_user.setdefault(connection.user_id, set())
        if len(those) >= MOST_CONNECTIONS:
            return False
        those.add(connection)
        return True

    def leave(self, connection: Connection) -> None:
        those = self._of_user.get(connection.user_id)
        if those is not None:
            those.discard(connection)
            if not those:
                del self._of_user[connection.user_id]
        self._left.set()

    def is_here(self, user_id: str) -> bool:
        """Whether the user is connected at all."""
        return user_id in self._of_user

    def tell(self, user_id: str, frame: Answer) -> None:
        """Tell all of a user's connections."""
        for connection in list(self._of_user.get(user_id, ())):
            connection.put(frame)

    def look(self) -> None:
        """Somebody's rights have changed."""
        self._news.set()

    async def run(self) -> None:
        """Close those whose sessions have ended. Until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._news.wait()
            self._news.clear()
            try:
                await self._check()
            except StoreUnavailable as failure:
                self._log.warning("sessions_not_checked", reason=failure.message)
                await asyncio.sleep(RETRY_SECONDS)
                self._news.set()

    async def _check(self) -> None:
        sessions = {one.session_id for those in self._of_user.values() for one in those}
        if not sessions:
            return
        over = sessions - await self._alive(sessions)
        for session_id in over:
            self._ended(session_id)
        for one in [one for those in self._of_user.values() for one in those if one.session_id in over]:
            one.close(SESSION_OVER)

    async def close(self, seconds: float) -> None:
        """End all of them, and wait for that so long: the daemon shuts down."""
        for one in [one for those in self._of_user.values() for one in those]:
            one.close(GOING_AWAY)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._of_user:
                    self._left.clear()
                    await self._left.wait()
