"""`llmgate tokens`: registration tokens, with which people make their own accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import Expires, LevelOption, LimitOption, Role, RoleOption, chosen
from llmgate.cli.output import Column
from llmgate.errors import Conflict

if TYPE_CHECKING:  # httpx and pydantic are not needed to show the help
    from llmgate.client import AdminClient

tokens = group("tokens", "Registration tokens, with which people make their own accounts.")
TokenArgument = Annotated[
    str, typer.Argument(metavar="TOKEN", help="Id, or label where only one has it; not its text.")
]

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
async def list_tokens(cli: Cli, limit: LimitOption = 1000) -> None:
    """List registration tokens."""
    async with cli.client() as client:
        cli.out.rows(await client.tokens.rows(limit), COLUMNS)


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
    """Create a registration token and print it, once."""
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
