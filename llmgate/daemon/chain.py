"""Proves that the activity log is whole, and forgets its oldest part without breaking it.

The log is read in batches, each in a transaction of its own, and never locked: changes and logins go on meanwhile.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.events import ActivityRecorded
from llmgate.daemon.store import activity
from llmgate.daemon.store.activity import Checkpoint
from llmgate.daemon.store.database import Database
from llmgate.errors import Conflict, InvalidRequest

BATCH_ROWS = 250
"""Entries that are read and judged at once: few enough that the event loop is not held up."""


class Kind(StrEnum):
    """In which way a log is broken."""

    ALTERED = "altered"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    REVIVED = "revived"
    CHECKPOINT = "checkpoint"
    END_MISSING = "end_missing"
    OTHER_HISTORY = "other_history"


@dataclass(frozen=True, slots=True)
class Fault:
    """Where and how a log is broken. ``seq`` is the first entry that is not as it was."""

    seq: int
    kind: Kind
    message: str


@dataclass(frozen=True, slots=True)
class Head:
    """An entry's number and hash. Noted elsewhere, it proves later that nothing up to there was cut or rewritten."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification has found. ``head`` is the last entry that fits, ``entries`` how many there were."""

    entries: int
    first_seq: int | None
    head: Head
    checkpoint: Checkpoint | None
    fault: Fault | None

    @property
    def ok(self) -> bool:
        return self.fault is None


class ChainBroken(Exception):
    """The log is not what was written."""

    def __init__(self, seq: int, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.fault = Fault(seq, kind, message)


async def _never() -> bool:
    return False


class ActivityChain:
    """The chain of the activity log. ``key`` is the server's key of it."""

    def __init__(self, database: Database, key: bytes) -> None:
        self._database = database
        self._key = key
        self._verifying = asyncio.Lock()

    async def verify(
        self, expected: Iterable[Head] = (), *, given_up: Callable[[], Awaitable[bool]] = _never
    ) -> Verdict:
        """Walk from the beginning (or the checkpoint) to what is the end now.

        ``expected`` are heads that were noted before. Stops early, with what was seen so far, once ``given_up``.
        Raises Conflict while another verification runs in this daemon, StoreUnavailable.
        """
        if self._verifying.locked():
            raise Conflict("The activity log is being verified already.", hint="Try again when that is done.")
        async with self._verifying:
            walk = _Walk(self._database, self._key, list(expected))
            try:
                await walk.run(given_up)
            except ChainBroken as broken:
                return walk.verdict(broken.fault)
            return walk.verdict(None)

    async def prune(self, tx: AsyncConnection, before: datetime, rows: int) -> int:
        """Forget the oldest entries, at most ``rows`` and none that was written since ``before``; returns how many.

        They are verified first: a log that somebody has tampered with is evidence, and stays. Raises ChainBroken. The
        newest entry is always kept. Only one transaction at a time may do this.
        """
        mark = await activity.checkpoint(tx)
        place = _beginning(self._key, mark)
        end, _ = await activity.head(tx)
        oldest = await activity.chain(tx, after=place.seq, upto=end - 1, limit=rows)
        old = list(itertools.takewhile(lambda entry: entry.at < before, oldest))
        if not old:
            return 0
        _follow(self._key, place, old)
        await activity.cut_off(tx, self._key, old[-1])
        return len(old)


class _Walk:
    """One verification: how far it has come."""

    def __init__(self, database: Database, key: bytes, expected: Sequence[Head]) -> None:
        self._database = database
        self._key = key
        self._expected = expected
        self._place = Head(0, activity.GENESIS)
        self._mark: Checkpoint | None = None
        self._first: int | None = None
        self._entries = 0

    def verdict(self, fault: Fault | None) -> Verdict:
        return Verdict(self._entries, self._first, self._place, self._mark, fault)

    async def run(self, given_up: Callable[[], Awaitable[bool]]) -> None:
        """Raises ChainBroken where it does not fit."""
        async with self._database.read() as tx:
            mark = await activity.checkpoint(tx)
            revived = await activity.lowest(tx, upto=mark.seq if mark else 0)
            end, _ = await activity.head(tx)
        self._start_at(mark)
        if revived is not None:
            raise ChainBroken(revived, Kind.REVIVED, f"Entry {revived} is there, and should be gone.")
        rows = BATCH_ROWS
        while self._place.seq < end and not await given_up():
            rows = await self._step(end, rows)
        if self._place.seq >= end:
            self._judge_end()

    async def _step(self, end: int, rows: int) -> int:
        """Judge the next entries, and say how many to take the next time."""
        try:
            async with self._database.read() as tx:
                batch = await activity.chain(tx, after=self._place.seq, upto=end, limit=rows)
                mark = await activity.checkpoint(tx)
        except (TypeError, ValueError, OverflowError, InvalidRequest):  # times that are none, or that Python has not
            if rows > 1:
                return 1
            raise ChainBroken(self._place.seq + 1, Kind.UNREADABLE, "An entry here cannot be read.") from None
        follows = bool(batch) and batch[0].seq == self._place.seq + 1
        if not follows and mark is not None and mark.seq > self._place.seq:
            self._start_at(mark)  # it was pruned while we read
            return rows
        if not batch:
            raise _cut_off(self._place.seq, end)
        self._take(batch)
        return rows

    def _start_at(self, mark: Checkpoint | None) -> None:
        self._place = _beginning(self._key, mark)
        self._mark = mark
        self._compare(self._place)

    def _take(self, batch: Sequence[ActivityRecorded]) -> None:
        for entry in batch:
            self._place = _follow(self._key, self._place, [entry])
            self._entries += 1
            if self._first is None:
                self._first = entry.seq
            self._compare(self._place)

    def _compare(self, place: Head) -> None:
        if any(noted.seq == place.seq and noted.hash != place.hash for noted in self._expected):
            raise ChainBroken(place.seq, Kind.OTHER_HISTORY, f"Entry {place.seq} is another one than was noted before.")

    def _judge_end(self) -> None:
        known = max((noted.seq for noted in self._expected), default=0)
        if known > self._place.seq:
            raise _cut_off(self._place.seq, known)
        if self._mark is not None and not self._entries:
            raise _cut_off(self._place.seq, self._place.seq + 1)  # pruning always leaves the newest


def _cut_off(last: int, known: int) -> ChainBroken:
    return ChainBroken(
        last + 1,
        Kind.END_MISSING,
        f"The end is cut off: the log ends with entry {last}, and there was an entry {known}.",
    )


def _beginning(key: bytes, mark: Checkpoint | None) -> Head:
    """What stands before the first entry that is kept. Raises ChainBroken when the checkpoint is not ours."""
    if mark is None:
        return Head(0, activity.GENESIS)
    expected = activity.signature_of(key, mark.seq, mark.hash, mark.at)
    if not _same(expected, mark.signature):
        raise ChainBroken(mark.seq, Kind.CHECKPOINT, f"The checkpoint of entry {mark.seq} does not bear our signature.")
    return Head(mark.seq, mark.hash)


def _follow(key: bytes, place: Head, entries: Sequence[ActivityRecorded]) -> Head:
    """The last of ``entries``, which must follow ``place`` one by one. Raises ChainBroken."""
    for entry in entries:
        if entry.seq != place.seq + 1:
            missing = f"{place.seq + 1}" if entry.seq == place.seq + 2 else f"{place.seq + 1} to {entry.seq - 1}"
            raise ChainBroken(
                place.seq + 1, Kind.MISSING, f"What should be before entry {entry.seq} is missing: {missing}."
            )
        try:
            fits = _same(activity.digest(key, place.hash, entry), entry.hash)
        except (TypeError, ValueError, AttributeError, OverflowError):  # SQLite holds anything in any column
            fits = False
        if not fits:
            message = f"Entry {entry.seq} is not as it was written, or does not belong behind entry {place.seq}."
            raise ChainBroken(entry.seq, Kind.ALTERED, message)
        place = Head(entry.seq, entry.hash)
    return place


def _same(ours: str, theirs: str) -> bool:
    return hmac.compare_digest(ours.encode(), theirs.encode("utf-8", "replace"))
