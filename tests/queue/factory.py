"""Tickets and managers for tests."""

from __future__ import annotations

from typing import Any

from llmgate.daemon.queue.ticket import Ticket


def a_ticket(ticket_id: str = "t1", *, level: int = 2, at: float = 0.0, **changes: Any) -> Ticket:
    """A ticket of the pool ``main`` whose flow is its name without the digits."""
    flow = changes.pop("flow", ticket_id.rstrip("0123456789"))
    fields: dict[str, Any] = {"pool": "main", "model": "m1", "owner": flow, "cost": 100.0} | changes
    return Ticket(id=ticket_id, level=level, flow=flow, submitted_at=at, **fields)
