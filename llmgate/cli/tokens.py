"""`llmgate tokens`: registration tokens, with which people make their own accounts."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import AllOption, Expires, LevelOption, LimitOption, Role, RoleOption, chosen
from llmgate.cli.output import Column
from llmgate.errors import Conflict

if TYPE_CHECKING:  # httpx and pydantic are not needed to show the help
    from llmgate.client import AdminClient

tokens = group("tokens", "Registration tokens, with which people make their own accounts.")
TokenArgument = Annotated[
    str, typer.Argument(metavar="TOKEN", help="Id, or label where only one has it; not its text.")
]


class State(StrEnum):
    """What has become of a token."""

    USABLE = "usable"
    USED = "used"
    EXPIRED = "expired"
    REVOKED = "revoked"


COLUMNS = (
    Column("label", lambda token: token.label),
    Column("role", lambda token: token.role, wide=True),
    Column("level", lambda token: token.level or "default"),
    Column("used", lambda token: f"{token.uses} of {token.max_uses}"),
    Column("expires", lambda token: token.expires_at),
    Column("revoked", lambda token: token.revoked_at),
    Column("id", lambda token: token.id, whole=True),
)
DETAILS = (*COLUMNS, Column("created", lambda token: token.created_at), Column("by", lambda token: token.created_by))


@command(tokens, "list")
async def list_tokens(
    cli: Cli,
    state: Annotated[State | None, typer.Option(help="usable, used, expired or revoked.", show_default=False)] = None,
    created_by: Annotated[str | None, typer.Option(help="Only those that this one made, by name.")] = None,
    limit: LimitOption = 1000,
    every: AllOption = False,
) -> None:
    """List registration tokens."""
    from llmgate.cli.listing import listing

    filters = chosen(state=state, created_by=created_by)
    async with cli.client() as client:
        await listing(cli, client.tokens, COLUMNS, limit=None if every else limit, **filters)


@command(tokens, "show")
async def show(cli: Cli, token: TokenArgument) -> None:
    """Show one registration token (its text is shown at creation only)."""
    async with cli.client() as client:
        cli.out.record(await client.tokens.get(await _id_of(client, token)), DETAILS)


@command(tokens, "create")
async def create(
    cli: Cli,
    label: Annotated[str, typer.Argument(help="What it is for.")] = "",
    uses: Annotated[int, typer.Option(help="How many accounts it makes.", min=1)] = 1,
    role: RoleOption = Role.USER,
    level: LevelOption = None,
    expires: Expires = None,
) -> None:
    """Create a registration token and print it, once.

    Examples:
      llmgate tokens create "for Ann" --expires 7d
      llmgate tokens create course --uses 30 --level 4 -o json | jq -r .token
    """
    from llmgate import schemas
    from llmgate.validation import compose

    wanted = chosen(label=label, max_uses=uses, role=role, level=level, expires_at=expires)
    async with cli.client() as client:
        made = await client.tokens.create(compose(schemas.TokenCreate, **wanted))
    cli.out.secret(made, made.token)
    cli.out.message("Hand it over now: it is not shown again.")


@command(tokens, "revoke")
async def revoke(cli: Cli, token: TokenArgument) -> None:
    """Let a token make no more accounts."""
    cli.confirm(f"Revoke the registration token {token}")
    async with cli.client() as client:
        cli.out.record(await client.tokens.revoke(await _id_of(client, token)), DETAILS)


@command(tokens, "delete")
async def delete(cli: Cli, token: TokenArgument) -> None:
    """Delete a token. The accounts made with it stay."""
    cli.confirm(f"Delete the registration token {token}")
    async with cli.client() as client:
        await client.tokens.delete(await _id_of(client, token))
    cli.out.message(f"Deleted the registration token {token}.")


async def _id_of(client: AdminClient, token: str) -> str:
    """The id of a token that may be named by its label. Raises Conflict where several have it."""
    found = [row.id for row in await client.tokens.rows(10_000) if token and token in (row.id, row.label)]
    if len(found) > 1:
        raise Conflict(f"{len(found)} tokens are labelled {token!r}.", hint=f"Name one by its id: {', '.join(found)}")
    return found[0] if found else token
