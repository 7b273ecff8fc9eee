"""What the live stream ``/admin/v1/events`` tells: server-sent events whose ``data`` is one of these objects."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from llmgate.schemas.activity import ActivityEntry
from llmgate.schemas.base import Answer
from llmgate.schemas.queue import PoolStats
from llmgate.schemas.records import RequestRecord

EventType = Literal[
    "request.waiting",
    "request.started",
    "request.finished",
    "request.refused",
    "ticket.promoted",
    "upstream.changed",
    "activity",
    "settings.changed",
    "stats",
]
"""What one can ask for. ``lost``, ``reset`` and ``end`` come whatever was asked for."""


class FeedEvent(Answer):
    """What every event tells: what it is (also the name of the server-sent event), when it was, and in which daemon."""

    type: str
    at: datetime
    daemon: str


class WaitingEvent(FeedEvent):
    """A request was admitted and stands in line. ``attempt`` counts from 1: an upstream may have refused it before.

    ``owner_name`` is what people call the owner, as in Waiting. Here it may be that of up to a minute ago.
    """

    type: Literal["request.waiting"]
    request_id: str
    owner: str
    owner_name: str = ""
    pool: str
    model: str
    level: int
    attempt: int


class StartedEvent(FeedEvent):
    """A request has got its turn, after ``wait`` seconds. ``owner_name`` as in Waiting."""

    type: Literal["request.started"]
    request_id: str
    owner: str
    owner_name: str = ""
    pool: str
    model: str
    level: int
    upstream: str
    wait: float


class FinishedEvent(RequestRecord):
    """A request has ended, as the request log tells it."""

    type: Literal["request.finished"]
    at: datetime
    daemon: str


class RefusedEvent(FeedEvent):
    """A request never stood in line: no valid credential, body, route or model."""

    type: Literal["request.refused"]
    request_id: str
    protocol: str
    route: str
    error_code: str
    status: int


class PromotedEvent(FeedEvent):
    """A waiting request aged into another line; ``to`` is 0 for the aged lane."""

    type: Literal["ticket.promoted"]
    ticket_id: str
    pool: str
    came_from: int
    to: int


class UpstreamEvent(FeedEvent):
    """The health of an upstream has changed. ``usable``: it may be given requests now."""

    type: Literal["upstream.changed"]
    upstream: str
    before: str
    after: str
    usable: bool
    reason: str


class ActivityEvent(ActivityEntry):
    """Somebody has changed something, or logged in: one entry of the activity log."""

    type: Literal["activity"]
    daemon: str


class SettingsEvent(FeedEvent):
    """Other settings hold in this daemon from now on: those of these keys, written ``section.name``."""

    type: Literal["settings.changed"]
    keys: list[str]


class StatsEvent(FeedEvent):
    """How the gateway does, once a second: all daemons together, over the last ``seconds``.

    Requests and tokens count when a request ends. ``first_token_p50`` and ``_p95`` are seconds from the arrival of a
    request to the first byte of its answer; null when none was answered.
    """

    type: Literal["stats"]
    seconds: float
    requests_per_second: float
    errors_per_second: float
    refused_per_second: float
    input_tokens_per_second: float
    output_tokens_per_second: float
    first_token_p50: float | None
    first_token_p95: float | None
    waiting: int
    running: int
    pools: list[PoolStats]


class LostEvent(FeedEvent):
    """So many events were dropped: this client, or the line between two daemons, was too slow for them."""

    type: Literal["lost"]
    count: int


class ResetEvent(FeedEvent):
    """The stream cannot go on behind the event of ``Last-Event-ID``: what happened since then is not known here."""

    type: Literal["reset"]


class EndEvent(FeedEvent):
    """The last event: the daemon ends the stream, for the reason of this code (see the errors)."""

    type: Literal["end"]
    code: str
    message: str


AnyEvent = Annotated[
    WaitingEvent
    | StartedEvent
    | FinishedEvent
    | RefusedEvent
    | PromotedEvent
    | UpstreamEvent
    | ActivityEvent
    | SettingsEvent
    | StatsEvent
    | LostEvent
    | ResetEvent
    | EndEvent,
    Field(discriminator="type"),
]
