"""`llmgate pools`: upstreams that share one waiting line, and what they serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import AllOption, LimitOption
from llmgate.cli.output import Column

if TYPE_CHECKING:  # pydantic is not needed to show the help
    from llmgate.schemas import Pool

pools = group("pools", "Upstreams that share one waiting line.")


def _models(pool: Pool) -> list[str]:
    """What is served, and then each model that is not, with the upstreams that have it."""
    partial = (f"{model} (not served: only on {', '.join(some)})" for model, some in pool.partial_models.items())
    return [*pool.models, *partial]


def _upstreams(pool: Pool) -> list[str]:
    usable = set(pool.usable_upstreams)
    return [name if name in usable else f"{name} (out)" for name in pool.upstreams]


COLUMNS = (
    Column("pool", lambda pool: pool.pool, whole=True),
    Column("state", lambda pool: pool.state),
    Column("upstreams", _upstreams),
    Column("running", lambda pool: f"{pool.running} of {pool.slots}", right=True),
    Column("waiting", lambda pool: pool.waiting, right=True),
    Column("models", _models),
)


@command(pools, "list")
async def list_pools(cli: Cli, limit: LimitOption = 1000, every: AllOption = False) -> None:
    """List the pools, their upstreams, and the models that they serve or lack."""
    from llmgate.cli.listing import listing

    async with cli.client() as client:
        await listing(cli, client.pools, COLUMNS, limit=None if every else limit, name="pool")


@command(pools, "show")
async def show(cli: Cli, pool: Annotated[str, typer.Argument(metavar="POOL", help="Its name.")]) -> None:
    """Show one pool."""
    async with cli.client() as client:
        cli.out.record(await client.pools.get(pool), COLUMNS, name="pool")
