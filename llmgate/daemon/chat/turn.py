"""One turn: a question to the model and its answer, as they are at this moment.

A turn belongs to the daemon, and not to those who watch it. What happens to it is noted here, and its followers
(``following.py``) are woken: each of them tells its client what is new since it looked last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from llmgate.daemon.clock import monotonic
from llmgate.daemon.ids import new_id
from llmgate.daemon.queue.ticket import Position
from llmgate.errors import LLMGateError
from llmgate.schemas.chat import Notice, RunningTurn, Start, TurnState, TurnUsage
from llmgate.schemas.conversations import Message, TurnOutcome

LONGEST_ANSWER: Final = 1_000_000
"""Characters of an answer, and of what the model thinks: a model that does not find an end must not fill the memory."""

Mark = Literal["accepted", "place", "notice", "thinking", "content", "done"]


class Woken(Protocol):
    """Who wants to know when a turn has changed."""

    woken: Callable[[], None]


class GrowingText:
    """A text that comes in pieces. They are put together when somebody reads it."""

    __slots__ = ("_pieces", "length")

    def __init__(self) -> None:
        self.length = 0
        self._pieces: list[str] = []

    def add(self, piece: str) -> None:
        self._pieces.append(piece)
        self.length += len(piece)

    def __str__(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""


@dataclass(frozen=True, slots=True)
class Granted:
    """It has its slot. ``waited`` is in seconds; ``loading``: the model was not in memory."""

    waited: float
    loading: bool


@dataclass(slots=True)
class Counts:
    """What the upstream told of its answer, None what it did not tell. ``speed`` is in tokens per second."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    speed: float | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended. ``error`` is a problem document."""

    outcome: TurnOutcome
    message: Message
    error: dict[str, Any] | None
    usage: TurnUsage


class Turn:
    """See the module. ``user_id`` owns it, ``session_id`` is the session that it was asked for in.

    ``message`` is the id that its answer will have. ``clock`` counts seconds.
    """

    def __init__(self, start: Start, *, user_id: str, session_id: str, clock: Callable[[], float] = monotonic) -> None:
        self.id = new_id()
        self.ref = start.ref
        self.user_id = user_id
        self.session_id = session_id
        self.model = start.model
        self.message = new_id()
        self.conversation: str | None = None
        """Where it is kept: known before anybody else can see that, and so delete it."""
        self.parent: str | None = None
        self.user_message: Message | None = None
        self.state: TurnState = "queued"
        self.position: Position | None = None
        self.granted: Granted | None = None
        self.notice: Notice | None = None
        self.content = GrowingText()
        self.begins = 0
        """Characters of the content that it had from the beginning."""
        self.thinking = GrowingText()
        self.counts = Counts()
        self.refusal: LLMGateError | None = None
        self.ended: Ended | None = None
        self.step = 0
        """Counts what has happened to it."""
        self.marks: dict[Mark, int] = {}
        """The step at which each part of it has changed last."""
        self.followers: set[Woken] = set()
        self.settled = asyncio.Event()
        """It was accepted or refused."""
        self.over = asyncio.Event()
        """It has ended, or was refused."""
        self.stopping = asyncio.Event()
        """It is to end, whatever it does."""
        self.fault: LLMGateError | None = None
        """Why the daemon itself ends it; None when its user does."""
        self._clock = clock
        self._began = clock()
        self._first_token: float | None = None
        self._waits_since = self._began

    # -- from the outside --------------------------------------------------------------------

    def stop(self, fault: LLMGateError | None = None) -> None:
        """Let it end: out of the line, or in the middle of its answer. Only the first call counts."""
        if not self.stopping.is_set():
            self.fault = fault
            self.stopping.set()

    # -- what happens ------------------------------------------------------------------------

    def refuse(self, refusal: LLMGateError) -> None:
        """Nothing was started, and nothing kept."""
        self.refusal = refusal
        self.state = "ended"
        self.settled.set()
        self.over.set()
        self._tell()

    def accept(self, conversation: str | None, parent: str | None, user_message: Message | None, begins: str) -> None:
        """It goes into the line. ``begins`` is what its answer has already, of one that is gone on with: its followers
        know that, and are not told."""
        self.conversation, self.parent, self.user_message = conversation, parent, user_message
        self.content.add(begins)
        self.begins = len(begins)
        self.settled.set()
        self._mark("accepted")

    def trim(self, dropped: int, kept: int, window: int, text: str) -> None:
        """Older messages are left out."""
        self.notice = Notice(turn=self.id, seq=0, dropped=dropped, kept=kept, window=window, text=text)
        self._mark("notice")

    def wait(self) -> None:
        """It stands in line, perhaps once more."""
        self.state = "queued"
        self.granted = self.position = None
        self._waits_since = self._clock()

    def stand(self, position: Position) -> None:
        """This is its place in the line."""
        if self.state == "queued" and not self.over.is_set():
            self.position = position
            self._mark("place")

    def grant(self, waited: float, *, loading: bool) -> None:
        """It has its slot."""
        self.state = "started"
        self.position = None
        self.granted = Granted(waited, loading)
        self._mark("place")

    def think(self, text: str) -> None:
        self._begin_answer()
        if self.state != "answering":
            self.state = "thinking"
        self.thinking.add(text)
        self._mark("thinking")

    def say(self, text: str) -> None:
        self._begin_answer()
        self.state = "answering"
        self.content.add(text)
        self._mark("content")

    def end(self, ended: Ended) -> None:
        self.state = "ended"
        self.ended = ended
        self.over.set()
        self._mark("done")

    def _begin_answer(self) -> None:
        if self._first_token is None:
            self._first_token = self._clock() - self._began

    def _mark(self, mark: Mark) -> None:
        self.step += 1
        self.marks[mark] = self.step
        self._tell()

    def _tell(self) -> None:
        for follower in list(self.followers):
            follower.woken()

    # -- what can be told --------------------------------------------------------------------

    @property
    def has_begun(self) -> bool:
        """Whether the model has said or thought anything."""
        return self._first_token is not None

    @property
    def waited(self) -> float | None:
        """Seconds in line, until now or until it had its slot; None when it ended without one."""
        if self.granted is not None:
            return self.granted.waited
        return None if self.ended is not None else max(0.0, self._clock() - self._waits_since)

    def usage(self) -> TurnUsage:
        """What it has taken so far."""
        return TurnUsage(
            input_tokens=self.counts.input_tokens,
            output_tokens=self.counts.output_tokens,
            waited=self.waited,
            first_token=self._first_token,
            duration=self._clock() - self._began,
            tokens_per_second=self.counts.speed,
        )

    def running(self) -> RunningTurn:
        """The turn as it stands in a list."""
        return RunningTurn(
            turn=self.id, ref=self.ref, conversation=self.conversation, message=self.message, state=self.state
        )
