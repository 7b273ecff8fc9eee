"""A log to tamper with, and what a verification says of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text

from llmgate.daemon.chain import ActivityChain, Head, Verdict
from llmgate.daemon.changes import Changes
from llmgate.daemon.events import ActivityRecorded, EventBus
from llmgate.daemon.store.activity import Actor, activity
from llmgate.daemon.store.database import Database

KEY = bytes(range(32))
ANN = Actor("session", "01ANN", "ann", "192.0.2.1", "request-1")


@dataclass
class Log:
    """An activity log in a database of its own."""

    database: Database
    key: bytes = KEY
    changes: Changes = field(init=False)
    chain: ActivityChain = field(init=False)

    def __post_init__(self) -> None:
        self.changes = Changes(self.database, self.key, EventBus())
        self.chain = ActivityChain(self.database, self.key)

    async def write(self, count: int = 1, **detail: Any) -> Head:
        """So many entries, each a change of its own; returns the head."""
        for number in range(count):
            async with self.changes.begin(ANN) as change:
                change.note("key.update", f"key-{number}", "robot", number=number, **detail)
        assert self.changes.written is not None
        return Head(*self.changes.written)

    async def write_at_once(self, count: int) -> Head:
        """So many entries in one transaction."""
        async with self.changes.begin(ANN) as change:
            for number in range(count):
                change.note("key.update", f"key-{number}", "robot", number=number)
        assert self.changes.written is not None
        return Head(*self.changes.written)

    async def tamper(self, *statements: str, **values: Any) -> None:
        """What somebody does who can write into the database."""
        async with self.database.begin() as tx:
            for statement in statements:
                await tx.execute(text(statement), values)

    async def entries(self) -> list[ActivityRecorded]:
        async with self.database.read() as tx:
            rows = await tx.execute(select(activity).order_by(activity.c.seq))
            return [ActivityRecorded(*row) for row in rows]

    async def count(self) -> int:
        async with self.database.read() as tx:
            return int(await tx.scalar(select(func.count()).select_from(activity)) or 0)

    async def verdict(self, *expected: Head) -> Verdict:
        return await self.chain.verify(expected)

    async def is_whole(self, *expected: Head) -> bool:
        return (await self.verdict(*expected)).ok

    async def fault(self, *expected: Head) -> tuple[int, str]:
        """Number and kind of what is wrong."""
        found = (await self.verdict(*expected)).fault
        assert found is not None
        return found.seq, found.kind.value

    async def prune(self, before: datetime, rows: int = 1000) -> int:
        async with self.database.begin() as tx:
            return await self.chain.prune(tx, before, rows)
