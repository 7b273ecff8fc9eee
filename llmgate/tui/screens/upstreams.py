"""Upstreams, the pools that they form, and the models on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from textual.app import ComposeResult

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.errors import Conflict
from llmgate.tui.acting import creating, editing, ending
from llmgate.tui.columns import Column, Fact, Tone
from llmgate.tui.listing import Listing, Part
from llmgate.tui.overview.verdict import why
from llmgate.tui.picture import Picture
from llmgate.tui.screens.fitting import sought
from llmgate.tui.screens.models import Loaded, Models, PulledHere
from llmgate.tui.screens.pools import Pools
from llmgate.tui.screens.upstream_forms import change, new
from llmgate.tui.section import Section
from llmgate.tui.widgets.pullstrip import PullStrip

STATES: dict[str, Tone] = {"healthy": "good", "unhealthy": "bad", "offline": "bad", "misconfigured": "bad"}
"""How the health of an upstream looks; all others are a warning."""
DECIDERS = {
    "file": "The configuration file decides it: change it there, then: llmgate config reload",
    "default": "It is the built-in default: it goes when you add one of your own.",
}


class Busy(schemas.Upstream):
    """An upstream, and how many requests run on it."""

    running: int


def busied(rows: Sequence[schemas.Upstream], picture: Picture) -> Sequence[schemas.Upstream]:
    """The upstreams, with how many requests run on each, as far as that is known."""
    stats = picture.stats
    running = {name: counts[0] for pool in stats.pools for name, counts in pool.upstreams.items()} if stats else {}
    return [
        Busy.model_construct(**{**dict(row), "running": running[row.name]}) if row.name in running else row
        for row in rows
    ]


def _slots(upstream: schemas.Upstream) -> str:
    return f"{upstream.running}/{upstream.slots}" if isinstance(upstream, Busy) else f"-/{upstream.slots}"


def _running(upstream: schemas.Upstream) -> int:
    return upstream.running if isinstance(upstream, Busy) else -1


def _mutable(upstream: schemas.Upstream) -> str:
    """Why it cannot be changed here."""
    return DECIDERS.get(upstream.origin, "")


class Upstreams(Listing[schemas.Upstream]):
    """The servers that run the models."""

    title = "Upstreams"
    lists, shows = "upstreams list", "upstreams show"
    search = "search"
    empty = "There are no upstreams."
    topics = frozenset({"upstream.changed", "activity:upstream."})
    columns = (
        Column[schemas.Upstream]("name", lambda upstream: upstream.name, 12, grow=1),
        Column("state", lambda upstream: upstream.state, 13, tone=lambda upstream: STATES.get(upstream.state, "warn")),
        Column("running", _slots, 7, right=True, by=_running),
        Column("pool", lambda upstream: upstream.pool, 10),
        Column("models", lambda upstream: len(upstream.models), 6, right=True),
        Column("reason", why, 16, grow=3),
        Column("kind", lambda upstream: upstream.kind, 6, wide=128),
        Column("url", lambda upstream: upstream.url, 24, grow=1, wide=112),
        Column("from", lambda upstream: upstream.origin, 8, wide=100),
    )
    facts = (
        Fact[schemas.Upstream]("name", lambda upstream: upstream.name),
        Fact("kind", lambda upstream: upstream.kind),
        Fact("url", lambda upstream: upstream.url),
        Fact("pool", lambda upstream: upstream.pool),
        Fact("slots", lambda upstream: upstream.slots),
        Fact("state", lambda upstream: upstream.state),
        Fact("reason", lambda upstream: upstream.reason),
        Fact("api key", lambda upstream: "set" if upstream.api_key_set else "none"),
        Fact("connect timeout", lambda upstream: f"{upstream.connect_timeout:g} s"),
        Fact("first byte timeout", lambda upstream: f"{upstream.first_byte_timeout:g} s"),
        Fact("idle timeout", lambda upstream: f"{upstream.idle_timeout:g} s"),
        Fact("version", lambda upstream: upstream.version),
        Fact("models", lambda upstream: upstream.models),
        Fact("loaded", lambda upstream: upstream.loaded),
        Fact("decided by", lambda upstream: _mutable(upstream) or "the database: it can be changed here"),
    )
    actions: ClassVar = (
        creating("n", "New", new, verb="upstreams create", done=lambda made: f"Added the upstream {made.name}."),
        editing(
            "e",
            "Edit",
            change,
            verb="upstreams update",
            possible=_mutable,
            done=lambda made: f"Changed the upstream {made.name}.",
            fresh=lambda client, upstream: client.upstreams.get(upstream.name),
        ),
        ending(
            "d",
            "Delete",
            lambda upstream: f"Remove the upstream {upstream.name}, {upstream.url}?",
            lambda client, upstream, force: client.upstreams.delete(upstream.name, force=force),
            verb="upstreams delete",
            named=lambda upstream: upstream.name,
            done=lambda upstream: f"Removed the upstream {upstream.name}.",
            consequence="What runs on it ends as it began; nothing new is sent there.",
            possible=_mutable,
            warnings=(Conflict,),
        ),
    )

    def identity(self, row: schemas.Upstream) -> str:
        return row.name

    async def fetch(self, client: AdminClient, after: str | None, limit: int, **filters: Any) -> Part[schemas.Upstream]:
        return await sought(
            client.upstreams,
            after,
            limit,
            filters,
            lambda row: (row.name, row.kind, row.url, row.pool, row.state, *row.models),
        )

    def _fill(self, part: Part[schemas.Upstream]) -> None:
        super()._fill(replace(part, rows=busied(part.rows, self.dashboard.picture)))

    def pictured(self, picture: Picture) -> None:
        """How many requests run on each: the live stream tells that, not the list."""
        if self._part is not None:
            self._part = replace(self._part, rows=busied(self._part.rows, picture))
            self.table.show(self._part.rows)

    async def look(self, client: AdminClient, row: schemas.Upstream) -> schemas.Upstream:
        return await client.upstreams.get(row.name)


class UpstreamsSection(Section):
    """Upstreams, pools, models, and the pulls that run."""

    name_, key, label, short = "upstreams", "7", "Upstreams", "Upstr"
    views = (Upstreams, Pools, Models, Loaded, PulledHere)
    help = "The servers that run the models, the waiting lines that they share, and the models on them."

    def body(self) -> ComposeResult:
        yield from super().body()
        yield PullStrip()

    def pictured(self, picture: Picture) -> None:
        for listing in self.query(Upstreams):
            listing.pictured(picture)

    def tick(self) -> None:
        super().tick()
        if self.dashboard.frozen_for is not None:
            return
        for strip in self.query(PullStrip):
            strip.tell(self.dashboard.pulls.running, self.dashboard.clock())
