"""What was used, by whom, and what serves: usage, finished requests, upstreams, the daemon."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from llmgate.schemas.base import Answer

GroupBy = Literal["principal", "user", "key", "model", "hour", "day", "level"]


class UsageRow(Answer):
    key: str
    name: str
    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    wait_seconds: float


class UsageReport(Answer):
    group_by: GroupBy
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


class Upstream(Answer):
    name: str
    kind: str
    url: str
    pool: str
    slots: int
    state: str
    reason: str
    models: list[str]
    loaded: list[str]
    version: str


class System(Answer):
    version: str
    started_at: datetime
    uptime: float
    ready: bool
    not_ready: list[str]
    queue_backend: str
    queue_state: str
