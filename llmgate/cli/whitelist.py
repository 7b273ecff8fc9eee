"""`llmgate whitelist`: networks that need no credential."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Annotated

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import Expires, LevelOption, NeverExpires, NoLevelOption, changing, chosen
from llmgate.cli.output import Column
from llmgate.errors import NotFound

if TYPE_CHECKING:  # httpx and pydantic are not needed to show the help
    from llmgate.client import AdminClient

whitelist = group("whitelist", "Networks that need no credential.")
EntryArgument = Annotated[str, typer.Argument(metavar="ENTRY", help="Id, or the network as it is listed.")]

COLUMNS = (
    Column("network", lambda entry: entry.cidr, whole=True),
    Column("label", lambda entry: entry.label),
    Column("level", lambda entry: entry.level or "default"),
    Column("expires", lambda entry: entry.expires_at),
    Column("id", lambda entry: entry.id, whole=True),
)
DETAILS = (*COLUMNS, Column("created", lambda entry: entry.created_at))


@command(whitelist, "list")
async def list_entries(cli: Cli) -> None:
    """List whitelisted networks."""
    async with cli.client() as client:
        cli.out.rows(await client.whitelist.rows(10_000), COLUMNS)


@command(whitelist, "show")
async def show(cli: Cli, entry: EntryArgument) -> None:
    """Show one entry."""
    async with cli.client() as client:
        cli.out.record(await client.whitelist.get(await _id_of(client, entry)), DETAILS)


@command(whitelist, "add")
async def add(
    cli: Cli,
    network: Annotated[str, typer.Argument(help="Address or network, e.g. 192.168.1.0/24.")],
    label: Annotated[str, typer.Option(help="What it is.")] = "",
    level: LevelOption = None,
    expires: Expires = None,
) -> None:
    """Let a network in without a credential."""
    from llmgate import schemas
    from llmgate.validation import compose

    wanted = chosen(cidr=network, label=label, level=level, expires_at=expires)
    async with cli.client() as client:
        cli.out.record(await client.whitelist.create(compose(schemas.WhitelistCreate, **wanted)), DETAILS)


@command(whitelist, "update")
async def update(
    cli: Cli,
    entry: EntryArgument,
    label: Annotated[str | None, typer.Option(help="What it is.")] = None,
    level: LevelOption = None,
    no_level: NoLevelOption = False,
    expires: Expires = None,
    never_expires: NeverExpires = False,
) -> None:
    """Change an entry. (Another network is another entry.)"""
    from llmgate import schemas
    from llmgate.validation import compose

    changes = chosen(label=label, level=level, expires_at=expires)
    changes.update({field: None for field, taken in (("level", no_level), ("expires_at", never_expires)) if taken})
    body = compose(schemas.WhitelistUpdate, **changing(**changes))
    async with cli.client() as client:
        cli.out.record(await client.whitelist.update(await _id_of(client, entry), body), DETAILS)


async def remove(cli: Cli, entry: EntryArgument) -> None:
    """Ask this network for a credential again."""
    cli.confirm(f"Remove {entry} from the whitelist")
    async with cli.client() as client:
        await client.whitelist.delete(await _id_of(client, entry))
    cli.out.message(f"Removed {entry}.")


command(whitelist, "remove")(remove)
command(whitelist, "delete", hidden=True)(remove)


async def _id_of(client: AdminClient, entry: str) -> str:
    """The id of an entry that may be named by its network."""
    try:
        network = str(ipaddress.ip_network(entry, strict=False))
    except ValueError:
        return entry
    for row in await client.whitelist.rows(10_000):
        if row.cidr == network:
            return row.id
    raise NotFound(f"{network} is not on the whitelist.", hint="See it with: llmgate whitelist list")
