"""Forgets what is older than the settings keep, in small pieces, so that nobody has to wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.config import Settings
from llmgate.daemon.chain import ActivityChain, ChainBroken
from llmgate.daemon.clock import monotonic, utc_now
from llmgate.daemon.store import idempotency, instance, requests, sessions, sql, usage
from llmgate.daemon.store.database import Database
from llmgate.errors import StoreUnavailable

ROUND_SECONDS = 3600.0
TURN = timedelta(seconds=ROUND_SECONDS / 2)
"""So long after a round began in one daemon, none begins in another."""
FIRST_SECONDS = 5.0
"""After the start, so that an installation that restarts often is cleaned as well."""
BATCH_ROWS = 500
"""Rows of one transaction: it takes some ten milliseconds, and SQLite has one writer."""
SHORTEST_PAUSE = 0.05
"""Seconds between two transactions; at least as long as the one before took."""
ENDED_SESSIONS_KEPT = timedelta(days=7)
IDEMPOTENCY_KEPT = timedelta(hours=24)
_LOCK = 0x6C6C6D67707275  # "llmgpru"

Forget = Callable[[AsyncConnection, int], Awaitable[int]]


class Retention:
    """Forgets old requests, sums of usage, entries of the activity log, sessions and idempotency keys.

    Of several daemons at one database one does it each time. ``settings`` are asked for anew in each round.
    """

    def __init__(
        self,
        database: Database,
        chain: ActivityChain,
        settings: Callable[[], Settings],
        *,
        clock: Callable[[], datetime] = utc_now,
        pause: float = SHORTEST_PAUSE,
    ) -> None:
        self._database = database
        self._chain = chain
        self._settings = settings
        self._clock = clock
        self._pause = pause
        self._log = structlog.get_logger("llmgate.retention")

    async def run(self) -> None:
        """A round every hour, until cancelled."""
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            await self.round()
            await asyncio.sleep(ROUND_SECONDS)

    async def round(self) -> dict[str, int] | None:
        """Clean, unless another daemon does it this time; see ``clean``."""
        try:
            async with self._database.begin() as tx:
                is_ours = await instance.take_turn(tx, "retention", self._clock(), TURN)
        except StoreUnavailable as failure:
            self._log.warning("not_cleaned", reason=failure.message)
            return None
        return await self.clean() if is_ours else None

    async def clean(self) -> dict[str, int]:
        """Forget everything that is old; returns how many rows of each kind that were.

        What fails is logged, and left for the next time.
        """
        forgotten: dict[str, int] = {}
        for kind, forget in self._tasks().items():
            try:
                forgotten[kind] = await self._all(forget)
            except StoreUnavailable as failure:
                self._log.warning("not_cleaned", kind=kind, reason=failure.message)
            except ChainBroken as broken:
                self._log.error("activity_log_broken", seq=broken.fault.seq, kind=broken.fault.kind, reason=str(broken))
            except Exception:  # whatever is wrong with one kind of rows, the others are to be cleaned
                self._log.exception("not_cleaned", kind=kind)
        if any(forgotten.values()):
            self._log.info("old_rows_deleted", **{kind: rows for kind, rows in forgotten.items() if rows})
        return forgotten

    def _tasks(self) -> Mapping[str, Forget]:
        now, settings = self._clock(), self._settings()
        tasks: dict[str, Forget] = {
            "requests": lambda tx, rows: requests.delete_before(
                tx, _before(now, settings.usage.request_log_days), rows
            ),
            "sessions": lambda tx, rows: sessions.delete_ended(tx, now - ENDED_SESSIONS_KEPT, rows),
            "idempotency_keys": lambda tx, rows: idempotency.forget_before(tx, now - IDEMPOTENCY_KEPT, rows),
        }
        if settings.usage.usage_days:
            tasks["usage"] = lambda tx, rows: usage.delete_before(tx, _before(now, settings.usage.usage_days), rows)
        if settings.activity.days:
            tasks["activity"] = lambda tx, rows: self._chain.prune(tx, _before(now, settings.activity.days), rows)
        return tasks

    async def _all(self, forget: Forget) -> int:
        total = 0
        while True:
            began = monotonic()
            async with self._database.begin() as tx:
                if not await sql.alone(tx, _LOCK):
                    return total
                rows = await forget(tx, BATCH_ROWS)
            total += rows
            if rows < BATCH_ROWS:
                return total
            await asyncio.sleep(max(self._pause, monotonic() - began))


def _before(now: datetime, days: int) -> datetime:
    return now - timedelta(days=days)
