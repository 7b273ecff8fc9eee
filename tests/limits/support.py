"""A keeper under a hand-driven clock, with a table of usage that a test fills."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx

from llmgate.daemon.auth.principals import Limits, Principal, PrincipalKind, Role
from llmgate.daemon.limits.keeper import LimitKeeper
from llmgate.errors import LimitExceeded, StoreUnavailable

BEGIN = 6000.0
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def principal(name: str = "robot", **limits: int | None) -> Principal:
    return Principal(PrincipalKind.KEY, name, name, Role.USER, 2, limits=Limits(**limits))


@dataclass
class World:
    """The clock, the database and the wire between the daemons of a test."""

    now: float = BEGIN
    written: dict[tuple[str, date], tuple[int, int]] = field(default_factory=dict)
    is_down: bool = False
    reads: int = 0
    keepers: dict[str, LimitKeeper] = field(default_factory=dict)
    unwritten: dict[tuple[str, str], int] = field(default_factory=dict)
    cut: bool = False

    def daemon(self, boot: str = "one") -> LimitKeeper:
        async def read(owners: Sequence[str], day: date) -> dict[str, tuple[int, int]]:
            self.reads += 1
            await asyncio.sleep(0)
            if self.is_down:
                raise StoreUnavailable
            own = {owner: self.unwritten.get((boot, owner), 0) for owner in owners}
            found = {owner: self.written.get((owner, day), (0, 0)) for owner in owners}
            return {owner: (today + own[owner], month + own[owner]) for owner, (today, month) in found.items()}

        def tell(topic: str, body: Any) -> None:
            assert topic == "limits"
            for other, keeper in self.keepers.items():
                if other != boot and not self.cut:
                    keeper.heard(boot, body)

        keeper = LimitKeeper(
            read_spent=read,
            unwritten=lambda owner: self.unwritten.get((boot, owner), 0),
            clock=lambda: self.now,
            tell=tell,
            today=lambda: NOON + timedelta(seconds=self.now - BEGIN),
        )
        self.keepers[boot] = keeper
        return keeper

    def beat(self) -> None:
        for keeper in self.keepers.values():
            keeper.tell_others()


def admitted(keeper: LimitKeeper, who: Principal, attempts: int, tokens: float = 0.0) -> int:
    """How many of so many requests are let through, each of which ends at once and uses as many tokens as said."""
    count = 0
    for _ in range(attempts):
        try:
            claim = keeper.admit(who, tokens)
        except LimitExceeded:
            continue
        claim.settle(int(tokens))
        count += 1
    return count


async def paced(asks: Sequence[Callable[[], Awaitable[httpx.Response]]], each: int, per_second: float) -> list[int]:
    """The statuses of so many requests at each of some daemons, at this pace."""
    tasks = []
    for _ in range(each):
        tasks += [asyncio.create_task(_status(ask)) for ask in asks]
        await asyncio.sleep(1 / per_second)
    return await asyncio.gather(*tasks)


async def _status(ask: Callable[[], Awaitable[httpx.Response]]) -> int:
    return (await ask()).status_code


async def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for what the daemons tell each other. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
