"""All turns of this daemon: who asks, who follows, and when a turn that nobody follows any more ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.chat.following import Follower
from llmgate.daemon.chat.turn import Turn
from llmgate.errors import Draining, LLMGateError, PermissionDenied, TooManyConcurrent
from llmgate.schemas.chat import RunningTurn, Start

GRACE_SECONDS: Final = 30.0
"""So long a turn goes on whose last follower was lost: a phone changes its network, a page is loaded again."""
MOST_TURNS: Final = 16
"""Turns of one user that run at once, and ended ones that are remembered."""
BYE_SECONDS: Final = 5.0
"""A page that is closed says so in one request, and its stream ends in another: so far apart they belong together."""
END_SECONDS: Final = 8.0
"""At shutdown, longest wait for answers to be kept."""

Conduct = Callable[[Turn, Start, Principal], Coroutine[Any, Any, None]]


@dataclass(slots=True, eq=False)
class _Watched:
    """A turn and what is known of its followers. Times are those of the event loop."""

    turn: Turn
    task: asyncio.Task[None] | None = None
    followers: set[Follower] = field(default_factory=set)
    lost: list[float] = field(default_factory=list)
    """When each follower was lost that may still come back, the first one first."""
    byes: list[float] = field(default_factory=list)
    """When each good-bye was said whose follower is still here."""
    timer: asyncio.TimerHandle | None = None

    def settle(self, now: float, grace: float) -> None:
        """Forget what is over: who was lost for too long, and good-byes that nobody has followed."""
        self.lost = [moment for moment in self.lost if moment + grace > now]
        self.byes = [moment for moment in self.byes if moment + BYE_SECONDS > now]

    def unset(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Turns:
    """See the module. ``conduct`` runs a turn to its end. ``grace`` is in seconds.

    An ended turn is remembered for as long as the grace, so that who was away at its end is told of it.
    """

    def __init__(self, conduct: Conduct, *, grace: float = GRACE_SECONDS) -> None:
        self.grace = grace
        self._conduct = conduct
        self._turns: dict[str, _Watched] = {}
        self._by_ref: dict[tuple[str, str], _Watched] = {}
        self._ended: dict[str, deque[_Watched]] = {}
        self._running: dict[str, set[Turn]] = {}
        self._draining = False

    # -- asking ------------------------------------------------------------------------------

    def start(self, caller: Principal, start: Start, woken: Callable[[], None]) -> Follower:
        """Begin a turn, or follow the one that this ``ref`` has begun already.

        Raises PermissionDenied for who has not logged in, TooManyConcurrent, or Draining. What else is wrong with it
        is found out on the way, and its follower is told: a frame that refuses it.
        """
        if caller.session_id is None:
            raise PermissionDenied("Only who has logged in with a name and a password can do that.")
        known = self._by_ref.get((caller.id, start.ref))
        if known is not None:
            return self._follow(known, woken, snapshot=True)
        if self._draining:
            raise Draining("The gateway is shutting down.", retry_after=5)
        running = self._running.setdefault(caller.id, set())
        if len(running) >= MOST_TURNS:
            raise TooManyConcurrent(f"You have {MOST_TURNS} questions under way.", hint="Stop one, or wait for one.")
        turn = Turn(start, user_id=caller.id, session_id=caller.session_id)
        watched = self._turns[turn.id] = self._by_ref[caller.id, start.ref] = _Watched(turn)
        running.add(turn)
        follower = self._follow(watched, woken, snapshot=False)
        watched.task = asyncio.create_task(self._conduct(turn, start, caller), name=f"turn {turn.id}")
        watched.task.add_done_callback(lambda _: self._has_ended(watched))
        return follower

    def running(self, user_id: str) -> list[RunningTurn]:
        """The user's turns that go on, the oldest first."""
        own = [turn for turn in self._running.get(user_id, ()) if turn.settled.is_set() and not turn.over.is_set()]
        return [turn.running() for turn in sorted(own, key=lambda turn: turn.id)]

    def has(self, user_id: str, turn_id: str) -> bool:
        """Whether there is something of this turn to follow here."""
        return self._of(user_id, turn_id) is not None

    def of_ref(self, user_id: str, ref: str) -> str | None:
        """The turn that this ``ref`` has begun here, if there is one."""
        watched = self._by_ref.get((user_id, ref))
        return watched.turn.id if watched is not None else None

    def _of(self, user_id: str, turn_id: str) -> _Watched | None:
        watched = self._turns.get(turn_id)
        return watched if watched is not None and watched.turn.user_id == user_id else None

    # -- following ---------------------------------------------------------------------------

    def attach(self, user_id: str, turn_id: str, woken: Callable[[], None]) -> Follower | None:
        """Follow a turn, from all that there is so far. None for a turn that the user does not have here."""
        watched = self._of(user_id, turn_id)
        return None if watched is None else self._follow(watched, woken, snapshot=True)

    def _follow(self, watched: _Watched, woken: Callable[[], None], *, snapshot: bool) -> Follower:
        follower = Follower(watched.turn, woken, snapshot=snapshot)
        watched.followers.add(follower)
        watched.turn.followers.add(follower)
        watched.settle(asyncio.get_running_loop().time(), self.grace)
        if watched.lost:
            watched.lost.pop(0)  # one has come back
        if not watched.turn.over.is_set():
            watched.unset()
        if snapshot:
            woken()
        return follower

    def leave(self, follower: Follower, *, bye: bool) -> None:
        """Follow no more. ``bye``: its client has said so; else it was lost, and may come back. Harmless twice."""
        watched = self._turns.get(follower.turn.id)
        follower.turn.followers.discard(follower)
        if watched is None or follower not in watched.followers:
            return
        watched.followers.discard(follower)
        if watched.turn.over.is_set():
            return
        now = asyncio.get_running_loop().time()
        watched.settle(now, self.grace)
        if not bye and watched.byes:
            watched.byes.pop(0)
        elif not bye:
            watched.lost.append(now)
        self._end_unless_followed(watched)

    def bye(self, user_id: str, turn_ids: Iterable[str]) -> None:
        """A page that was closed does not follow these any more; its streams may be gone already, or go soon.

        Which of a turn's followers has said so is not known: one good-bye stands for one of them.
        """
        now = asyncio.get_running_loop().time()
        for watched in filter(None, map(partial(self._of, user_id), dict.fromkeys(turn_ids))):
            if watched.turn.over.is_set():
                continue
            watched.settle(now, self.grace)
            has_just_gone = bool(watched.lost) and watched.lost[-1] + BYE_SECONDS > now
            if not has_just_gone and len(watched.byes) < len(watched.followers):
                watched.byes.append(now)
            elif watched.lost:
                watched.lost.pop()
            self._end_unless_followed(watched)

    def _end_unless_followed(self, watched: _Watched) -> None:
        if watched.followers:
            return
        watched.unset()
        if watched.lost:
            until = watched.lost[-1] + self.grace
            watched.timer = asyncio.get_running_loop().call_at(until, watched.turn.stop)
        else:
            watched.turn.stop()

    # -- ending ------------------------------------------------------------------------------

    def stop(self, user_id: str, turn_id: str) -> bool:
        """End a turn for its user. False when the user has no such turn here."""
        watched = self._of(user_id, turn_id)
        if watched is None:
            return False
        watched.turn.stop()
        return True

    def end_session(self, session_id: str, reason: LLMGateError) -> None:
        """End what was asked for in this session."""
        for turn in self._all():
            if turn.session_id == session_id:
                turn.stop(reason)

    def forget(self, user_id: str, conversation: str | None = None) -> None:
        """A conversation was deleted, or all of the user's: nobody waits for what is still answered there."""
        for turn in list(self._running.get(user_id, ())):
            if turn.conversation is not None and conversation in (None, turn.conversation):
                turn.stop()

    def _all(self) -> Iterator[Turn]:
        return (turn for running in list(self._running.values()) for turn in list(running))

    def _has_ended(self, watched: _Watched) -> None:
        watched.unset()
        turn = watched.turn
        running = self._running.get(turn.user_id, set())
        running.discard(turn)
        if not running:
            self._running.pop(turn.user_id, None)
        if turn.ended is None or self._draining:
            self._drop(watched)
            return
        remembered = self._ended.setdefault(turn.user_id, deque())
        remembered.append(watched)
        if len(remembered) > MOST_TURNS:
            self._drop(remembered[0])
        watched.timer = asyncio.get_running_loop().call_later(self.grace, self._drop, watched)

    def _drop(self, watched: _Watched) -> None:
        turn = watched.turn
        watched.unset()
        self._turns.pop(turn.id, None)
        self._by_ref.pop((turn.user_id, turn.ref), None)
        remembered = self._ended.get(turn.user_id)
        if remembered is not None:
            if watched in remembered:
                remembered.remove(watched)
            if not remembered:
                del self._ended[turn.user_id]

    # -- shutting down -----------------------------------------------------------------------

    def refuse_new(self) -> None:
        self._draining = True

    async def close(self, seconds: float = END_SECONDS) -> None:
        """Wait until every turn has ended, and cancel those that do not. The gateway has ended their requests."""
        self._draining = True
        tasks = {watched.task for watched in self._turns.values() if watched.task is not None}
        pending = {task for task in tasks if not task.done()}
        if pending:
            _, pending = await asyncio.wait(pending, timeout=seconds)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for watched in list(self._turns.values()):
            self._drop(watched)
