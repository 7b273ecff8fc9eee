"""The activity log: who changed what, who logged in, and whether the log is whole."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from llmgate import schemas
from llmgate.daemon.admin.answers import raises
from llmgate.daemon.admin.dependencies import Daemon, Paging, Part
from llmgate.daemon.chain import Head
from llmgate.daemon.clock import monotonic
from llmgate.daemon.store import activity
from llmgate.errors import Conflict, InvalidRequest

router = APIRouter(prefix="/activity", tags=["activity"])

Name = Annotated[str | None, Query(max_length=200, description="An id, or a name as it was then.")]
Moment = Annotated[schemas.When | None, Query()]
_LAST = 2**63 - 1


@router.get("")
async def list_entries(
    daemon: Daemon,
    part: Part,
    actor: Name = None,
    action: Annotated[
        str | None, Query(max_length=60, description="A whole one, or its beginning up to a dot: `key.`")
    ] = None,
    target: Name = None,
    since: Moment = None,
    until: Moment = None,
) -> schemas.Page[schemas.ActivityEntry]:
    """Changes and logins, newest first; those in [since, until)."""
    async with daemon.database.read() as tx:
        rows = await activity.page(
            tx,
            after=_seq_of(part),
            limit=part.and_one,
            actor=actor,
            action=action,
            target=target,
            since=_utc(since, "since"),
            until=_utc(until, "until"),
        )
    return part.page(rows, schemas.ActivityEntry, key="seq")


@router.get("/{seq}")
async def show(daemon: Daemon, seq: Annotated[int, Path(ge=1, le=_LAST)]) -> schemas.ActivityEntry:
    """An entry, by its number."""
    async with daemon.database.read() as tx:
        return schemas.ActivityEntry.model_validate(await activity.get(tx, seq))


@router.post("/verify", responses=raises(Conflict))
async def verify(
    daemon: Daemon, request: Request, body: schemas.ActivityVerify | None = None
) -> schemas.ActivityVerdict:
    """Prove that the log is whole; nothing waits for it meanwhile. 409 while another one is being carried out."""
    known = [Head(*daemon.changes.written)] if daemon.changes.written else []
    if body is not None and body.expected is not None:
        known.append(Head(body.expected.seq, body.expected.hash))
    began = monotonic()
    found = await daemon.chain.verify(known, given_up=request.is_disconnected)
    return schemas.ActivityVerdict(
        ok=found.ok,
        entries=found.entries,
        first_seq=found.first_seq,
        head=schemas.ActivityPlace.model_validate(found.head),
        checkpoint=schemas.ActivityCheckpoint.model_validate(found.checkpoint) if found.checkpoint else None,
        fault=schemas.ActivityFault.model_validate(found.fault) if found.fault else None,
        seconds=monotonic() - began,
    )


def _seq_of(part: Paging) -> int | None:
    if part.after is None:
        return None
    if part.after.isascii() and part.after.isdigit() and int(part.after[:20]) <= _LAST:
        return int(part.after)
    raise InvalidRequest("The cursor is not one of ours.", hint="Start at the first page.", param="after")


def _utc(when: datetime | None, name: str) -> datetime | None:
    try:
        return None if when is None else when.astimezone(UTC)
    except OverflowError:
        raise InvalidRequest("This time is out of range.", param=name) from None
