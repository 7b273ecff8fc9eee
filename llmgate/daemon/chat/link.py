"""What passes between the daemon of a turn and another one where somebody follows it, over a ``Channel``:

    follower → turn    {"turn", "user"}                      first of all
                       {"do": "stop"} | {"do": "bye"}        end the turn; the follower goes for good
    turn → follower    {"frame"}                             one frame of the turn, a snapshot first
                       {"end"}                               there is no such turn, or there is nothing more of it
    both               {}                                    every so often: still here

A connection that breaks, or is silent for too long, is a follower who was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from pydantic import TypeAdapter, ValidationError

from llmgate.daemon.chat.channel import Channel, ChannelLost
from llmgate.schemas.base import Answer
from llmgate.schemas.chat import Done, Gone, Refused, ServerFrame

SILENT_SECONDS: Final = 30.0
"""A connection over which nothing came for so long is broken."""
BYE_SECONDS: Final = 2.0
"""Longest wait until a good-bye is heard."""
KEPT: Final = 32
"""Frames that a link keeps until they are taken."""
_FRAME: TypeAdapter[Answer] = TypeAdapter(ServerFrame)


class Link:
    """Follows a turn of another daemon, and is to be used like a ``Follower`` that begins with a snapshot.

    The last frame is ``gone`` when the connection breaks, or the turn ends in any other way than with ``done``. While
    many frames were not taken no more are read: the turn's daemon notices that, and tells less often.
    """

    def __init__(
        self, turn_id: str, channel: Channel, woken: Callable[[], None], closed: Callable[[Link], None]
    ) -> None:
        self.turn_id = turn_id
        self.woken = woken
        self.is_done = False
        """The last frame was taken."""
        self._channel = channel
        self._frames: list[Answer] = []
        self._is_whole = self._has_left = False
        self._room = asyncio.Event()
        self._reading = asyncio.create_task(self._read())
        self._reading.add_done_callback(lambda _: channel.close())  # it may be cancelled before it begins
        self._reading.add_done_callback(lambda _: closed(self))

    def take(self) -> list[Answer]:
        """The frames since the last time."""
        frames, self._frames = self._frames, []
        self._room.set()
        self.is_done = self._is_whole
        return frames

    def stop(self) -> None:
        """End the turn."""
        self._channel.put({"do": "stop"})

    def leave(self, *, bye: bool) -> None:
        """Follow no more. ``bye``: its client has said so; else it was lost. Harmless twice."""
        if bye and not self._reading.done():
            # Closed at once, with frames still on their way, the connection would be reset, and the good-bye with it.
            self._channel.put({"do": "bye"})
            self._has_left = True
            self._room.set()
            asyncio.get_running_loop().call_later(BYE_SECONDS, self._reading.cancel)
        else:
            self._reading.cancel()

    async def left(self) -> None:
        """Wait until nothing of it is left."""
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while not self._is_whole and "end" not in (told := await self._channel.receive(SILENT_SECONDS)):
                if "frame" in told:
                    await self._keep(_FRAME.validate_python(told["frame"]))
                else:
                    self._channel.put({})
        except (ChannelLost, ValidationError):
            pass
        finally:
            self._channel.close()
        if not self._is_whole:
            self._is_whole = True
            await self._keep(Gone(turn=self.turn_id))

    async def _keep(self, frame: Answer) -> None:
        """Until it is taken; wait while there are many."""
        if self._has_left:
            return
        self._is_whole = self._is_whole or isinstance(frame, Done | Refused)
        self._frames.append(frame)
        self.woken()
        while len(self._frames) >= KEPT and not self._has_left:
            self._room.clear()
            await self._room.wait()
