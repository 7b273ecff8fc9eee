"""`llmgate whitelist`: networks that need no credential."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Annotated

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import (
    AllOption,
    Expires,
    ForceOption,
    LevelOption,
    LimitOption,
    NeverExpires,
    NoLevelOption,
    changing,
    chosen,
)
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
TEST = (
    Column("address", lambda found: found.address),
    Column("let in by", lambda found: found.entry.cidr if found.entry else "nothing: it needs a credential"),
    Column("label", lambda found: found.entry.label if found.entry else None),
    Column("level", lambda found: found.level),
    Column("whitelist", lambda found: "on" if found.enabled else "off (auth.whitelist): no entry counts"),
    Column("you come from", lambda found: found.your_address),
    Column("connection from", lambda found: found.peer),
    Column("X-Forwarded-For", lambda found: found.forwarded_for),
    Column("which means", lambda found: found.explanation),
)


@command(whitelist, "list")
async def list_entries(
    cli: Cli,
    search: Annotated[str | None, typer.Option(help="Only networks or labels that contain this.")] = None,
    limit: LimitOption = 1000,
    every: AllOption = False,
) -> None:
    """List whitelisted networks."""
    from llmgate.cli.listing import listing

    async with cli.client() as client:
        await listing(cli, client.whitelist, COLUMNS, limit=None if every else limit, search=search)


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
    force: ForceOption = False,
) -> None:
    """Let a network in without a credential. Refused, without --force, where it lowers your own address's level.

    Examples:
      llmgate whitelist add 192.168.1.0/24 --label office --level 2
    """
    from llmgate import schemas
    from llmgate.validation import compose

    wanted = chosen(cidr=network, label=label, level=level, expires_at=expires)
    async with cli.client() as client:
        made = await client.whitelist.create(compose(schemas.WhitelistCreate, **wanted), force=force)
    cli.out.record(made, DETAILS)


@command(whitelist, "update")
async def update(
    cli: Cli,
    entry: EntryArgument,
    label: Annotated[str | None, typer.Option(help="What it is.")] = None,
    level: LevelOption = None,
    no_level: NoLevelOption = False,
    expires: Expires = None,
    never_expires: NeverExpires = False,
    force: ForceOption = False,
) -> None:
    """Change an entry. (Another network is another entry.) Refused, without --force, where it harms your address."""
    from llmgate import schemas
    from llmgate.validation import compose

    changes = chosen(label=label, level=level, expires_at=expires)
    changes.update({field: None for field, taken in (("level", no_level), ("expires_at", never_expires)) if taken})
    body = compose(schemas.WhitelistUpdate, **changing(**changes))
    async with cli.client() as client:
        cli.out.record(await client.whitelist.update(await _id_of(client, entry), body, force=force), DETAILS)


async def delete(cli: Cli, entry: EntryArgument, force: ForceOption = False) -> None:
    """Ask this network for a credential again. Refused, without --force, where your own address needs the entry."""
    cli.confirm(f"Delete {entry} from the whitelist")
    async with cli.client() as client:
        await client.whitelist.delete(await _id_of(client, entry), force=force)
    cli.out.message(f"Deleted {entry}.")


command(whitelist, "delete")(delete)
command(whitelist, "remove", hidden=True)(delete)


@command(whitelist, "test")
async def test(
    cli: Cli,
    address: Annotated[
        str | None, typer.Argument(help="Which address. Without one: where you come from.", show_default=False)
    ] = None,  # noqa: PT028 - it is a command, and no test
) -> None:
    """Say which entry lets an address in, and where the gateway thinks that you come from.

    Examples:
      llmgate whitelist test 192.168.1.17
    """
    async with cli.client() as client:
        cli.out.record(await client.whitelist.test(address), TEST, name="level")


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
