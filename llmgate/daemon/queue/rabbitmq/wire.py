"""What daemons tell each other through the broker.

A ticket is a message of its own, because the broker lets it wait and age. Everything else is a list of *items* in one
message: ``{"from": boot id, "items": [[name, …], …]}``. What one daemon has to tell another is gathered while the
broker confirms what was sent before, so that under load one message carries many items.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmgate.daemon.queue.ticket import Ticket

Item = Sequence[Any]

_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


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
        told = json.loads(body)
        ticket = Ticket(
            id=told["id"],
            pool=told["pool"],
            model=told["model"],
            level=told["submitted_level"],
            flow=told["flow"],
            owner=told["owner"],
            submitted_at=told["submitted_at"],
            cost=told["cost"],
            weight=told["weight"],
            attempt=told["attempt"],
            avoid=frozenset(told["avoid"]),
        )
        return cls(ticket, told["daemon"], told["seq"], told["level"], told["aged"], told["since"])


def encode_items(sender: str, items: Sequence[Item]) -> bytes:
    return _encoder.encode({"from": sender, "items": items}).encode()


def decode_items(body: bytes) -> tuple[str, list[list[Any]]]:
    """The sender and its items. Raises ValueError or LookupError when it is no such message."""
    told: Mapping[str, Any] = json.loads(body)
    return str(told["from"]), list(told["items"])
