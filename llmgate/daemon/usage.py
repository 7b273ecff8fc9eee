"""Writes down what was used, beside the hot path.

While the database is away, what has ended waits in memory, and is written into a file as well (``store/spool.py``): a
daemon that is stopped or killed meanwhile, and one that has more to remember than there is room for in memory, loses
nothing by that. Once the database is back each row gets there once, whatever was written before: an id that is in the
request log already is neither logged nor counted again.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from datetime import date, datetime, timedelta

import structlog

from llmgate.config import UsageSettings
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.principals import PrincipalKind
from llmgate.daemon.clock import monotonic, utc_now
from llmgate.daemon.events import Event, RequestFinished
from llmgate.daemon.store import keys, requests, usage
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.spool import SpoolFile, UsageSpool
from llmgate.errors import StoreUnavailable

PENDING_ROWS = 100_000
"""Rows kept in memory. The oldest of more are left to the file; those that are not in it are dropped, and counted."""
BATCH_ROWS = 100
"""Rows of one transaction: few enough that preparing them does not hold up the event loop."""

SPENT_SECONDS = 5.0
"""Longest wait for what a principal has used, the writing that is under way included."""
SPOOL_SECONDS = 1.0
"""What the database has not taken for so long is written into the file, and so often what has come since."""
SPOOL_ROWS = 1000
"""Rows that are written into the file at once."""
LAST_SECONDS = 3.0
"""At the end, longest wait for the file."""


class UsageRecorder:
    """Collects finished requests and writes them in batches: the request log, the hourly sums, and when
    each key was used last, in one transaction each time."""

    def __init__(
        self,
        database: Database,
        authenticator: Authenticator,
        settings: UsageSettings,
        spool: UsageSpool | None = None,
    ) -> None:
        self.dropped = 0
        """Rows that are lost: no room for them, or unusable."""
        self._database = database
        self._authenticator = authenticator
        self._settings = settings
        self._pending: deque[RequestFinished] = deque()
        self._batch: Sequence[RequestFinished] = ()
        """What is being written at this moment; not in ``_pending``."""
        self._used: dict[str, datetime] = {}
        self._unwritten: Counter[str] = Counter()
        self._writing = asyncio.Lock()
        self._since: float | None = None
        """When the writing began that has not succeeded yet."""
        self._spool = spool
        self._spooled: set[str] = set()
        """Ids of those in memory that are in the file as well."""
        self._left_to_file = 0
        """Rows that are in the file only."""
        self._filing = asyncio.Lock()
        self._is_spooling = False
        self._why_not_spooled = ""
        self._orphans: list[SpoolFile] | None = None
        """Files of processes that have ended; None: not looked for yet."""
        self._log = structlog.get_logger("llmgate.usage")

    def __call__(self, event: Event) -> None:
        if not isinstance(event, RequestFinished):
            return
        if len(self._pending) >= PENDING_ROWS and not self._has_made_room():
            self.dropped += 1
            return
        self._pending.append(event)
        self._count(event, 1)

    def _has_made_room(self) -> bool:
        if self._is_spooling:  # the oldest may be in the file in a moment, or not
            return False
        oldest = self._pending.popleft()
        if oldest.request_id in self._spooled:
            self._spooled.discard(oldest.request_id)
            self._left_to_file += 1
        else:
            self._count(oldest, -1)
            self.dropped += 1
        return True

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
        """Rows that are not in the database yet."""
        return len(self._batch) + len(self._pending) + self._left_to_file

    # -- into the database -------------------------------------------------------------------

    async def run(self) -> None:
        """Write every ``flush_seconds``, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_writing())
            group.create_task(self._keep_spooling())

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(self._settings.flush_seconds)
            try:
                await self.flush()
                await self._catch_up()
            except StoreUnavailable as failure:
                self._log.warning(
                    "usage_not_written", pending=self.pending, dropped=self.dropped, reason=failure.message
                )
            except Exception:  # whatever one row or one statement is wrong with, the next ones are to be written
                self._log.exception("usage_not_written", pending=self.pending, dropped=self.dropped)

    async def flush(self) -> None:
        """Write everything that is pending now. Raises StoreUnavailable; nothing is lost by that.

        What ends meanwhile waits for the next time, unless it fills a batch: under load there is always something, and
        a transaction for a row or two costs as much as one for a hundred.
        """
        if self._since is None:
            self._since = monotonic()
        async with self._writing:
            self._used.update(self._authenticator.used())
            if self._used:
                async with self._database.begin() as tx:
                    await keys.touch_used(tx, self._used)
                self._used = {}
            rest = len(self._pending)
            while self._pending and (rest > 0 or len(self._pending) >= BATCH_ROWS):
                rest -= BATCH_ROWS
                batch = self._batch = [self._pending.popleft() for _ in range(min(BATCH_ROWS, len(self._pending)))]
                try:
                    await self._write(batch)
                except (StoreUnavailable, asyncio.CancelledError):
                    self._pending.extendleft(reversed(batch))
                    raise
                except Exception:  # one of the rows cannot be written: the others can
                    await self._write_singly(batch)
                finally:
                    self._batch = ()
        self._since = None

    async def _write(self, batch: Sequence[RequestFinished]) -> None:
        await self._insert(batch)
        for row in batch:
            self._forget(row)

    def _forget(self, row: RequestFinished) -> None:
        """It is not in memory any more, and will not be."""
        self._count(row, -1)
        self._spooled.discard(row.request_id)

    async def _insert(self, rows: Sequence[RequestFinished]) -> list[RequestFinished]:
        """Returns those that were new: what was written before, by a batch whose fate was unclear, must not be counted
        twice."""
        async with self._database.begin() as tx:
            fresh = await requests.insert_many(tx, rows)
            await usage.add(tx, fresh)
        return fresh

    async def _write_singly(self, batch: Sequence[RequestFinished]) -> None:
        for number, row in enumerate(batch):
            try:
                await self._write([row])
            except (StoreUnavailable, asyncio.CancelledError):
                self._pending.extendleft(reversed(batch[number:]))
                raise
            except Exception:  # this is the one
                self._forget(row)
                self._dropped_row(row)

    def _dropped_row(self, row: RequestFinished) -> None:
        self.dropped += 1
        self._log.exception("usage_row_dropped", request_id=row.request_id)

    # -- into the file, and back -------------------------------------------------------------

    async def _keep_spooling(self) -> None:
        while True:
            await asyncio.sleep(SPOOL_SECONDS)
            if self._since is not None and monotonic() - self._since >= SPOOL_SECONDS:
                await self.spool()

    async def spool(self) -> None:
        """Write what is in memory only into the file too, as far as there is room. Never raises what a disk may."""
        if self._spool is None:
            return
        async with self._filing:
            rows = [row for row in (*self._batch, *self._pending) if row.request_id not in self._spooled]
            why_not = ""
            for begin in range(0, len(rows), SPOOL_ROWS):
                part = rows[begin : begin + SPOOL_ROWS]
                self._is_spooling = True
                try:
                    taken = await asyncio.to_thread(self._spool.append, part)
                except OSError as failure:
                    why_not, taken = failure.strerror or str(failure), 0
                finally:
                    self._is_spooling = False
                self._spooled.update(row.request_id for row in part[:taken])
                if taken < len(part):
                    why_not = why_not or "usage.max_spool_bytes is used up"
                    break
            if why_not and why_not != self._why_not_spooled:  # said once, not every second
                self._log.error("usage_not_spooled", pending=self.pending, reason=why_not)
            self._why_not_spooled = why_not

    async def _catch_up(self) -> None:
        """The database takes rows again: give it those that are in files, and do away with the files. Raises
        StoreUnavailable; then the files stay."""
        if self._spool is None:
            return
        if self._orphans is None:
            self._orphans = await asyncio.to_thread(self._spool.orphans)
        while self._orphans:
            await self._write_file(self._orphans[0], is_own=False)
            await asyncio.to_thread(self._orphans.pop(0).remove)
        if self._spool.own is None:
            return
        async with self._filing:
            if self._left_to_file:
                await self._write_file(self._spool.own, is_own=True)
            await asyncio.to_thread(self._spool.remove)
            self._spooled.clear()
            self._left_to_file = 0

    async def _write_file(self, file: SpoolFile, *, is_own: bool) -> None:
        """Everything in the file that the database lacks. Raises StoreUnavailable."""
        # Older ones may have been logged, counted and pruned since: they would be counted again.
        oldest = utc_now() - timedelta(days=self._settings.request_log_days)
        batches, written, too_old = file.batches(), 0, 0
        try:
            while batch := await asyncio.to_thread(next, batches, ()):
                kept = [row for row in batch if row.finished_at >= oldest]
                too_old += len(batch) - len(kept)
                async with self._writing:
                    fresh = await self._write_found(kept)
                    written += len(fresh)
                    if is_own:
                        self._settle(fresh)
        except OSError as failure:
            self._log.error("usage_file_not_read", reason=failure.strerror or str(failure))
        self.dropped += too_old + file.damaged
        self._log.info("usage_read_back", written=written, too_old=too_old, damaged=file.damaged)

    async def _write_found(self, rows: Sequence[RequestFinished]) -> list[RequestFinished]:
        """Returns those that were new."""
        try:
            return await self._insert(rows)
        except StoreUnavailable:
            raise
        except Exception:  # one of the rows cannot be written: the others can
            if len(rows) == 1:
                self._dropped_row(rows[0])
                return []
        return [one for row in rows for one in await self._write_found([row])]

    def _settle(self, fresh: Sequence[RequestFinished]) -> None:
        """These were in the file only; unless they are in memory as well, and then they are counted there."""
        for row in fresh:
            if row.request_id not in self._spooled:
                self._left_to_file -= 1
                self._count(row, -1)

    async def finish(self, seconds: float) -> None:
        """Before the end of the daemon: write what is pending, for so long at most, and leave the rest in the file for
        the next start."""
        if self._since is not None:  # it is away already: first what is certain
            await self._last_spool()
        try:
            async with asyncio.timeout(seconds):
                await self.flush()
        except Exception:  # the daemon is going down: what matters now is that nothing gets lost, or that it is named
            await self._last_spool()
        lost = [row for row in self._pending if row.request_id not in self._spooled]
        if lost:
            self._log.error("usage_lost", rows=len(lost))
        if self._spool is None:
            return
        for file in self._orphans or ():
            file.close()
        if self._pending or self._left_to_file:
            self._log.warning("usage_left_in_file", rows=self.pending - len(lost))
            self._spool.close()
        else:
            self._spool.remove()

    async def _last_spool(self) -> None:
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await self.spool()
        except TimeoutError:
            self._log.error("usage_not_spooled", pending=self.pending, reason="the disk does not answer")
