"""The one listener to the daemon's events: it feeds every screen, and never more than once a second."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import aclosing

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.errors import AuthenticationFailed, GatewayBusy, LLMGateError, PermissionDenied
from llmgate.tui.messages import EventsArrived, LoginNeeded, StatsArrived, StreamBroken, StreamOpened, Told

KEPT = 500
"""Events of one second that are passed on; the oldest of more are only counted."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
"""Seconds before a daemon that cannot be reached is tried again: twice as long each time."""

Tell = Callable[[Told], object]


class Feed:
    """Events gathered into messages: those of a second together, when the daemon tells its figures of that second."""

    def __init__(self, client: AdminClient, tell: Tell) -> None:
        self._client, self._tell = client, tell
        self._events: deque[schemas.FeedEvent] = deque(maxlen=KEPT)
        self._lost = 0
        self._open = False
        self._farewell: LLMGateError | None = None

    async def run(self) -> None:
        """Listen until cancelled. Ends by itself only when there is no use: without a valid credential, or the right
        to listen."""
        pause = FIRST_PAUSE
        while True:
            try:
                await self._listen()
                reason: LLMGateError = LLMGateError("The daemon ended the stream.")
            except (AuthenticationFailed, PermissionDenied) as refused:
                self._say(LoginNeeded(refused))
                return
            except LLMGateError as failure:
                reason = failure
            if self._open:
                pause = FIRST_PAUSE
            self._broken(reason)
            await asyncio.sleep(min(max(pause, reason.retry_after or 0.0), LONGEST_PAUSE))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _listen(self) -> None:
        listening = self._client.events.listen(on_break=self._broken, longest_pause=LONGEST_PAUSE)
        async with aclosing(listening) as events:
            async for event in events:
                if isinstance(event, schemas.EndEvent):
                    self._farewell = GatewayBusy(event.message)
                    continue
                if not self._open:
                    self._open, self._farewell = True, None
                    self._say(StreamOpened())
                self._take(event)

    def _take(self, event: schemas.FeedEvent) -> None:
        if isinstance(event, schemas.StatsEvent):
            if self._events or self._lost:
                self._say(EventsArrived(tuple(self._events), self._lost))
                self._events.clear()
                self._lost = 0
            self._say(StatsArrived(event))
        elif isinstance(event, schemas.LostEvent):
            self._lost += event.count
        else:
            self._lost += len(self._events) == KEPT
            self._events.append(event)

    def _broken(self, reason: LLMGateError) -> None:
        """Between two streams. What the daemon has said at the end of one tells more than that it ended."""
        self._open = False
        farewell, self._farewell = self._farewell, None
        self._say(StreamBroken(farewell or reason))

    def _say(self, message: Told) -> None:
        message.source = self._client
        self._tell(message)
