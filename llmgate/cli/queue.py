"""`llmgate queue`: who waits, who runs, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import IntervalOption, OnlyLevel, WatchOption, chosen
from llmgate.cli.output import Format
from llmgate.cli.queue_columns import DAEMONS, RUNNING, STATS, WAITING, state_of
from llmgate.text import clean

if TYPE_CHECKING:  # httpx and pydantic are not needed to show the help
    from llmgate.client import AdminClient
    from llmgate.schemas import Running, Waiting

queue = group("queue", "The waiting line.")
PoolArgument = Annotated[str, typer.Argument(metavar="POOL", help="Name of the pool.")]
OwnerOption = Annotated[
    str | None,
    typer.Option(metavar="WHO", help="Only this one's: a key, a user, ann/editor, an address, or key:aB3dE5gH7j."),
]
PoolOption = Annotated[str | None, typer.Option(metavar="POOL", help="Only in this pool.")]
ModelOption = Annotated[str | None, typer.Option(metavar="MODEL", help="Only of this model.")]
TicketArgument = Annotated[str, typer.Argument(metavar="TICKET", help="Id of the waiting request.")]


@command(queue, "stats")
async def stats(cli: Cli, watch: WatchOption = False, interval: IntervalOption = 1) -> None:
    """Show every pool, in all daemons together: slots, who runs, who waits.

    Examples:
      llmgate queue stats --watch
      llmgate queue stats --fields pool,waiting,oldest_wait
    """
    from llmgate.cli.watching import looking

    await looking(cli, lambda client: client.queue_stats(), STATS, watch=watch, interval=interval, name="pool")


@command(queue, "status")
async def status(cli: Cli) -> None:
    """Show how the queue itself does, and which daemons share it."""
    async with cli.client() as client:
        found = await client.queue_status()
    if cli.out.form is not Format.TABLE:
        cli.out.record(found, ())
        return
    if not cli.out.quiet:
        cli.out.data(clean(state_of(found)))
    if found.daemons:
        cli.out.rows(found.daemons, DAEMONS, name="name")


@command(queue, "watch")
async def watch(
    cli: Cli,
    interval: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1, max=3600)] = 1,
) -> None:
    """Watch pools, daemons and who waits, until Ctrl-C; without a terminal, a line of JSON each time."""
    from llmgate.cli.watch import watch_queue

    await watch_queue(cli, interval)


@command(queue, "list")
async def list_waiting(
    cli: Cli,
    owner: OwnerOption = None,
    pool: PoolOption = None,
    model: ModelOption = None,
    level: OnlyLevel = None,
    limit: Annotated[int, typer.Option(help="At most so many rows.", min=1, max=500)] = 500,
    watch: WatchOption = False,
    interval: IntervalOption = 1,
) -> None:
    """List who waits, in the order of service: at most the first 500.

    Examples:
      llmgate queue list --owner ann
      llmgate queue list --pool main --level 5 --watch
    """
    from llmgate.cli.watching import looking

    shown = total = 0

    async def look(client: AdminClient) -> list[Waiting]:
        nonlocal shown, total
        page = await client.waiting_page(limit, **chosen(owner=owner, pool=pool, model=model, level=level))
        shown, total = len(page.data), page.total
        return page.data

    await looking(cli, look, WAITING, watch=watch, interval=interval, name="ticket_id")
    if total > shown and not (watch or cli.out.quiet):
        cli.out.message(f"These are the first {shown:,} of {total:,}.")


@command(queue, "running")
async def list_running(
    cli: Cli,
    owner: OwnerOption = None,
    pool: PoolOption = None,
    model: ModelOption = None,
    level: OnlyLevel = None,
    watch: WatchOption = False,
    interval: IntervalOption = 1,
) -> None:
    """List who holds a slot, in all daemons together."""
    from llmgate.cli.watching import looking

    async def look(client: AdminClient) -> list[Running]:
        return await client.running(**chosen(owner=owner, pool=pool, model=model, level=level))

    await looking(cli, look, RUNNING, watch=watch, interval=interval, name="ticket_id")


@command(queue, "cancel")
async def cancel(cli: Cli, ticket: TicketArgument) -> None:
    """Take a waiting request out; its client gets an error."""
    cli.confirm(f"Cancel the waiting request {ticket}")
    async with cli.client() as client:
        await client.cancel(ticket)
    cli.out.message(f"Cancelled {ticket}.")


@command(queue, "stop")
async def stop(
    cli: Cli, ticket: Annotated[str, typer.Argument(metavar="REQUEST", help="Id of the running request.")]
) -> None:
    """End a request that is being answered; its client gets an error, and the upstream stops."""
    cli.confirm(f"End the running request {ticket}")
    async with cli.client() as client:
        await client.stop(ticket)
    cli.out.message(f"Ended {ticket}.")


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
