"""The activity log: who changed what, and who logged in, as a chain that shows whether it was tampered with.

The hash of an entry is HMAC-SHA256 (RFC 2104) over the hash of the entry before it and the entry's own fields, under a
key of the server's. So nobody who can only write to the database can change, insert or remove an entry in the middle
without it being seen. Entries are written in the transaction of the change that they tell of.
"""

from __future__ import annotations

import hmac
import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, Index, Table, func, select, text, union
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.events import ActivityRecorded
from llmgate.daemon.store.types import Text, UtcDateTime, columns_of, metadata, storable, utc_now
from llmgate.errors import NotFound

activity = Table(
    "activity",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor_kind", Text(20), nullable=False),
    Column("actor_id", Text(100), nullable=False),
    Column("actor_name", Text(200), nullable=False),
    Column("address", Text(64), nullable=False),
    Column("request_id", Text(100), nullable=False),
    Column("action", Text(60), nullable=False),
    Column("target_id", Text(200), nullable=False),
    Column("target_name", Text(200), nullable=False),
    Column("detail", Text(20_000), nullable=False),
    Column("hash", Text(64), nullable=False),
    Index(None, "at", "seq"),
    Index(None, "action", "seq"),
    Index(None, "actor_id", "seq"),
    Index(None, "actor_name", "seq"),
    Index(None, "target_id", "seq"),
    Index(None, "target_name", "seq"),
)

activity_checkpoints = Table(
    "activity_checkpoints",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", Text(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("signature", Text(64), nullable=False),
)
"""Where the chain begins once older entries were pruned: one row, the last pruned entry, signed."""

_COLUMNS = columns_of(activity, ActivityRecorded)
_chained = attrgetter(*(column.name for column in _COLUMNS if column.name != "hash"))
_CHAIN_LOCK = 0x6C6C6D67636861  # "llmgcha"
_SKEW = timedelta(minutes=1)
"""Times grow with the numbers, as long as clocks do not differ by more. One that was quite wrong for a while must not
make all later times wrong."""
GENESIS = "0" * 64
"""What stands before the first entry."""
_DETAIL = 20_000


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something. ``kind`` is that of the principal, or "local" for a command on the daemon's own machine."""

    kind: str
    id: str
    name: str
    address: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody does. ``detail`` must be JSON values, and hold no secret."""

    action: str
    target_id: str
    target_name: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The last entry that was pruned, when that was, and our signature (see ``signature_of``) over the three."""

    seq: int
    hash: str
    at: datetime
    signature: str


async def lock(tx: AsyncConnection, *, patience: float = 10.0) -> None:
    """Let no other transaction append until this one ends.

    Take it before anything else is locked: whoever takes it last can meet another in a circle. SQLite has one writer
    anyhow. A daemon that freezes while it holds the lock loses it after ``patience`` seconds, with its connection.
    """
    if tx.dialect.name == "postgresql":
        values = {"frozen": f"{patience * 1000:.0f}", "key": _CHAIN_LOCK}
        await tx.execute(text("SELECT set_config('idle_in_transaction_session_timeout', :frozen, true)"), values)
        await tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), values)


async def append(tx: AsyncConnection, key: bytes, actor: Actor, notes: Sequence[Note]) -> list[ActivityRecorded]:
    """Write entries behind the last one, with the ``lock`` held. ``key`` is the server's key of the chain."""
    seq, previous = await head(tx)
    latest = await tx.scalar(select(activity.c.at).order_by(activity.c.seq.desc()).limit(1))
    entries = []
    for note in notes:
        seq += 1
        entry = entry_of(seq, actor, note)
        if latest is not None and entry.at < latest <= entry.at + _SKEW:  # the clock of another daemon is ahead
            entry = replace(entry, at=latest)
        previous = digest(key, previous, entry)
        entries.append(replace(entry, hash=previous))
    if entries:
        await tx.execute(activity.insert(), [asdict(entry) for entry in entries])
    return entries


async def head(tx: AsyncConnection) -> tuple[int, str]:
    """Number and hash of the last entry, of the last pruned one where none is left, else of the beginning."""
    for table in (activity, activity_checkpoints):
        found = (await tx.execute(select(table.c.seq, table.c.hash).order_by(table.c.seq.desc()).limit(1))).first()
        if found is not None:
            return found.seq, found.hash
    return 0, GENESIS


async def holds(tx: AsyncConnection, seq: int, its_hash: str) -> bool:
    """Whether this entry, which was there once, is there still, or was pruned since."""
    found = await tx.scalar(select(activity.c.hash).where(activity.c.seq == seq))
    if found is not None:
        return bool(found == its_hash)
    mark = await checkpoint(tx)
    return mark is not None and mark.seq >= seq


async def page(
    tx: AsyncConnection,
    *,
    after: int | None = None,
    limit: int = 100,
    actor: str | None = None,
    action: str | None = None,
    target: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[ActivityRecorded]:
    """Entries, newest first, behind the one with the number ``after``.

    ``actor`` and ``target`` are an id or a name as it was then, ``action`` is a whole one or its beginning up to a
    dot (``key.``); ``since`` counts, ``until`` does not.
    """
    columns = activity.c
    always: list[ColumnElement[bool]] = []
    if after is not None:
        always.append(columns.seq < after)
    if action is not None:
        always.append(
            columns.action.startswith(action, autoescape=True) if action[-1:] == "." else _is("action", action)
        )
    # Times grow with the numbers: the first and the last number of a span are found at once, and no other row is read.
    if since is not None:
        always.append(columns.at >= since)
        first = select(columns.seq).where(columns.at >= since).order_by(columns.at, columns.seq)
        always.append(columns.seq >= first.limit(1).scalar_subquery())
    if until is not None:
        always.append(columns.at < until)
        last = select(columns.seq).where(columns.at < until).order_by(columns.at.desc(), columns.seq.desc())
        always.append(columns.seq <= last.limit(1).scalar_subquery())
    either = [[_is(f"{who}_id", name), _is(f"{who}_name", name)]
              for who, name in (("actor", actor), ("target", target)) if name is not None]  # fmt: skip
    # One question for each index that can answer it in order; "id or name" in one would read and sort everything.
    parts = [
        select(*_COLUMNS).where(*always, *chosen).order_by(columns.seq.desc()).limit(limit)
        for chosen in itertools.product(*either)
    ]
    if len(parts) == 1:
        return [ActivityRecorded(*row) for row in await tx.execute(parts[0])]
    found = union(*(select(part.subquery()) for part in parts)).subquery()
    return [ActivityRecorded(*row) for row in await tx.execute(select(found).order_by(found.c.seq.desc()).limit(limit))]


def _is(column: str, text_of_it: str) -> ColumnElement[bool]:
    return activity.c[column] == text_of_it


async def newest(tx: AsyncConnection) -> int:
    """The number of the last entry; 0 when there is none."""
    return await tx.scalar(select(func.max(activity.c.seq))) or 0


async def actions(tx: AsyncConnection, *, after: int) -> set[str]:
    """What was done behind the entry of this number."""
    found = await tx.execute(select(activity.c.action).where(activity.c.seq > after).distinct())
    return set(found.scalars())


async def get(tx: AsyncConnection, seq: int) -> ActivityRecorded:
    row = (await tx.execute(select(*_COLUMNS).where(activity.c.seq == seq))).first()
    if row is None:
        raise NotFound("There is no such entry.", hint="It may be older than what is kept.")
    return ActivityRecorded(*row)


async def chain(tx: AsyncConnection, *, after: int, upto: int, limit: int) -> list[ActivityRecorded]:
    """The first entries behind the number ``after``, oldest first."""
    statement = select(*_COLUMNS).where(activity.c.seq > after, activity.c.seq <= upto).order_by(activity.c.seq)
    return [ActivityRecorded(*row) for row in await tx.execute(statement.limit(limit))]


async def lowest(tx: AsyncConnection, *, upto: int) -> int | None:
    """The first of the numbers up to this one that is in use."""
    found: int | None = await tx.scalar(select(func.min(activity.c.seq)).where(activity.c.seq <= upto))
    return found


async def checkpoint(tx: AsyncConnection) -> Checkpoint | None:
    """Where the chain begins; None at its very beginning."""
    table = activity_checkpoints
    row = (await tx.execute(select(*columns_of(table, Checkpoint)).order_by(table.c.seq.desc()).limit(1))).first()
    return Checkpoint(*row) if row is not None else None


async def cut_off(tx: AsyncConnection, key: bytes, last: ActivityRecorded) -> None:
    """Forget ``last`` and everything before it, and leave a signed checkpoint."""
    now = utc_now()
    made = Checkpoint(last.seq, last.hash, now, signature_of(key, last.seq, last.hash, now))
    await tx.execute(activity.delete().where(activity.c.seq <= last.seq))
    await tx.execute(activity_checkpoints.delete())
    await tx.execute(activity_checkpoints.insert().values(**asdict(made)))


def signature_of(key: bytes, seq: int, last_hash: str, at: datetime) -> str:
    """What a checkpoint is signed with."""
    content = json.dumps(["checkpoint", seq, last_hash, at.astimezone(UTC).isoformat(timespec="microseconds")])
    return hmac.digest(key, content.encode(), "sha256").hex()


def digest(key: bytes, previous: str, entry: ActivityRecorded) -> str:
    """The hash that ``entry`` must have behind an entry with the hash ``previous``."""
    fields = list(_chained(entry))
    fields[1] = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    text_of_it = json.dumps([previous, *fields], ensure_ascii=True, separators=(",", ":"))
    return hmac.digest(key, text_of_it.encode(), "sha256").hex()


def entry_of(seq: int, actor: Actor, note: Note) -> ActivityRecorded:
    """As the columns will hold it: what is read back must have the hash that was computed here."""
    detail = json.dumps(note.detail, ensure_ascii=True, sort_keys=True, separators=(",", ":"), default=_plain)
    if len(detail) > _DETAIL:
        detail = json.dumps({"too_long": sorted(note.detail)}, ensure_ascii=True)[:_DETAIL]
    return ActivityRecorded(
        seq=seq,
        at=utc_now(),
        actor_kind=storable(actor.kind, 20),
        actor_id=storable(actor.id, 100),
        actor_name=storable(actor.name, 200),
        address=storable(actor.address, 64),
        request_id=storable(actor.request_id, 100),
        action=note.action,
        target_id=storable(note.target_id, 200),
        target_name=storable(note.target_name, 200),
        detail=detail,
        hash="",
    )


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
