"""How the daemons of a cluster are shown, wherever they are."""

from __future__ import annotations

from llmgate import schemas
from llmgate.text import precise
from llmgate.tui.columns import Column, Fact, Tone

STATES: dict[str, Tone] = {"connected": "good", "degraded": "bad", "draining": "warn"}


def heard(daemon: schemas.QueueDaemon) -> str:
    """How long ago; the one that was asked hears itself."""
    return f"{precise(daemon.heard)} ago" if daemon.heard else "this one"


COLUMNS: tuple[Column[schemas.QueueDaemon], ...] = (
    Column("daemon", lambda daemon: daemon.name, 14, grow=1),
    Column("state", lambda daemon: daemon.state, 10, tone=lambda daemon: STATES.get(daemon.state, "")),
    Column("dispatches", lambda daemon: daemon.dispatches, 12, grow=1),
    Column("waiting", lambda daemon: f"{daemon.waiting:,}", 7, right=True, by=lambda daemon: daemon.waiting),
    Column("running", lambda daemon: f"{daemon.running:,}", 7, right=True, by=lambda daemon: daemon.running),
    Column("heard", heard, 10, right=True, by=lambda daemon: daemon.heard),
    Column("reason", lambda daemon: daemon.reason, 16, grow=2, wide=100, tone=lambda daemon: "bad"),
)
FACTS: tuple[Fact[schemas.QueueDaemon], ...] = (
    Fact("daemon", lambda daemon: daemon.name),
    Fact("start", lambda daemon: daemon.boot),
    Fact("state", lambda daemon: daemon.state),
    Fact("reason", lambda daemon: daemon.reason),
    Fact("dispatches", lambda daemon: daemon.dispatches),
    Fact("waiting", lambda daemon: daemon.waiting),
    Fact("running", lambda daemon: daemon.running),
    Fact("heard", heard),
)
