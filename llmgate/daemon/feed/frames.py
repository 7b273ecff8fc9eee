"""Events as they go over the wire: one server-sent event each."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final

from llmgate.daemon.events import (
    ActivityRecorded,
    Event,
    RequestFinished,
    RequestRefused,
    RequestStarted,
    RequestWaiting,
    SettingsChanged,
    TicketPromoted,
    UpstreamChanged,
)

NAMES: Final[dict[type[Any], str]] = {
    RequestWaiting: "request.waiting",
    RequestStarted: "request.started",
    RequestFinished: "request.finished",
    RequestRefused: "request.refused",
    TicketPromoted: "ticket.promoted",
    UpstreamChanged: "upstream.changed",
    ActivityRecorded: "activity",
    SettingsChanged: "settings.changed",
}
"""What of the bus is told, and how it is called."""
STATS: Final = "stats"


def _text(value: Any) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


# ASCII only: names that come from clients may hold half a character, or what some readers take for the end of a line.
_encoder = json.JSONEncoder(separators=(",", ":"), default=_text)


@dataclass(frozen=True, slots=True)
class Frame:
    """One event, ready to be sent. ``seq`` counts the events of one daemon, from 1; 0: nobody can resume behind it."""

    seq: int
    name: str
    wire: bytes


def frame_of(name: str, data: str, boot: str = "", seq: int = 0) -> Frame:
    """``data`` is JSON on one line."""
    place = f"id: {boot}-{seq}\n" if seq else ""
    return Frame(seq, name, f"{place}event: {name}\ndata: {data}\n\n".encode())


def data_of(name: str, at: float, daemon: str, facts: dict[str, Any]) -> str:
    """The JSON of an event. ``at`` is in seconds since 1970."""
    return _encoder.encode({"type": name, "at": datetime.fromtimestamp(at, UTC), "daemon": daemon, **facts})


def facts_of(event: Event) -> dict[str, Any]:
    """What an event of the bus tells beside when and where it was."""
    facts = {field.name: getattr(event, field.name) for field in fields(event)}
    if isinstance(event, ActivityRecorded):
        facts["detail"] = json.loads(event.detail)
    return facts
