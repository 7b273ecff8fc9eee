"""Writes down what was used, beside the hot path."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from datetime import date, datetime

import structlog

from llmgate.config import UsageSettings
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.principals import PrincipalKind
from llmgate.daemon.events import Event, RequestFinished
from llmgate.daemon.store import keys, requests, usage
from llmgate.daemon.store.database import Database
from llmgate.errors import StoreUnavailable

PENDING_ROWS = 100_000
"""Rows kept while the database is away; then the oldest are dropped, and counted."""
BATCH_ROWS = 100
"""Rows of one transaction: few enough that preparing them does not hold up the event loop."""

SPENT_SECONDS = 5.0
"""Longest wait for what a principal has used, the writing that is under way included."""


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
        self._unwritten: Counter[str] = Counter()
        self._writing = asyncio.Lock()
        self._log = structlog.get_logger("llmgate.usage")

    def __call__(self, event: Event) -> None:
        if not isinstance(event, RequestFinished):
            return
        if len(self._pending) >= PENDING_ROWS:
            self._count(self._pending.popleft(), -1)
            self.dropped += 1
        self._pending.append(event)
        self._count(event, 1)

    def unwritten(self, principal: str) -> int:
        """Tokens of this principal (``key:aB3dE5gH7j``) that the usage table does not hold yet."""
        return self._unwritten.get(principal, 0)

    async def spent(self, principals: Sequence[str], day: date) -> dict[str, tuple[int, int]]:
        """Tokens of these API keys on this UTC day and in its month, with what is not written yet. Raises
        StoreUnavailable."""
        ids = [principal.partition(":")[2] for principal in principals]
        try:
            # Nothing is written meanwhile: what the table holds and what it does not hold yet add up.
            async with asyncio.timeout(SPENT_SECONDS), self._writing, self._database.read() as tx:
                written = await usage.spent(tx, PrincipalKind.KEY, ids, day)
        except TimeoutError:
            raise StoreUnavailable(retry_after=1) from None
        pairs = zip(principals, (written.get(key_id, (0, 0)) for key_id in ids), strict=True)
        return {who: (today + self.unwritten(who), month + self.unwritten(who)) for who, (today, month) in pairs}

    def _count(self, event: RequestFinished, sign: int) -> None:
        tokens = (event.input_tokens or 0) + (event.output_tokens or 0)
        if tokens:
            who = f"{event.principal_kind}:{event.principal_id}"
            left = self._unwritten[who] + sign * tokens
            if left > 0:
                self._unwritten[who] = left
            else:
                del self._unwritten[who]

    @property
    def pending(self) -> int:
        return len(self._pending)

    async def run(self) -> None:
        """Write every ``flush_seconds``, until cancelled."""
        while True:
            await asyncio.sleep(self._settings.flush_seconds)
            try:
                await self.flush()
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
        for row in batch:
            self._count(row, -1)

    async def _write_singly(self, batch: Sequence[RequestFinished]) -> None:
        for number, row in enumerate(batch):
            try:
                await self._write([row])
            except asyncio.CancelledError:
                self._pending.extendleft(reversed(batch[number:]))
                raise
            except StoreUnavailable:
                self._pending.append(row)
            except Exception:  # this is the one
                self.dropped += 1
                self._count(row, -1)
                self._log.exception("usage_row_dropped", request_id=row.request_id)
