"""The waiting line: who waits, who is served, the pools, and the daemons that share them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.text import precise, seconds
from llmgate.tui.acting import Action, ending
from llmgate.tui.columns import Column, Fact, Row
from llmgate.tui.filters import Filter, level
from llmgate.tui.listing import Listing, Part
from llmgate.tui.screens.queue_actions import LEVELS, Moves, pool_actions, who
from llmgate.tui.screens.queue_pools import Daemons, Pools
from llmgate.tui.section import Section

FILTERS = (
    Filter("owner", hint="WHO"),
    Filter("pool", hint="POOL"),
    Filter("model", hint="MODEL"),
    Filter("level", tuple(str(number) for number in LEVELS), level, hint="1…5"),
)
SHORT = 8
"""So much of an id is shown in a column: of the end, the beginning may be the client's."""


_MOVES = Moves()


def _short(ticket: str) -> str:
    return ticket[-SHORT:]


class Moment(Listing[Row]):
    """Of what changes by the second; its details do not, and say of when they are."""

    as_of = ""

    def identity(self, row: Row) -> str:
        return str(cast("Any", row).ticket_id)

    def named(self, row: Row) -> str:
        return self.identity(row)

    def told_of(self, row: Row) -> Sequence[tuple[str, object]]:
        return [("as of", self.as_of), *super().told_of(row)]

    def asked(self) -> None:
        """The daemon has said now what is shown from now on."""
        self.as_of = f"{self.dashboard.wall():%H:%M:%S}"


class Waiting(Moment[schemas.Waiting]):
    """Who waits, in the order of service."""

    title = "Waiting"
    lists = "queue list"
    also = ("queue watch",)
    filters = FILTERS
    search = "owner"
    empty = "Nobody waits."
    every = 1.0
    columns = (
        Column[schemas.Waiting]("id", lambda place: _short(place.ticket_id), SHORT),
        Column("who", who, 13, grow=1),
        Column("model", lambda place: place.model, 13, grow=1),
        Column(
            "level",
            lambda place: "aged" if place.aged else place.level,
            5,
            by=lambda place: 0 if place.aged else place.level,
            tone=lambda place: "accent" if place.aged else "",
        ),
        Column("ahead", lambda place: f"{place.ahead:,}", 6, right=True, by=lambda place: place.ahead),
        Column("waited", lambda place: precise(place.waited), 7, right=True, by=lambda place: place.waited),
        Column(
            "expected",
            lambda place: seconds(place.estimated_wait),
            8,
            right=True,
            by=lambda place: place.estimated_wait,
            tone=lambda place: "dim" if place.estimated_wait is None else "",
        ),
        Column("pool", lambda place: place.pool, 12, wide=100),
    )
    facts = (
        Fact[schemas.Waiting]("id", lambda place: place.ticket_id),
        Fact("who", who),
        Fact("owner", lambda place: place.owner),
        Fact("model", lambda place: place.model),
        Fact("pool", lambda place: place.pool),
        Fact("submitted at level", lambda place: place.submitted_level),
        Fact("now at level", lambda place: f"{place.level}, aged" if place.aged else place.level),
        Fact("served before it", lambda place: f"{place.ahead:,}"),
        Fact("waited", lambda place: precise(place.waited)),
        Fact("expected wait", lambda place: seconds(place.estimated_wait)),
    )
    actions: ClassVar[tuple[Action[Any], ...]] = (
        _MOVES.choosing("p", "Level"),
        _MOVES.stepping("plus", "Sooner", -1),
        _MOVES.stepping("minus", "Later", 1),
        ending(
            "x",
            "Take out",
            lambda place: f"Cancel the waiting request of {who(place)}, for {place.model}?",
            lambda client, place, force: client.cancel(place.ticket_id),
            verb="queue cancel",
            named=lambda place: place.ticket_id,
            done=lambda place: f"Cancelled the request of {who(place)}.",
            consequence="Its client gets an error.",
        ),
        *pool_actions(lambda place: place.pool),
    )

    async def fetch(self, client: AdminClient, after: str | None, limit: int, **filters: Any) -> Part[schemas.Waiting]:
        page = await client.waiting_page(limit, **filters)
        self.asked()
        return Part(page.data, total=page.total)

    def _extent(self) -> str:
        """Also why the line may stand still."""
        stats = self.dashboard.picture.stats
        halted = [f"pool {pool.pool} is {pool.state}" for pool in stats.pools if pool.state != "open"] if stats else []
        return "  ·  ".join(part for part in (super()._extent(), *halted) if part)


class Running(Moment[schemas.Running]):
    """Who is served now, in all daemons together."""

    title = "Running"
    lists = "queue running"
    filters = FILTERS
    search = "owner"
    empty = "Nothing runs."
    every = 1.0
    columns = (
        Column[schemas.Running]("id", lambda held: _short(held.ticket_id), SHORT),
        Column("who", who, 14, grow=1),
        Column("model", lambda held: held.model, 14, grow=1),
        Column("level", lambda held: held.level, 5),
        Column("upstream", lambda held: held.upstream, 12, grow=1),
        Column("for", lambda held: precise(held.running_for), 7, right=True, by=lambda held: held.running_for),
        Column("pool", lambda held: held.pool, 12, wide=100),
    )
    facts = (
        Fact[schemas.Running]("id", lambda held: held.ticket_id),
        Fact("who", who),
        Fact("owner", lambda held: held.owner),
        Fact("model", lambda held: held.model),
        Fact("level", lambda held: held.level),
        Fact("upstream", lambda held: held.upstream),
        Fact("pool", lambda held: held.pool),
        Fact("runs for", lambda held: precise(held.running_for)),
    )
    actions: ClassVar[tuple[Action[Any], ...]] = (
        ending(
            "x",
            "Stop",
            lambda held: f"Stop the request of {who(held)}, for {held.model} on {held.upstream}?",
            lambda client, held, force: client.stop(held.ticket_id),
            verb="queue stop",
            named=lambda held: held.ticket_id,
            done=lambda held: f"Stopped the request of {who(held)}.",
            consequence="Its client gets an error, and the upstream stops.",
        ),
    )

    async def fetch(self, client: AdminClient, after: str | None, limit: int, **filters: Any) -> Part[schemas.Running]:
        stats = None if filters else self.dashboard.picture.stats
        rows = await client.running(**filters, limit=None if stats is None else limit + 1)
        self.asked()
        # Only how many there are is wanted of the others, each second; of those that fit a filter nothing else tells.
        total = max(len(rows), stats.running) if stats is not None and len(rows) > limit else len(rows)
        return Part(rows[:limit], total=total)


class QueueSection(Section):
    """The waiting line."""

    name_, key, label, short = "queue", "2", "Queue", "Queue"
    views = (Waiting, Running, Pools, Daemons)
    help = (
        "Who waits stands in the order of service; level 1 is served first, and who has aged has a lane of its own. "
        "The filter level: is for the level at which a request was submitted. "
        "Pause, resume and drain are for the whole pool of the row."
    )
