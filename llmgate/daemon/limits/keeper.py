"""LimitKeeper: holds every principal to its limits, over all daemons.

Each daemon counts its own requests and tells the others twice a second what the limited principals use here. So a
limit can be overshot by what arrives at several daemons within a second; while they cannot reach each other, each one
knows only of itself. Budgets begin with what the usage tables hold, so they survive a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import structlog

from llmgate.daemon.auth.principals import UNLIMITED, Principal
from llmgate.daemon.clock import utc_now
from llmgate.daemon.limits import judge
from llmgate.daemon.limits.claim import Claim
from llmgate.daemon.limits.tally import Peer, Spent, Tally, Told
from llmgate.errors import StoreUnavailable

TOPIC = "limits"
TELL_SECONDS = 0.5
READ_SECONDS = 5.0
"""How often the budgets of active principals are read from the database again."""
STALE_SECONDS = 15.0
"""A budget that was read so long ago is read again before it is believed."""
ACTIVE_SECONDS = 130.0
"""A principal counts for so long after its last request: two minutes of the windows, and a little."""
PEER_SECONDS = 5.0
"""What another daemon has in flight is believed for so long after it was heard last."""
FORGET_SECONDS = 130.0
TOLD = 500
"""Principals that are told to the others, those that were active last: some 40 KB."""
READ_AT_ONCE = 500

ReadSpent = Callable[[Sequence[str], date], Awaitable[Mapping[str, tuple[int, int]]]]
"""From principals (``key:aB3dE5gH7j``) and a UTC day to the tokens of that day and of its month."""


class LimitKeeper:
    """See the module.

    ``read_spent`` reads the usage tables, to which ``unwritten`` tells what is missing of one principal; ``clock``
    counts seconds, never goes back, and is the same in all daemons; ``tell`` reaches them.
    """

    def __init__(
        self,
        *,
        read_spent: ReadSpent,
        unwritten: Callable[[str], int],
        clock: Callable[[], float],
        tell: Callable[[str, Any], None] = lambda topic, body: None,
        today: Callable[[], datetime] = utc_now,
    ) -> None:
        self._read_spent = read_spent
        self._unwritten = unwritten
        self._clock = clock
        self._tell = tell
        self._today = today
        self._tallies: dict[str, Tally] = {}
        self._peers: dict[str, Peer] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._has_told = False
        self._failed_at = float("-inf")
        self._log = structlog.get_logger("llmgate.limits")

    # -- requests ----------------------------------------------------------------------------

    async def prepare(self, principal: Principal) -> None:
        """Make sure that the principal's budget is known; at once unless it was not seen lately. Raises
        StoreUnavailable where nothing at all is known."""
        limits = principal.limits
        if limits is None or not limits.has_budget:
            return
        spent = self._tally(principal.owner).spent
        moment = self._today()
        if spent is not None and spent.is_of(moment) and self._clock() - spent.read_at < STALE_SECONDS:
            return
        if spent is not None and self._clock() - self._failed_at < READ_SECONDS:
            return  # the database did not answer just now: nobody has to wait for that again
        task = self._reading.get(principal.owner)
        if task is None:
            task = asyncio.create_task(self._read([principal.owner]))
            self._reading[principal.owner] = task
            task.add_done_callback(lambda _: self._reading.pop(principal.owner, None))
        try:
            await asyncio.shield(task)  # others wait for it as well
        except StoreUnavailable:
            self._failed_at = self._clock()
            if spent is None:
                raise

    def admit(self, principal: Principal, tokens: float) -> Claim:
        """Count one more request, which is expected to use so many tokens. It must be settled, whatever happens.

        Raises RateLimitExceeded, TooManyConcurrent or BudgetExceeded.
        """
        refusal = judge.refusal(principal.limits or UNLIMITED, self.use(principal), tokens, self._today())
        if refusal is not None:
            raise refusal
        return Claim(self._tally(principal.owner), self._clock, tokens)

    def headers(self, principal: Principal) -> judge.Headers:
        """What answers tell of the limits per minute."""
        limits = principal.limits
        return judge.headers(limits, self.use(principal)) if limits is not None and limits.has_rate else []

    def may_wait(self, principal: Principal) -> int | None:
        """How many requests may wait in this daemon; None where only the queue's own bound counts."""
        limits = principal.limits
        if limits is None or limits.max_waiting is None:
            return None
        elsewhere = sum(told.waiting for _, told in self._others(principal.owner, self._clock()))
        return max(0, limits.max_waiting - elsewhere)

    def use(self, principal: Principal) -> judge.Use:
        """What the principal uses at this moment."""
        owner, now = principal.owner, self._clock()
        return judge.use_of(self._tally(owner), self._others(owner, now), now)

    @property
    def unsettled(self) -> int:
        """Claims that are not settled."""
        return sum(tally.unsettled for tally in self._tallies.values())

    def _tally(self, owner: str) -> Tally:
        tally = self._tallies.get(owner)
        if tally is None:
            tally = self._tallies[owner] = Tally()
        tally.used_at = self._clock()
        return tally

    def _others(self, owner: str, now: float) -> Iterator[tuple[str, Told]]:
        for boot, peer in self._peers.items():
            told = peer.tallies.get(owner)
            if told is not None:
                yield boot, told if now - peer.heard_at <= PEER_SECONDS else told.at_rest()

    # -- other daemons -----------------------------------------------------------------------

    def heard(self, boot: str, body: Any) -> None:
        """What another daemon tells. Raises ValueError, LookupError or TypeError when it is not readable."""
        tallies = {str(owner): Told.read(told) for owner, told in list(body.items())[:TOLD]}
        for owner, told in tallies.items():
            mine = self._tallies.get(owner)
            if mine is not None and mine.spent is not None:
                mine.spent.others.setdefault(boot, told.written)
        self._peers[boot] = Peer(self._clock(), tallies)

    def tell_others(self) -> None:
        """Tell what is used here; nothing, once, when that has come to an end."""
        now = self._clock()
        active = [pair for pair in self._tallies.items() if pair[1].is_active(now, ACTIVE_SECONDS)]
        active.sort(key=lambda pair: (pair[1].in_flight > 0, pair[1].used_at), reverse=True)
        if active or self._has_told:
            self._tell(TOPIC, {owner: tally.told(self._unwritten(owner)) for owner, tally in active[:TOLD]})
        self._has_told = bool(active)

    # -- background work ---------------------------------------------------------------------

    async def run(self) -> None:
        """Tell the others, read budgets, and forget who was not seen for long; until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_telling())
            group.create_task(self._keep_reading())

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            self.tell_others()

    async def _keep_reading(self) -> None:
        while True:
            await asyncio.sleep(READ_SECONDS)
            self.forget()
            now = self._clock()
            owners = [
                owner
                for owner, tally in self._tallies.items()
                if tally.spent is not None and tally.is_active(now, ACTIVE_SECONDS)
            ]
            try:
                for begin in range(0, len(owners), READ_AT_ONCE):
                    await self._read(owners[begin : begin + READ_AT_ONCE])
            except StoreUnavailable as failure:
                self._failed_at = self._clock()
                self._log.warning("budgets_not_read", principals=len(owners), reason=failure.message)
            except Exception:  # a defect here must not end the telling, on which the limits of all daemons rest
                self._log.exception("budgets_not_read", principals=len(owners))

    def forget(self) -> None:
        """Let go of principals and daemons that were not heard for long."""
        now = self._clock()
        for owner in [owner for owner, tally in self._tallies.items() if not tally.is_active(now, ACTIVE_SECONDS)]:
            del self._tallies[owner]
        for boot in [boot for boot, peer in self._peers.items() if now - peer.heard_at > FORGET_SECONDS]:
            del self._peers[boot]

    async def _read(self, owners: Sequence[str]) -> None:
        day = self._today().date()
        found = await self._read_spent(owners, day)
        now = self._clock()
        for owner in owners:  # no await from here on: nothing ends between the answer and its use
            tally = self._tallies.get(owner)
            if tally is None:
                continue
            today, this_month = found.get(owner, (0, 0))
            known = {boot: told.written for boot, told in self._others(owner, now)}
            tally.spent = Spent(day, today, this_month, now, known)
