"""What was used: sums, and the log of single requests."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from llmgate import schemas
from llmgate.daemon.admin.dependencies import Daemon, Part
from llmgate.daemon.queue.ticket import Outcome
from llmgate.daemon.store import requests, usage
from llmgate.daemon.store.types import utc_now
from llmgate.errors import InvalidRequest

router = APIRouter(tags=["usage"])

_DAY = timedelta(days=1)

Filter = Annotated[str | None, Query(max_length=200)]


@router.get("/usage")
async def summary(
    daemon: Daemon,
    group_by: schemas.GroupBy = "principal",
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    principal: Filter = None,
    model: Filter = None,
) -> schemas.UsageReport:
    """Sums since ``since`` (default: 24 hours ago), which is rounded down to the hour: usage is kept by the hour."""
    try:
        end = (until or utc_now()).astimezone(UTC)
        start = (since or end - _DAY).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    except OverflowError:
        raise InvalidRequest("These are no usable times.", hint="Write them like 2026-12-31T08:00Z.") from None
    await daemon.usage.flush()  # what has just finished counts already
    async with daemon.database.read() as tx:
        rows = await usage.summary(tx, group_by=group_by, since=start, until=end, principal=principal, model=model)
    sums = [schemas.UsageRow.model_validate(row) for row in rows]
    return schemas.UsageReport(group_by=group_by, since=start, until=end, data=sums)


@router.get("/requests")
async def list_requests(
    daemon: Daemon,
    part: Part,
    principal: Filter = None,
    model: Filter = None,
    outcome: Outcome | None = None,
) -> schemas.Page[schemas.RequestRecord]:
    """Finished requests, newest first. ``principal`` is written like ``key:aB3dE5gH7j``."""
    await daemon.usage.flush()
    async with daemon.database.read() as tx:
        rows = await requests.page(
            tx, after=part.after, limit=part.and_one, owner=principal, model=model, outcome=outcome
        )
    return part.page(rows, schemas.RequestRecord, key="request_id")
