"""Where waiting turns stand: one look at the line for all turns of the daemon, at most once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from llmgate.daemon.chat.turn import Turn
from llmgate.daemon.clock import monotonic
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.daemon.queue.ticket import Position, Ticket
from llmgate.daemon.queue.wanted import Wanted
from llmgate.errors import LLMGateError

LOOK_SECONDS: Final = 1.0
OTHERS: Final = 500
"""What else the owners of waiting turns may have in the line, beside the turns."""
DRIFT_SECONDS: Final = 2.0
DRIFT_SHARE: Final = 0.2
"""An estimate is told again when it is wrong by more than this, and by more than this share of what is left."""


@dataclass(slots=True)
class _Waiting:
    turn: Turn
    owner: str
    looked_at: float = float("-inf")
    told: Position | None = None
    told_at: float = 0.0


class Positions:
    """See the module. ``clock`` counts seconds."""

    def __init__(self, queue: QueueManagerInterface, *, clock: Callable[[], float] = monotonic) -> None:
        self._queue = queue
        self._clock = clock
        self._waiting: dict[str, _Waiting] = {}
        self._news = asyncio.Event()
        self._log = structlog.get_logger("llmgate.chat")

    def add(self, ticket: Ticket, turn: Turn) -> None:
        """The turn waits from now on, and is told its place at once."""
        self._waiting[ticket.id] = _Waiting(turn, ticket.owner)
        self._news.set()

    def drop(self, turn: Turn) -> None:
        """It does not wait (any more)."""
        for ticket_id in [ticket_id for ticket_id, one in self._waiting.items() if one.turn is turn]:
            del self._waiting[ticket_id]

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                await self._look()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._news.wait()
                self._news.clear()

    async def _look(self) -> None:
        due = self._clock() - LOOK_SECONDS * 0.95
        asked = {ticket_id: one for ticket_id, one in self._waiting.items() if one.looked_at <= due}
        if not asked:
            return
        owners = frozenset(one.owner for one in asked.values())
        try:
            found: Sequence[Position] = await self._queue.waiting(Wanted(owners=owners), len(asked) + OTHERS)
        except LLMGateError as failure:
            self._log.warning("positions_unknown", reason=failure.message)
            return
        now = self._clock()
        for position in found:
            one = asked.get(position.ticket_id)
            # It may have had its turn while the line was asked.
            if one is None or self._waiting.get(position.ticket_id) is not one:
                continue
            one.looked_at = now
            if is_news(one.told, now - one.told_at, position):
                one.told, one.told_at = position, now
                one.turn.stand(position)


def is_news(told: Position | None, seconds: float, now: Position) -> bool:
    """Whether ``now`` says more than ``told``, which was so many seconds ago, and a clock."""
    if told is None or (told.ahead, told.level, told.aged) != (now.ahead, now.level, now.aged):
        return True
    if told.estimated_wait is None or now.estimated_wait is None:
        return told.estimated_wait is not now.estimated_wait
    expected = max(0.0, told.estimated_wait - seconds)
    drift = abs(now.estimated_wait - expected)
    return drift > DRIFT_SECONDS and drift > DRIFT_SHARE * expected
