"""Forgets what is older than the settings keep, in small pieces, so that nobody has to wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.config import Settings
from llmgate.daemon.chain import ActivityChain, ChainBroken
from llmgate.daemon.clock import monotonic, utc_now
from llmgate.daemon.store import conversations, idempotency, instance, keys, requests, sessions, sql, tokens, usage
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
ENDED_KEYS_KEPT = timedelta(days=30)
"""API keys and registration tokens. What was used with a key stays in the sums of usage, which know its name."""
IDEMPOTENCY_KEPT = timedelta(hours=24)
_LOCK = 0x6C6C6D67707275  # "llmgpru"

Forget = Callable[[AsyncConnection, int], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class _Task:
    """Forgets at most ``rows`` rows at a time; when it were fewer than ``whole``, none is left."""

    forget: Forget
    rows: int = BATCH_ROWS
    whole: int = BATCH_ROWS


class Retention:
    """Forgets old requests, sums of usage, entries of the activity log and conversations, and what has ended long ago:
    sessions, API keys, registration tokens, idempotency keys.

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
        for kind, task in self._tasks().items():
            try:
                forgotten[kind] = await self._all(task)
            except StoreUnavailable as failure:
                self._log.warning("not_cleaned", kind=kind, reason=failure.message)
            except ChainBroken as broken:
                self._log.error("activity_log_broken", seq=broken.fault.seq, kind=broken.fault.kind, reason=str(broken))
            except Exception:  # whatever is wrong with one kind of rows, the others are to be cleaned
                self._log.exception("not_cleaned", kind=kind)
        if any(forgotten.values()):
            self._log.info("old_rows_deleted", **{kind: rows for kind, rows in forgotten.items() if rows})
        return forgotten

    def _tasks(self) -> Mapping[str, _Task]:
        now, settings = self._clock(), self._settings()
        last_said = _before(now, settings.chat.conversation_days)  # with 0 days all of them are older
        tasks = {
            "requests": _Task(
                lambda tx, rows: requests.delete_before(tx, _before(now, settings.usage.request_log_days), rows)
            ),
            "sessions": _Task(lambda tx, rows: sessions.delete_ended(tx, now - ENDED_SESSIONS_KEPT, rows)),
            "keys": _Task(lambda tx, rows: keys.delete_ended(tx, now - ENDED_KEYS_KEPT, rows)),
            "tokens": _Task(lambda tx, rows: tokens.delete_ended(tx, now - ENDED_KEYS_KEPT, rows)),
            "idempotency_keys": _Task(lambda tx, rows: idempotency.forget_before(tx, now - IDEMPOTENCY_KEPT, rows)),
            # Some are large: then fewer go at a time, though more are left.
            "conversations": _Task(
                lambda tx, rows: conversations.delete_before(tx, last_said, rows), conversations.PIECE, whole=1
            ),
        }
        if settings.usage.usage_days:
            since = _before(now, settings.usage.usage_days)
            tasks["usage"] = _Task(lambda tx, rows: usage.delete_before(tx, since, rows))
        if settings.activity.days:
            oldest = _before(now, settings.activity.days)
            tasks["activity"] = _Task(lambda tx, rows: self._chain.prune(tx, oldest, rows))
        return tasks

    async def _all(self, task: _Task) -> int:
        total = 0
        while True:
            began = monotonic()
            async with self._database.begin() as tx:
                if not await sql.alone(tx, _LOCK):
                    return total
                rows = await task.forget(tx, task.rows)
            total += rows
            if rows < task.whole:
                return total
            await asyncio.sleep(max(self._pause, monotonic() - began))


def _before(now: datetime, days: int) -> datetime:
    return now - timedelta(days=days)
