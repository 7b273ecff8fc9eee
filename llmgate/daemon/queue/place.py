"""One request's place in the waiting room."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from llmgate.daemon.queue.flows import DEAD
from llmgate.daemon.queue.interface import Place
from llmgate.daemon.queue.ticket import Grant, Ticket
from llmgate.errors import Conflict, LLMGateError

if TYPE_CHECKING:
    from llmgate.daemon.queue.room import WaitingRoom


Wait = Callable[["asyncio.Future[None]", float | None], Awaitable[object]]


async def wait_until(done: asyncio.Future[None], timeout: float | None) -> None:
    """Wait until ``done`` has a result, at most ``timeout`` seconds. Cancelling this leaves ``done`` alone."""
    await asyncio.wait([done], timeout=timeout)


class RoomPlace(Place):
    """A place in a WaitingRoom. ``stamp`` is DEAD as soon as it does not wait any more."""

    __slots__ = ("_end", "_room", "_taken", "_ticket", "_waiter", "seq", "stamp")

    def __init__(self, room: WaitingRoom, ticket: Ticket, stamp: int) -> None:
        self._room = room
        self._ticket = ticket
        self._end: Grant | LLMGateError | None = None
        self._taken = False
        self._waiter: asyncio.Future[None] | None = None
        self.stamp = stamp
        self.seq = 0
        """How often its ticket has been written anew; a grant for an older one is void."""

    @property
    def ticket(self) -> Ticket:
        return self._ticket

    async def granted(self, timeout: float | None = None) -> Grant:
        if self._end is None:
            if self._waiter is None:
                self._waiter = asyncio.get_running_loop().create_future()
            await self._room.wait(self._waiter, timeout)
        if self._end is None:
            raise TimeoutError
        if isinstance(self._end, LLMGateError):
            raise self._end
        self._taken = True
        return self._end

    def leave(self) -> None:
        handed_out = self._end
        if handed_out is None:
            self._room.give_up(self)
        elif isinstance(handed_out, LLMGateError) or self._taken:
            return
        self.end(Conflict("This place in line has been given up."))
        if isinstance(handed_out, Grant):
            self._room.abandon(handed_out)

    def end(self, end: Grant | LLMGateError) -> None:
        """The wait is over."""
        self.stamp = DEAD
        self._end = end
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
