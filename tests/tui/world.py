"""A gateway of which every figure is known: what pictures of the dashboard show.

Behaviour is tested against a real daemon. A picture that is compared must be the same each time, so here the answers
are made up, in the wire types of the API, and handed to the real client through httpx.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.connection import FixedToken
from llmgate.contexts.stored import Store
from llmgate.contexts.target import Target
from tests.tui import world_lists as lists

NOW = datetime(2026, 11, 25, 14, 30, 0, tzinfo=UTC)
URL = "https://llm.example.org"
GROUPS: dict[str, list[tuple[Any, Any, float]]] = {
    "user": [("u1", "ann", 0.9), ("u2", "bob", 0.5), ("u3", "carla", 0.2)],
    "key": [("k1", "nightly", 1.6), ("k2", "editor", 0.9), ("k3", "search-index", 0.6), ("k4", "notebook", 0.2)],
    "principal": [
        (owner, name, share)
        for (name, owner), share in zip(lists.OWNERS.items(), (0.4, 0.1, 0.9, 1.6, 0.6), strict=True)
    ],
    "model": [(name, name, share) for name, share in zip(lists.MODELS, (1.4, 0.8, 0.5, 0.3, 0.2), strict=True)],
    "level": [("2", "2", 0.3), ("3", "3", 0.9), ("4", "4", 0.6), ("5", "5", 1.5)],
}
"""Name and share of each group of the usage report."""


def client(store: Store, target: Target) -> AdminClient:
    """What the dashboard connects with: the real client, whose requests never leave this process."""
    made = AdminClient(target.url, FixedToken("llmg_example"))
    made._wire._http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return made


def answer(request: httpx.Request) -> httpx.Response:
    """What the gateway says to a request."""
    path = request.url.path
    if path == "/admin/v1/events":
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=_Stream())
    if path == "/gate/auth/me":
        return _json(ME)
    place = path.removeprefix("/admin/v1/")
    if place == "usage":
        return _json(usage(dict(request.url.params)))
    found = lists.PLACES.get(place)
    if found is not None:
        return _json(found())
    noun, _, name = place.partition("/")
    for row in _rows(noun):
        if name in (getattr(row, field, None) for field in ("id", "name", "pool", "key", "seq", "ticket_id")):
            return _json(row)
    return httpx.Response(404, json={"code": "not_found", "detail": "There is no such thing.", "status": 404})


def _rows(noun: str) -> list[Any]:
    made: Callable[[], Any] | None = lists.PLACES.get(noun)
    return list(made().data) if made is not None else []


def _json(body: schemas.Answer) -> httpx.Response:
    return httpx.Response(200, json=body.model_dump(mode="json"))


class _Stream(httpx.AsyncByteStream):
    """The stream of events: the figures of one second, and then nothing more."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield f"event: stats\ndata: {stats().model_dump_json()}\n\n".encode()
        await asyncio.Event().wait()


ME = schemas.Me(
    kind="session",
    id="01JDX0SESSION",
    name="root",
    role="admin",
    level=3,
    user_id="01JDX0ROOT",
    session_id="01JDX0SESSION",
    models=None,
    routes=None,
    limits=None,
    used=None,
)


def stats(second: int = 0) -> schemas.StatsEvent:
    """The figures of a second; they rise and fall over the minutes."""
    wave = math.sin(second / 23)
    pools = [pool.model_copy() for pool in lists.pool_stats().data]
    pools[0].waiting_by_level = {1: 0, 2: 1, 3: max(0, round(6 + 5 * wave)), 4: 2, 5: max(0, round(12 - 8 * wave))}
    waiting = sum(sum(pool.waiting_by_level.values()) for pool in pools)
    return schemas.StatsEvent(
        type="stats",
        at=NOW,
        daemon="gate-1",
        seconds=1.0,
        requests_per_second=round(7.5 + 3 * wave, 1),
        errors_per_second=0.1 if second % 40 == 0 else 0.0,
        refused_per_second=0.0,
        input_tokens_per_second=round(2100 + 700 * wave),
        output_tokens_per_second=round(640 + 210 * wave),
        first_token_p50=0.31,
        first_token_p95=1.9,
        waiting=waiting,
        running=6,
        pools=pools,
    )


def events() -> list[schemas.FeedEvent]:
    """What happened last, oldest first."""

    def at(ago: float) -> datetime:
        return NOW - timedelta(seconds=ago)

    def waits(ago: float, who: str, level: int) -> schemas.FeedEvent:
        return schemas.WaitingEvent(
            type="request.waiting", at=at(ago), daemon="gate-1", request_id=f"req-{ago:g}", owner="key:k1",
            pool="gpu", model="llama3.2:latest", level=level, attempt=1, owner_name=who,
        )  # fmt: skip

    changed = schemas.UpstreamEvent(
        type="upstream.changed", at=at(95), daemon="gate-1", upstream="gpu2", before="healthy", after="degraded",
        usable=True, reason="Slow answers.",
    )  # fmt: skip
    promoted = schemas.PromotedEvent(
        type="ticket.promoted", at=at(40), daemon="gate-1", ticket_id="01JDXTICKET", pool="gpu", came_from=5, to=4
    )
    refused = schemas.RefusedEvent(
        type="request.refused", at=at(21), daemon="gate-1", request_id="req-21", protocol="openai",
        route="/v1/chat/completions", error_code="model_not_found", status=404,
    )  # fmt: skip
    return [changed, waits(60, "nightly", 5), promoted, refused, waits(9, "ann/editor", 3), waits(2, "bob", 2)]


def usage(query: dict[str, str]) -> schemas.UsageReport:
    """Sums by whatever was asked for: more in the day than at night."""
    group, then = query.get("group_by", "principal"), query.get("then_by")
    since = datetime.fromisoformat(query["since"]) if "since" in query else NOW - timedelta(days=1)
    since = since.replace(minute=0, second=0, microsecond=0)
    rows = [
        _sum(key, name, then_key, then_name, weight)
        for key, name, share in _groups(group, since)
        for then_key, then_name, portion in (_groups(then, since) if then else [(None, None, 1.0)])
        if (weight := share * portion) > 0
    ]
    return schemas.UsageReport(group_by=group, then_by=then, since=since, until=NOW, data=rows)


def _groups(group: str, since: datetime) -> list[tuple[Any, Any, float]]:
    if group in ("hour", "day"):
        step = timedelta(hours=1) if group == "hour" else timedelta(days=1)
        begin = since if group == "hour" else since.replace(hour=0)
        moments = [begin + number * step for number in range(int((NOW - begin) / step) + 1)]
        return [(_written(moment), _written(moment), 1.2 + math.sin((moment.hour - 8) / 4)) for moment in moments]
    return GROUPS.get(group, GROUPS["key"])


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _sum(key: str, name: str, then_key: Any, then_name: Any, weight: float) -> schemas.UsageRow:
    return schemas.UsageRow(
        key=key,
        name=name,
        then_key=then_key,
        then_name=then_name,
        requests=round(180 * weight),
        errors=round(2 * weight),
        input_tokens=round(91_000 * weight),
        output_tokens=round(34_000 * weight),
        wait_seconds=round(310 * weight, 1),
    )
