"""Answers that are under way. Whoever loses the right to one does not get the rest of it.

Everything that may take longer than a moment is entered here while it goes on: requests for models, pulls, and all
answers of our own APIs. Only the WebSockets and streams of the chat are looked after elsewhere as well
(``chat/connections.py``), by their sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.principals import Principal, PrincipalKind
from llmgate.errors import AuthenticationFailed, LLMGateError, PermissionDenied, StoreUnavailable

RECHECK_SECONDS: Final = 1.0
"""Pause before it is asked again whether answers are still allowed, when the database did not answer."""


@dataclass(frozen=True, slots=True, eq=False)
class OpenAnswer:
    """One of them. ``judge`` asks anew whether ``principal`` may have it, and raises AuthenticationFailed or
    PermissionDenied where not, or StoreUnavailable; ``end`` ends it for that reason, and must not block."""

    request_id: str
    principal: Principal
    judge: Callable[[], Awaitable[object]]
    end: Callable[[LLMGateError], None]


class OpenAnswers:
    """See the module."""

    def __init__(self, authenticator: Authenticator, others: Callable[[], Iterable[OpenAnswer]]) -> None:
        """``others`` are those of somebody who keeps an account of them already."""
        self._authenticator = authenticator
        self._others = others
        self._entered: set[OpenAnswer] = set()
        self._log = structlog.get_logger("llmgate.revocation")

    @contextmanager
    def entered(self, answer: OpenAnswer) -> Iterator[None]:
        """Within this block it is one of them."""
        self.enter(answer)
        try:
            yield
        finally:
            self.leave(answer)

    def enter(self, answer: OpenAnswer) -> None:
        self._entered.add(answer)

    def leave(self, answer: OpenAnswer) -> None:
        self._entered.discard(answer)

    def __len__(self) -> int:
        return len(self._entered)

    async def run(self) -> None:
        """Whenever somebody's rights have changed, ask of every open answer whether it is still allowed, and end those
        that are not. Until cancelled."""
        while True:
            await self._authenticator.changed.wait()
            self._authenticator.changed.clear()
            refused, is_complete = await self._recheck()
            for answer, refusal in refused:
                answer.end(refusal)
            if not is_complete:
                await asyncio.sleep(RECHECK_SECONDS)
                self._authenticator.changed.set()

    async def _recheck(self) -> tuple[list[tuple[OpenAnswer, LLMGateError]], bool]:
        """Those that are not allowed any more, and whether all could be asked for: while the database is away nobody's
        answer is ended. All are found before any is ended: the end of one would give its slot to another."""
        refused: list[tuple[OpenAnswer, LLMGateError]] = []
        is_complete = True
        for answer in [*self._others(), *self._entered]:
            if not (is_complete or answer.principal.kind is PrincipalKind.ADDRESS):
                continue  # nobody has to ask a database for an address; the others would wait for it one by one
            try:
                await answer.judge()
            except (AuthenticationFailed, PermissionDenied) as refusal:
                refused.append((answer, refusal))
            except StoreUnavailable:
                self._log.warning("revocation_not_checked", request_id=answer.request_id)
                is_complete = False
            except Exception:  # a defect of ours: no reason to let all others go on
                self._log.exception("revocation_broke", request_id=answer.request_id)
        return refused, is_complete
