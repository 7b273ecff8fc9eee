"""One turn from its beginning to its end: kept, fitted, waited for, heard, kept again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from llmgate.config_requests import RequestSettings
from llmgate.daemon import clamps
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.principals import Principal, Role
from llmgate.daemon.chat import asking
from llmgate.daemon.chat.dialect import ENDPOINT, problem_of
from llmgate.daemon.chat.hearing import Hearing
from llmgate.daemon.chat.keeping import Asked, Keeper, answer_of
from llmgate.daemon.chat.positions import Positions
from llmgate.daemon.chat.turn import Ended, Turn
from llmgate.daemon.chat.window import Windows, fit
from llmgate.daemon.exchange import Insider
from llmgate.daemon.gateway import Gateway
from llmgate.daemon.queue.ticket import Grant, Ticket
from llmgate.daemon.upstreams.registry import UpstreamRegistry
from llmgate.errors import LLMGateError, NotFound, StoreUnavailable
from llmgate.schemas.chat import Start
from llmgate.schemas.conversations import TurnOutcome

ROOM_BYTES: Final = 1024 * 1024
"""Of a body, what is not pictures, and takes no part in what is said of them."""
LARGE_BODIES: Final = 2
"""So many conversations with pictures are put together at once: each takes several times its size in memory."""


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The first question of a conversation, and its answer."""

    turn: Turn
    question: str
    answer: str


class Conductor:
    """See the module. ``most_bytes`` is the setting ``server.max_body_bytes``, ``rules`` are those of ``requests``.
    ``exchanged`` is told of every first exchange that was completed."""

    def __init__(
        self,
        gateway: Gateway,
        authenticator: Authenticator,
        upstreams: UpstreamRegistry,
        keeper: Keeper,
        windows: Windows,
        positions: Positions,
        most_bytes: Callable[[], int],
        rules: Callable[[], RequestSettings],
    ) -> None:
        self.exchanged: Callable[[Exchanged], None] = lambda _: None
        self.is_draining = False
        self._gateway = gateway
        self._bodies = gateway.bodies
        self._authenticator = authenticator
        self._upstreams = upstreams
        self._keeper = keeper
        self._windows = windows
        self._positions = positions
        self._most_bytes = most_bytes
        self._rules = rules
        self._large = asyncio.Semaphore(LARGE_BODIES)
        self._log = structlog.get_logger("llmgate.chat")

    async def run(self, turn: Turn, start: Start, caller: Principal) -> None:
        """Whatever comes: in the end the turn was refused, or has ended."""
        hearing: Hearing | None = None
        try:
            self._bodies.reservation(turn, caller.owner)(asking.size_of(start))
            asked = await self._ask(turn, start, caller)
            hearing = Hearing(turn, await self._fit(turn, start, caller, asked))
            question, is_first = start.content, asked.is_first
            del start, asked  # the pictures in them, while the turn waits
            self._bodies.forget(turn)
            await self._serve(turn, hearing)
            await self._end(turn, hearing, None)
            if is_first and turn.ended is not None and turn.ended.outcome == "completed":
                self.exchanged(Exchanged(turn, question, str(turn.content)))
        except LLMGateError as failure:
            await self._fail(turn, hearing, failure)
        except Exception:  # a defect of ours must still end the turn, and be seen
            self._log.exception("turn_broke", turn=turn.id)
            defect = LLMGateError("The gateway failed.", hint="Its log names this turn by its id.")
            await self._fail(turn, hearing, defect)
        finally:
            self._positions.drop(turn)
            self._bodies.forget(turn)

    async def _ask(self, turn: Turn, start: Start, caller: Principal) -> Asked:
        # Before anything is kept: a model that is not there is no question of this conversation.
        self._upstreams.resolve(start.model, caller.may_use)
        asked = await self._keeper.begin(turn, start)
        turn.accept(asked.conversation, asked.parent, asked.user_message, asked.begins)
        return asked

    async def _fit(self, turn: Turn, start: Start, caller: Principal, asked: Asked) -> bytes:
        """The body for the model, without what does not fit into its window."""
        parameters = start.parameters
        # As the gateway will have it: what is beyond that the model would forget without a word.
        num_ctx = clamps.context_of(parameters.num_ctx, self._rules(), is_admin=caller.role is Role.ADMIN)
        window = await self._windows.of(start.model, caller.may_use, num_ctx)
        fitted = fit(start.system, asked.lines, window, parameters.num_predict)
        room = (self._most_bytes() - asking.size_of(start)) * 3 // 4 - ROOM_BYTES
        lines, left_out = asking.without_old_pictures(fitted.messages, room)
        notices = [fitted.notice, f"Older pictures ({left_out}) were too large to be sent again." if left_out else None]
        notice = " ".join(filter(None, notices))
        if notice:
            turn.trim(fitted.dropped, fitted.kept, fitted.window, notice)
        if not any(line.images for line in lines):
            return asking.body_of(start.model, start.system, lines, parameters, {})
        async with self._large:
            kept = await self._keeper.pictures(lines)
            return await asyncio.to_thread(asking.body_of, start.model, start.system, lines, parameters, kept)

    async def _serve(self, turn: Turn, hearing: Hearing) -> None:
        def waits(ticket: Ticket) -> None:
            turn.wait()
            self._positions.add(ticket, turn)

        def starts(grant: Grant) -> None:
            self._positions.drop(turn)
            waited = max(0.0, grant.granted_at - grant.ticket.submitted_at)
            turn.grant(waited, loading=not self._is_loaded(grant))

        async def identify() -> Principal:
            return await self._authenticator.of_session(turn.session_id)

        insider = Insider(identify, waits, starts)
        await self._gateway.serve(ENDPOINT, hearing.scope(), hearing.receive, hearing.send, insider)

    def _is_loaded(self, grant: Grant) -> bool:
        """Whether the upstream of a grant has the model in memory, as far as it was asked lately."""
        try:
            pool = self._upstreams.pool(grant.ticket.pool)
        except NotFound:
            return False
        keys = pool.keys_for(grant.ticket.model)
        for member in pool.members:
            if member.settings.name == grant.upstream:
                memory = pool.memory_of(member)
                return any(key in memory for key in keys)
        return False

    # -- ending ------------------------------------------------------------------------------

    async def _fail(self, turn: Turn, hearing: Hearing | None, failure: LLMGateError) -> None:
        if turn.settled.is_set():
            await self._end(turn, hearing, failure)
        else:
            turn.refuse(failure)

    async def _end(self, turn: Turn, hearing: Hearing | None, failure: LLMGateError | None) -> None:
        if turn.ended is not None:
            return
        outcome, error = _judged(turn, hearing, failure)
        message = answer_of(turn, outcome, error["code"] if error is not None else None)
        try:
            message = await self._keeper.end(turn, message, patient=not self.is_draining)
        except StoreUnavailable as lost:
            self._log.error("answer_not_kept", turn=turn.id, conversation=turn.conversation, reason=lost.message)
            error = error or problem_of(StoreUnavailable("The answer could not be kept.", hint="Copy what you need."))
        except Exception:  # the answer must reach who waits for it, whatever is wrong with keeping it
            self._log.exception("answer_not_kept", turn=turn.id, conversation=turn.conversation)
            error = error or problem_of(LLMGateError("The answer could not be kept.", hint="Copy what you need."))
        turn.end(Ended(outcome, message, error, turn.usage()))


def _judged(
    turn: Turn, hearing: Hearing | None, failure: LLMGateError | None
) -> tuple[TurnOutcome, dict[str, Any] | None]:
    """How a turn has ended, and the problem of one that has failed."""
    if hearing is not None and hearing.is_complete:
        return "completed", None
    if turn.stopping.is_set():
        return ("stopped", None) if turn.fault is None else ("failed", problem_of(turn.fault))
    if failure is None and hearing is not None and hearing.problem is not None:
        return "failed", hearing.problem
    return "failed", problem_of(failure or LLMGateError("The gateway failed."))
