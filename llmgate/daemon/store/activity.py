"""The activity log: who changed what, and who logged in, as a chain that shows whether it was tampered with.

The hash of an entry is HMAC-SHA256 (RFC 2104) over the hash of the entry before it and the entry's own fields, under a
key of the server's. So nobody who can only write to the database can change, insert or remove an entry in the middle
without it being seen. Entries are written in the transaction of the change that they tell of.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Index, Table, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.events import ActivityRecorded
from llmgate.daemon.store.types import Text, UtcDateTime, columns_of, metadata, storable, utc_now

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
    Index(None, "at"),
    Index(None, "actor_kind", "actor_id", "seq"),
    Index(None, "action", "seq"),
)

activity_checkpoints = Table(
    "activity_checkpoints",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", Text(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("signature", Text(64), nullable=False),
)
"""Where the chain begins once older entries were pruned: the last pruned entry, and a signature over it."""

_COLUMNS = columns_of(activity, ActivityRecorded)
_CHAIN_LOCK = 0x6C6C6D67636861  # "llmgcha"
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


async def lock(tx: AsyncConnection) -> None:
    """Let no other transaction append until this one ends.

    Take it before anything else is locked: whoever takes it last can meet another in a circle. SQLite has one writer
    anyhow.
    """
    if tx.dialect.name == "postgresql":
        await tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CHAIN_LOCK})


async def append(tx: AsyncConnection, key: bytes, actor: Actor, notes: Sequence[Note]) -> list[ActivityRecorded]:
    """Write entries behind the last one; see ``lock``. ``key`` is the server's key of the chain."""
    await lock(tx)
    seq, previous = await head(tx)
    entries = []
    for note in notes:
        seq += 1
        entry = _entry(seq, actor, note)
        previous = digest(key, previous, entry)
        entries.append(replace(entry, hash=previous))
    if entries:
        names = [column.name for column in _COLUMNS]
        await tx.execute(activity.insert(), [dict(zip(names, astuple(entry), strict=True)) for entry in entries])
    return entries


async def head(tx: AsyncConnection) -> tuple[int, str]:
    """Number and hash of the last entry, of the last pruned one where none is left, else of the beginning."""
    for table in (activity, activity_checkpoints):
        found = (await tx.execute(select(table.c.seq, table.c.hash).order_by(table.c.seq.desc()).limit(1))).first()
        if found is not None:
            return found.seq, found.hash
    return 0, GENESIS


def digest(key: bytes, previous: str, entry: ActivityRecorded) -> str:
    """The hash that ``entry`` must have behind an entry with the hash ``previous``."""
    fields = list(astuple(replace(entry, hash="")))
    fields[1] = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    text_of_it = json.dumps([previous, *fields], ensure_ascii=True, separators=(",", ":"))
    return hmac.digest(key, text_of_it.encode(), "sha256").hex()


def _entry(seq: int, actor: Actor, note: Note) -> ActivityRecorded:
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
