"""`llmgate queue`: who waits, who runs, and what to do about it."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import LimitOption
from llmgate.cli.output import Column, Format

if TYPE_CHECKING:  # httpx and pydantic are not needed to show the help
    from llmgate.schemas import PoolStats

queue = group("queue", "The waiting line.")
PoolArgument = Annotated[str, typer.Argument(metavar="POOL", help="Name of the pool.")]
TicketArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the waiting request.")]


def _by_level(stats: PoolStats) -> str:
    levels = [f"{level}: {count}" for level, count in sorted(stats.waiting_by_level.items()) if count]
    return "  ".join(levels) or "-"


def _median_waits(stats: PoolStats) -> str:
    return "  ".join(f"{level}: {wait:.1f} s" for level, wait in sorted(stats.wait_p50.items())) or "-"


STATS = (
    Column("pool", lambda stats: stats.pool),
    Column("state", lambda stats: stats.state),
    Column("running", lambda stats: f"{stats.running} of {stats.slots}", right=True),
    Column("waiting", lambda stats: stats.waiting, right=True),
    Column("by level", _by_level),
    Column("aged", lambda stats: stats.aged_waiting, right=True),
    Column("oldest", lambda stats: f"{stats.oldest_wait:.1f} s", right=True),
    Column("median wait by level", _median_waits, wide=True),
)
WAITING = (
    Column("id", lambda place: place.ticket_id, whole=True),
    Column("pool", lambda place: place.pool, wide=True),
    Column("model", lambda place: place.model),
    Column("who", lambda place: place.owner),
    Column("level", lambda place: "aged" if place.aged else place.level),
    Column("ahead", lambda place: place.ahead, right=True),
    Column("waited", lambda place: f"{place.waited:.1f} s", right=True),
    Column("expected", lambda place: seconds(place.estimated_wait), right=True),
)


def seconds(value: float | None) -> str:
    """A duration as people say it."""
    if value is None:
        return "unknown"
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"


@command(queue, "stats")
async def stats(
    cli: Cli,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again every second, until Ctrl-C.")] = False,
) -> None:
    """Show every pool: slots, who runs, who waits."""
    async with cli.client() as client:
        while True:
            pools = await client.queue_stats()
            if watch and cli.out.form is Format.TABLE and sys.stdout.isatty():
                sys.stdout.write("\x1b[H\x1b[2J")
            cli.out.rows(pools, STATS, name="pool")
            sys.stdout.flush()
            if not watch:
                return
            await asyncio.sleep(1)


@command(queue, "list")
async def list_waiting(cli: Cli, limit: LimitOption = 500) -> None:
    """List who waits, in the order of service."""
    async with cli.client() as client:
        cli.out.rows(await client.waiting(limit), WAITING, name="ticket_id")


@command(queue, "cancel")
async def cancel(cli: Cli, ticket: TicketArgument) -> None:
    """Take a waiting request out; its client gets an error."""
    cli.confirm(f"Cancel the waiting request {ticket}")
    async with cli.client() as client:
        await client.cancel(ticket)
    cli.out.message(f"Cancelled {ticket}.")


@command(queue, "level")
async def level(
    cli: Cli,
    ticket: TicketArgument,
    new: Annotated[int, typer.Argument(metavar="LEVEL", help="1 (served first) to 5.", min=1, max=5)],
) -> None:
    """Move a waiting request to another level."""
    async with cli.client() as client:
        cli.out.record(await client.set_level(ticket, new), WAITING, name="ticket_id")


@command(queue, "pause")
async def pause(cli: Cli, pool: PoolArgument) -> None:
    """Start nothing new in a pool; requests may still come and wait."""
    await _tell(cli, pool, "pause")


@command(queue, "resume")
async def resume(cli: Cli, pool: PoolArgument) -> None:
    """End a pause or a drain."""
    await _tell(cli, pool, "resume")


@command(queue, "drain")
async def drain(cli: Cli, pool: PoolArgument) -> None:
    """Accept nothing new in a pool; what waits is still served."""
    cli.confirm(f"Refuse every new request of the pool {pool}")
    await _tell(cli, pool, "drain")


async def _tell(cli: Cli, pool: str, verb: str) -> None:
    async with cli.client() as client:
        cli.out.record(await client.pool(pool, verb), STATS, name="pool")
