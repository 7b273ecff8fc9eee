"""What daemons tell each other through the broker.

A ticket is a message of its own, because the broker lets it wait and age. Everything else is a list of *items* in one
message: ``{"from": boot id, "items": [[name, …], …]}``. What one daemon has to tell another is gathered while the
broker confirms what was sent before, so that under load one message carries many items.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmgate.daemon.queue.ticket import LEVELS, Ticket

Item = Sequence[Any]

_encoder = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class TicketMessage:
    """A ticket and where it stands. ``daemon`` is the boot id of the one that holds the client's connection.

    ``seq`` grows when the owner writes the ticket anew (another level): older ones are void. ``level`` is the line
    that it was published to (``aged``: the aged lane) and ``since`` when its time there began, in seconds of the
    cluster's clock.
    """

    ticket: Ticket
    daemon: str
    seq: int
    level: int
    aged: bool
    since: float

    @property
    def version(self) -> tuple[int, int]:
        """Of two forms of a ticket the one with the greater version is the newer: a retried request is a new form."""
        return (self.ticket.attempt, self.seq)

    def later(self, seconds: float) -> TicketMessage:
        """With times on a clock that is so much ahead of the owner's."""
        if not seconds:
            return self
        ticket = replace(self.ticket, submitted_at=self.ticket.submitted_at + seconds)
        return replace(self, ticket=ticket, since=self.since + seconds)

    def encode(self) -> bytes:
        ticket = self.ticket
        return _encoder.encode(
            {
                "id": ticket.id,
                "pool": ticket.pool,
                "model": ticket.model,
                "submitted_level": ticket.level,
                "flow": ticket.flow,
                "owner": ticket.owner,
                "submitted_at": round(ticket.submitted_at, 4),
                "cost": ticket.cost,
                "weight": ticket.weight,
                "attempt": ticket.attempt,
                "avoid": sorted(ticket.avoid),
                "daemon": self.daemon,
                "seq": self.seq,
                "level": self.level,
                "aged": self.aged,
                "since": round(self.since, 4),
            }
        ).encode()

    @classmethod
    def decode(cls, body: bytes) -> TicketMessage:
        """Raises ValueError or LookupError when it is none."""
        told = _read(body)
        ticket = Ticket(
            id=str(told["id"]),
            pool=str(told["pool"]),
            model=str(told["model"]),
            level=_level(told["submitted_level"]),
            flow=str(told["flow"]),
            owner=str(told["owner"]),
            submitted_at=_number(told["submitted_at"]),
            cost=_number(told["cost"]),
            weight=_number(told["weight"]),
            attempt=int(_number(told["attempt"])),
            avoid=frozenset(map(str, told["avoid"])) if isinstance(told["avoid"], list) else frozenset(),
        )
        seq, level, since = int(_number(told["seq"])), _level(told["level"]), _number(told["since"])
        return cls(ticket, str(told["daemon"]), seq, level, told["aged"] is True, since)


def encode_items(sender: str, items: Sequence[Item]) -> bytes:
    return _encoder.encode({"from": sender, "items": items}).encode()


def decode_items(body: bytes) -> tuple[str, list[list[Any]]]:
    """The sender and its items. Raises ValueError or LookupError when it is no such message."""
    told = _read(body)
    items = told["items"]
    if not isinstance(items, list) or not all(isinstance(item, list) and item for item in items):
        raise ValueError("items are lists that begin with a name")
    return str(told["from"]), items


def _read(body: bytes) -> Mapping[str, Any]:
    told = json.loads(body)
    if not isinstance(told, dict):
        raise ValueError("not an object")
    return told


def _number(told: Any) -> float:
    if not isinstance(told, int | float) or not math.isfinite(told):
        raise ValueError("not a number")
    return told


def _level(told: Any) -> int:
    if told not in LEVELS:
        raise ValueError("not a level")
    return int(told)
