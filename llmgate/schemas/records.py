"""What was used, by whom, and what serves: usage, finished requests, the daemon."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from llmgate.schemas.base import Answer

GroupBy = Literal["principal", "user", "key", "model", "hour", "day", "level"]


class UsageRow(Answer):
    """The sums of one group. ``key`` identifies it, ``name`` is for people; ``then_…`` are those of ``then_by``."""

    key: str
    name: str
    then_key: str | None = None
    then_name: str | None = None
    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    wait_seconds: float


class UsageReport(Answer):
    group_by: GroupBy
    then_by: GroupBy | None = None
    since: datetime
    until: datetime
    data: list[UsageRow]


class RequestRecord(Answer):
    """One finished request."""

    request_id: str
    finished_at: datetime
    principal_kind: str
    principal_id: str
    principal_name: str
    user_id: str | None
    protocol: str
    route: str
    model: str
    pool: str | None
    upstream: str | None
    submitted_level: int
    stream: bool
    outcome: str
    status: int
    error_code: str | None
    wait: float
    first_byte: float | None
    duration: float
    input_tokens: int | None
    output_tokens: int | None
