"""Finished requests, newest first."""

from __future__ import annotations

from typing import Any

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.notation import ago
from llmgate.text import precise
from llmgate.tui.columns import Column, Fact, Tone
from llmgate.tui.filters import Filter, level
from llmgate.tui.listing import Listing, Part, pages
from llmgate.tui.widgets.chart import brief

Record = schemas.RequestRecord
OUTCOMES: dict[str, Tone] = {
    "completed": "good",
    "rejected_limit": "warn",
    "rejected_full": "warn",
    "expired_in_queue": "bad",
    "cancelled_in_queue": "dim",
    "client_disconnected": "dim",
    "upstream_failed": "bad",
    "shutdown": "warn",
}
"""Every way in which a request can end, and how it looks."""


def since(text: str) -> str:
    """``24h``, or a time, as the API takes it. Raises ValueError."""
    return ago(text).isoformat()


def _tokens(row: Record) -> str:
    if row.input_tokens is None and row.output_tokens is None:
        return "-"
    return f"{brief(row.input_tokens or 0)}+{brief(row.output_tokens or 0)}"


def _sum(row: Record) -> int:
    return (row.input_tokens or 0) + (row.output_tokens or 0)


def _tone(row: Record) -> Tone:
    return OUTCOMES.get(row.outcome, "warn")


class Requests(Listing[Record]):
    """It is asked again when one more has finished."""

    title = "Requests"
    lists = "requests list"
    filters = (
        Filter("user", hint="NAME"),
        Filter("key", hint="NAME"),
        Filter("model", hint="NAME"),
        Filter("outcome", tuple(OUTCOMES)),
        Filter("level", ("1", "2", "3", "4", "5"), level),
        Filter("upstream", hint="NAME"),
        Filter("since", read=since, hint="24h"),
        Filter("until", read=since, hint="1h"),
        Filter("principal", hint="key:ID"),
    )
    search = "user"
    newest_first = True
    empty = "No request has finished yet."
    topics = frozenset({"request.finished"})
    columns = (
        Column[Record]("finished", lambda row: row.finished_at, 14),
        Column("who", lambda row: row.principal_name, 9, grow=2),
        Column("model", lambda row: row.model, 12, grow=2),
        Column("level", lambda row: row.submitted_level, 5, right=True, wide=90),
        Column("outcome", lambda row: row.outcome, 9, grow=2, tone=_tone),
        Column("status", lambda row: row.status, 6, right=True, wide=100, tone=_tone),
        Column("wait", lambda row: precise(row.wait), 6, right=True, by=lambda row: row.wait),
        Column("first", lambda row: precise(row.first_byte), 6, right=True, wide=108, by=lambda row: row.first_byte),
        Column("took", lambda row: precise(row.duration), 6, right=True, by=lambda row: row.duration),
        Column("tokens", _tokens, 9, right=True, by=_sum),
    )
    facts = (
        Fact[Record]("id", lambda row: row.request_id),
        Fact("finished", lambda row: row.finished_at),
        Fact("who", lambda row: f"{row.principal_name} ({row.principal_kind}:{row.principal_id})"),
        Fact("user's id", lambda row: row.user_id),
        Fact("model", lambda row: row.model),
        Fact("route", lambda row: f"{row.route} ({row.protocol}{', streamed' if row.stream else ''})"),
        Fact("level", lambda row: row.submitted_level),
        Fact("pool", lambda row: row.pool),
        Fact("upstream", lambda row: row.upstream),
        Fact("outcome", lambda row: row.outcome),
        Fact("status", lambda row: row.status),
        Fact("error", lambda row: row.error_code),
        Fact("waited", lambda row: precise(row.wait)),
        Fact("first byte", lambda row: precise(row.first_byte)),
        Fact("took", lambda row: precise(row.duration)),
        Fact("tokens in", lambda row: row.input_tokens),
        Fact("tokens out", lambda row: row.output_tokens),
    )

    def identity(self, row: Record) -> str:
        return row.request_id

    def named(self, row: Record) -> str:
        return row.request_id

    async def fetch(self, client: AdminClient, after: str | None, limit: int, **filters: Any) -> Part[Record]:
        return pages(await client.requests.page(after, limit, **filters))
