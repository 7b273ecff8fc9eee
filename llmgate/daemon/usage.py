"""Writes down what was used, beside the hot path."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from llmgate.config import UsageSettings
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.clock import monotonic, utc_now
from llmgate.daemon.events import Event, RequestFinished
from llmgate.daemon.store import keys, requests, sessions, usage
from llmgate.daemon.store.database import Database
from llmgate.errors import StoreUnavailable

PENDING_ROWS = 100_000
"""Rows kept while the database is away; then the oldest are dropped, and counted."""
BATCH_ROWS = 100
"""Rows of one transaction: few enough that preparing them does not hold up the event loop."""
CLEANING_SECONDS = 3600.0
ENDED_SESSIONS_KEPT = timedelta(days=7)


class UsageRecorder:
    """Collects finished requests and writes them in batches: the request log, the hourly sums, and when
    each key was used last, in one transaction each time."""

    def __init__(self, database: Database, authenticator: Authenticator, settings: UsageSettings) -> None:
        self.dropped = 0
        self._database = database
        self._authenticator = authenticator
        self._settings = settings
        self._pending: deque[RequestFinished] = deque()
        self._used: dict[str, datetime] = {}
        self._writing = asyncio.Lock()
        self._log = structlog.get_logger("llmgate.usage")

    def __call__(self, event: Event) -> None:
        if not isinstance(event, RequestFinished):
            return
        if len(self._pending) >= PENDING_ROWS:
            self._pending.popleft()
            self.dropped += 1
        self._pending.append(event)

    @property
    def pending(self) -> int:
        return len(self._pending)

    async def run(self) -> None:
        """Write every ``flush_seconds`` and forget old rows once an hour, until cancelled."""
        clean_at = monotonic()
        while True:
            await asyncio.sleep(self._settings.flush_seconds)
            try:
                await self.flush()
                if monotonic() >= clean_at:
                    await self._forget_old()
                    clean_at = monotonic() + CLEANING_SECONDS
            except StoreUnavailable as failure:
                self._log.warning("usage_not_written", pending=len(self._pending), reason=failure.message)
            except Exception:  # whatever one row or one statement is wrong with, the next ones are to be written
                self._log.exception("usage_not_written", pending=len(self._pending))

    async def flush(self) -> None:
        """Write everything that is pending. Raises StoreUnavailable; nothing is lost by that."""
        async with self._writing:
            self._used.update(self._authenticator.used())
            if self._used:
                async with self._database.begin() as tx:
                    await keys.touch_used(tx, self._used)
                self._used = {}
            while self._pending:
                batch = [self._pending.popleft() for _ in range(min(BATCH_ROWS, len(self._pending)))]
                try:
                    await self._write(batch)
                except (StoreUnavailable, asyncio.CancelledError):
                    self._pending.extendleft(reversed(batch))
                    raise
                except Exception:  # one of the rows cannot be written: the others can
                    await self._write_singly(batch)

    async def _write(self, batch: Sequence[RequestFinished]) -> None:
        async with self._database.begin() as tx:
            # What was written before, by a batch whose fate was unclear, must not be counted twice.
            await usage.add(tx, await requests.insert_many(tx, batch))

    async def _write_singly(self, batch: Sequence[RequestFinished]) -> None:
        for row in batch:
            try:
                await self._write([row])
            except StoreUnavailable:
                self._pending.append(row)
            except Exception:  # this is the one
                self.dropped += 1
                self._log.exception("usage_row_dropped", request_id=row.request_id)

    async def _forget_old(self) -> None:
        now = utc_now()
        async with self._database.begin() as tx:
            rows = await requests.delete_before(tx, now - timedelta(days=self._settings.request_log_days))
            ended = await sessions.delete_ended(tx, now - ENDED_SESSIONS_KEPT)
        if rows or ended:
            self._log.info("old_rows_deleted", requests=rows, sessions=ended)
