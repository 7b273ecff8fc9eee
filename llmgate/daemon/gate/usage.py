"""What one has used oneself."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from llmgate import schemas
from llmgate.daemon.admin.dependencies import Daemon, Person
from llmgate.daemon.store import usage_sums
from llmgate.daemon.store.types import utc_now
from llmgate.daemon.store.usage_sums import GroupBy

router = APIRouter(prefix="/usage", tags=["usage"])

MOST_ROWS = 1000
SESSIONS = "sessions"
"""The name of the row for what was asked for in sessions, among the rows of keys."""
_GROUPS: dict[schemas.MyUsageBy, GroupBy] = {"day": "day", "model": "model", "key": "principal"}


@router.get("")
async def summary(
    daemon: Daemon,
    caller: Person,
    by: schemas.MyUsageBy = "day",
    days: Annotated[int, Query(ge=1, le=366, description="UTC days, today included.")] = 30,
) -> schemas.Page[schemas.MyUsage]:
    """What the caller has used lately, in sessions and with all own keys together.

    Days come in their order, those without a request are left out; models and keys with most requests first. Among the
    keys, ``sessions`` is what was asked for on the page or after a login.
    """
    now = utc_now()
    since = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
    await daemon.usage.flush()  # what has just finished counts already
    async with daemon.database.read() as tx:
        mine = usage_sums.Narrowed(own=await usage_sums.own(tx, caller.id))
        rows = await usage_sums.summary(
            tx, group_by=_GROUPS[by], since=since, until=now, narrowed=mine, limit=MOST_ROWS
        )
    return schemas.Page(data=[_shown(row, by, caller.owner) for row in rows])


def _shown(row: usage_sums.UsageRow, by: schemas.MyUsageBy, session: str) -> schemas.MyUsage:
    return schemas.MyUsage(
        name=SESSIONS if by == "key" and row.key == session else row.name,
        requests=row.requests,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
    )
