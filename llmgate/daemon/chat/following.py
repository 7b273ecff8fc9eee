"""Those who watch a turn.

A follower remembers what it has told of its turn, and tells what is new in as few frames as possible: the latest place
in the line, all new text in one piece. So nothing is buffered for a slow client, however slow; nothing is lost by it,
and nothing told twice. The frames that one follower tells are numbered without a gap: ``seq``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from llmgate.daemon.chat.dialect import problem_of
from llmgate.daemon.chat.turn import Mark, Turn
from llmgate.schemas.base import Answer
from llmgate.schemas.chat import Accepted, Done, Queued, Refused, Snapshot, Started, Thinking, Token, TurnFrame

PACE_SECONDS: Final = 0.03
"""New text that comes within this time is told in one piece: nobody reads faster."""


class Follower:
    """See the module. ``woken`` is called whenever there may be something to ``take``; it must not block.

    With ``snapshot`` it begins with all of the turn so far, else at the turn's beginning.
    """

    __slots__ = ("_needs_snapshot", "_seq", "_step", "_texts", "is_done", "turn", "woken")

    def __init__(self, turn: Turn, woken: Callable[[], None], *, snapshot: bool) -> None:
        self.turn = turn
        self.woken = woken
        self.is_done = False
        """The last frame of the turn was taken."""
        self._needs_snapshot = snapshot
        self._step = 0
        self._seq = 0
        self._texts = [0, 0]
        """How many characters of thinking and content were taken."""

    @property
    def turn_id(self) -> str:
        return self.turn.id

    def start_over(self) -> None:
        """Begin with a snapshot again: its client has lost the thread."""
        self._needs_snapshot = True
        self.is_done = False
        self.woken()

    def take(self) -> list[Answer]:
        """The frames since the last time, the oldest first."""
        turn = self.turn
        if self.is_done or not turn.settled.is_set():
            return []
        if turn.refusal is not None:
            self.is_done = True
            return [Refused(ref=turn.ref, error=problem_of(turn.refusal))]
        frames: list[Answer] = []
        if self._needs_snapshot:
            frames.append(self._snapshot())
        new = sorted((step, mark) for mark, step in turn.marks.items() if step > self._step)
        for _, mark in new:
            frame = self._frame(mark)
            if frame is not None:
                frames.append(frame)
        self._step = turn.step
        self.is_done = turn.ended is not None
        return frames

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def _snapshot(self) -> Snapshot:
        turn = self.turn
        self._needs_snapshot = False
        self._texts = [turn.thinking.length, turn.content.length]
        # Of an ended turn only the end is still to be told.
        self._step = turn.step if turn.ended is None else turn.step - 1
        place = turn.position
        return Snapshot(
            turn=turn.id,
            seq=self._next(),
            ref=turn.ref,
            conversation=turn.conversation,
            parent=turn.parent,
            message=turn.message,
            model=turn.model,
            state=turn.state,
            waited=turn.waited,
            ahead=place.ahead if place else None,
            estimated_wait=place.estimated_wait if place else None,
            loading=turn.granted is not None and turn.granted.loading and not turn.has_begun,
            thinking=str(turn.thinking),
            content=str(turn.content),
            notice=turn.notice.text if turn.notice else None,
        )

    def _frame(self, mark: Mark) -> TurnFrame | None:
        turn = self.turn
        match mark:
            case "accepted":
                self._texts[1] = turn.begins
                return Accepted(
                    turn=turn.id,
                    seq=self._next(),
                    ref=turn.ref,
                    conversation=turn.conversation,
                    user_message=turn.user_message,
                    message=turn.message,
                    parent=turn.parent,
                )
            case "place":
                return self._place()
            case "notice":
                return turn.notice.model_copy(update={"seq": self._next()}) if turn.notice else None
            case "thinking":
                return Thinking(turn=turn.id, text=self._new_text(0, str(turn.thinking)), seq=self._next())
            case "content":
                return Token(turn=turn.id, text=self._new_text(1, str(turn.content)), seq=self._next())
            case "done":
                return self._done()

    def _place(self) -> TurnFrame | None:
        turn, place = self.turn, self.turn.position
        if turn.granted is not None:
            return Started(turn=turn.id, seq=self._next(), waited=turn.granted.waited, loading=turn.granted.loading)
        if place is None:
            return None
        return Queued(
            turn=turn.id,
            seq=self._next(),
            ahead=place.ahead,
            level=place.level,
            submitted_level=place.submitted_level,
            aged=place.aged,
            waited=place.waited,
            estimated_wait=place.estimated_wait,
        )

    def _new_text(self, which: int, text: str) -> str:
        told, self._texts[which] = self._texts[which], len(text)
        return text[told:]

    def _done(self) -> Done | None:
        turn, ended = self.turn, self.turn.ended
        if ended is None:
            return None
        return Done(
            turn=turn.id,
            seq=self._next(),
            outcome=ended.outcome,
            message=ended.message,
            error=ended.error,
            usage=ended.usage,
        )


async def rest(told: Iterable[Answer]) -> None:
    """Behind a piece of text, wait for more of it."""
    if any(isinstance(frame, Thinking | Token) for frame in told):
        await asyncio.sleep(PACE_SECONDS)
