"""Pools: upstreams that share one waiting line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.tui.columns import Column, Fact, Tone
from llmgate.tui.listing import Listing, Part
from llmgate.tui.screens.fitting import sought
from llmgate.tui.screens.queue_actions import pool_actions

STATES: dict[str, Tone] = {"open": "good", "offline": "bad"}
"""How the state of a pool looks; all others are a warning."""


def _members(pool: schemas.Pool) -> list[str]:
    usable = set(pool.usable_upstreams)
    return [name if name in usable else f"{name} (out)" for name in pool.upstreams]


def _lacking(pool: schemas.Pool, some: Sequence[str]) -> list[str]:
    return [name for name in pool.usable_upstreams if name not in some]


class Pools(Listing[schemas.Pool]):
    """Upstreams that share one waiting line."""

    title = "Pools"
    lists, shows = "pools list", "pools show"
    search = "search"
    empty = "There are no pools."
    every = 3.0
    topics = frozenset({"upstream.changed", "activity:upstream.", "activity:queue."})
    columns = (
        Column[schemas.Pool]("pool", lambda pool: pool.pool, 10, grow=1),
        Column("state", lambda pool: pool.state, 8, tone=lambda pool: STATES.get(pool.state, "warn")),
        Column("running", lambda pool: f"{pool.running} of {pool.slots}", 8, right=True, by=lambda pool: pool.running),
        Column("waiting", lambda pool: pool.waiting, 7, right=True),
        Column("upstreams", _members, 11, grow=1),
        Column("models", lambda pool: pool.models, 11, grow=1),
        Column(
            "not served",
            lambda pool: list(pool.partial_models),
            11,
            grow=1,
            tone=lambda pool: "warn" if pool.partial_models else "dim",
        ),
    )
    facts = (
        Fact[schemas.Pool]("pool", lambda pool: pool.pool),
        Fact("state", lambda pool: pool.state),
        Fact("slots", lambda pool: pool.slots),
        Fact("running", lambda pool: pool.running),
        Fact("waiting", lambda pool: pool.waiting),
        Fact("upstreams", _members),
        Fact("models", lambda pool: pool.models),
    )
    actions: ClassVar = pool_actions(lambda pool: pool.pool, lambda pool: pool.state)

    def identity(self, row: schemas.Pool) -> str:
        return row.pool

    def named(self, row: schemas.Pool) -> str:
        return row.pool

    def told_of(self, row: schemas.Pool) -> Sequence[tuple[str, object]]:
        """Models that are not served have a line each: it names who lacks them."""
        partial = [
            (
                "not served",
                f"{model}: only on {', '.join(some)}, not on {', '.join(_lacking(row, some)) or 'the others'}",
            )
            for model, some in row.partial_models.items()
        ]
        return [*super().told_of(row), *partial]

    async def fetch(self, client: AdminClient, after: str | None, limit: int, **filters: Any) -> Part[schemas.Pool]:
        return await sought(
            client.pools, after, limit, filters, lambda row: (row.pool, row.state, *row.upstreams, *row.models)
        )

    async def look(self, client: AdminClient, row: schemas.Pool) -> schemas.Pool:
        return await client.pools.get(row.pool)
