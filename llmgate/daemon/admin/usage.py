"""What was used: sums, and the log of single requests."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate import schemas
from llmgate.daemon.admin import spreadsheet
from llmgate.daemon.admin.dependencies import Daemon, Part
from llmgate.daemon.queue.ticket import Outcome
from llmgate.daemon.store import keys, requests, usage_sums, users
from llmgate.daemon.store.types import utc_now
from llmgate.errors import InvalidRequest, NotFound

router = APIRouter(tags=["usage"])

MOST_GROUPS = 20_000
"""Longest report: it is made in one piece."""
_DAY = timedelta(days=1)
_CSV: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string", "description": "With `format=csv`."}}}}
}

Filter = Annotated[str | None, Query(max_length=200)]
User = Annotated[str | None, Query(max_length=200, description="Id or name; who is deleted has only an id.")]
Key = Annotated[str | None, Query(max_length=200, description="Id or name; what is deleted has only an id.")]
Principal = Annotated[str | None, Query(max_length=200, description="As in `key:aB3dE5gH7j` or `address:10.0.0.1`.")]
Level = Annotated[int | None, Query(ge=1, le=5, description="The level of submission.")]


@router.get("/usage", response_model=schemas.UsageReport, responses=_CSV)
async def summary(
    daemon: Daemon,
    group_by: schemas.GroupBy = "principal",
    then_by: schemas.GroupBy | None = None,
    since: schemas.When | None = None,
    until: schemas.When | None = None,
    principal: Principal = None,
    user: User = None,
    key: Key = None,
    model: Filter = None,
    level: Level = None,
    format: Literal["json", "csv"] = "json",  # noqa: A002  that is what users of other APIs try first
) -> schemas.UsageReport | Response:
    """Sums since ``since`` (default: 24 hours ago), which is rounded down to the hour: usage is kept by the hour.

    ``then_by`` sums each group again by a second word. With ``format=csv`` the answer is a table for spreadsheets,
    in which text that one would carry out as a formula stands behind an apostrophe.
    """
    if then_by == group_by:
        raise InvalidRequest("These are the same groups twice.", param="then_by")
    start, end = _span(since, until)
    await daemon.usage.flush()  # what has just finished counts already
    async with daemon.database.read() as tx:
        user_id, key_id = await _ids(tx, user, key)
        narrowed = usage_sums.Narrowed(principal=principal, user=user_id, key=key_id, model=model, level=level)
        rows = await usage_sums.summary(
            tx,
            group_by=group_by,
            then_by=then_by,
            since=start,
            until=end,
            narrowed=narrowed,
            limit=MOST_GROUPS + 1,
        )
    if len(rows) > MOST_GROUPS:
        raise InvalidRequest(f"These are more than {MOST_GROUPS:,} groups.", hint="Ask for less time, or narrow it.")
    if format == "csv":
        text = await asyncio.to_thread(spreadsheet.usage, rows, group_by, then_by)
        name = {"content-disposition": 'attachment; filename="usage.csv"'}
        return Response(text, media_type="text/csv", headers=name)
    sums = [schemas.UsageRow.model_validate(row) for row in rows]
    return schemas.UsageReport(group_by=group_by, then_by=then_by, since=start, until=end, data=sums)


@router.get("/requests")
async def list_requests(
    daemon: Daemon,
    part: Part,
    principal: Principal = None,
    user: User = None,
    key: Key = None,
    model: Filter = None,
    outcome: Outcome | None = None,
    level: Level = None,
    upstream: Filter = None,
    since: schemas.When | None = None,
    until: schemas.When | None = None,
) -> schemas.Page[schemas.RequestRecord]:
    """Finished requests, newest first; those that ended from ``since`` on and before ``until``."""
    if principal is not None and key is not None:
        raise InvalidRequest("A key is a principal: name one of them.", param="key")
    await daemon.usage.flush()
    async with daemon.database.read() as tx:
        user_id, key_id = await _ids(tx, user, key)
        wanted = requests.Wanted(
            owner=principal,
            user=user_id,
            key=key_id,
            model=model,
            outcome=outcome,
            level=level,
            upstream=upstream,
            since=_utc(since),
            until=_utc(until),
        )
        rows = await requests.page(tx, after=part.after, limit=part.and_one, wanted=wanted)
    return part.page(rows, schemas.RequestRecord, key="request_id")


def _span(since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    """From a full hour on until the end. Raises InvalidRequest for times before the first or after the last year."""
    end = _utc(until) or utc_now()
    try:
        start = _utc(since) or end - _DAY
    except OverflowError:
        raise _no_times() from None
    return start.replace(minute=0, second=0, microsecond=0), end


def _utc(moment: datetime | None) -> datetime | None:
    try:
        return None if moment is None else moment.astimezone(UTC)
    except OverflowError:
        raise _no_times() from None


def _no_times() -> InvalidRequest:
    return InvalidRequest("These are no usable times.", hint="Write them like 2026-12-31T08:00Z.")


async def _ids(tx: AsyncConnection, user: str | None, key: str | None) -> tuple[str | None, str | None]:
    """Ids of those that are named. What is not known may have been deleted: then it was named by its id."""
    with suppress(NotFound):
        user = (await users.resolve(tx, user)).id if user is not None else None
    with suppress(NotFound):
        key = (await keys.resolve(tx, key)).id if key is not None else None
    return user, key
