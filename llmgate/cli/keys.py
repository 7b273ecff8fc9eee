"""`llmgate keys`: API keys of applications and users."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import (
    Expires,
    LevelOption,
    LimitOption,
    NeverExpires,
    NoLevelOption,
    Role,
    RoleOption,
    SearchOption,
    changing,
    chosen,
)
from llmgate.cli.output import Column

if TYPE_CHECKING:  # pydantic is not needed to show the help
    from llmgate import schemas

keys = group("keys", "API keys of applications and users.")
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Id or name.")]
ModelOption = Annotated[
    list[str] | None, typer.Option("--model", help="Only this model; repeat for more.", show_default=False)
]
WeightOption = Annotated[
    float | None,
    typer.Option(help="Share of its level, beside keys of weight 1.", min=0.01, max=100, show_default=False),
]


def state_of(key: schemas.ApiKey, now: datetime | None = None) -> str:
    """What the key is good for, in a word."""
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= (now or datetime.now(UTC)):
        return "expired"
    return "disabled" if key.disabled else "active"


COLUMNS = (
    Column("name", lambda key: key.name),
    Column("key", lambda key: f"llmg_{key.id}_…{key.last4}", whole=True),
    Column("role", lambda key: key.role, wide=True),
    Column("level", lambda key: key.level or "default"),
    Column("state", state_of),
    Column("expires", lambda key: key.expires_at),
    Column("last used", lambda key: key.last_used_at),
    Column("id", lambda key: key.id, whole=True, wide=True),
)
DETAILS = (
    *COLUMNS,
    Column("user", lambda key: key.user_id),
    Column("models", lambda key: key.models or "all"),
    Column("weight", lambda key: key.weight),
    Column("created", lambda key: key.created_at),
)


@command(keys, "list")
async def list_keys(
    cli: Cli,
    search: SearchOption = None,
    user: Annotated[str | None, typer.Option(help="Only the keys of this user.")] = None,
    limit: LimitOption = 1000,
) -> None:
    """List API keys."""
    from llmgate.client import named

    async with cli.client() as client:
        with named("user", user or "", "llmgate users list"):
            rows = await client.keys.rows(limit, search=search, user=user)
        cli.out.rows(rows, COLUMNS)


@command(keys, "show")
async def show(cli: Cli, key: KeyArgument) -> None:
    """Show one API key (the secret is shown at creation only)."""
    async with cli.client() as client:
        cli.out.record(await client.keys.get(key), DETAILS)


@command(keys, "create")
async def create(
    cli: Cli,
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, - and _, at most 40.")],
    user: Annotated[str | None, typer.Option(help="Id or name of its user; none: an application's key.")] = None,
    role: RoleOption = Role.USER,
    level: LevelOption = None,
    model: ModelOption = None,
    weight: WeightOption = None,
    expires: Expires = None,
) -> None:
    """Create an API key and print it, once."""
    from llmgate import schemas
    from llmgate.client import named
    from llmgate.validation import compose

    wanted = chosen(
        name=name, user=user, role=role, level=level, models=model or None, weight=weight, expires_at=expires
    )
    async with cli.client() as client:
        with named("user", user or "", "llmgate users list"):
            made = await client.keys.create(compose(schemas.KeyCreate, **wanted))
    cli.out.secret(made, made.key)
    cli.out.message("Store it now: it is not shown again.")


@command(keys, "update")
async def update(
    cli: Cli,
    key: KeyArgument,
    name: Annotated[str | None, typer.Option(help="Rename.")] = None,
    level: LevelOption = None,
    no_level: NoLevelOption = False,
    disabled: Annotated[bool | None, typer.Option("--disable/--enable", help="Whether it is accepted.")] = None,
    model: ModelOption = None,
    all_models: Annotated[bool, typer.Option("--all-models", help="Allow every model.")] = False,
    weight: WeightOption = None,
    expires: Expires = None,
    never_expires: NeverExpires = False,
) -> None:
    """Change an API key."""
    from llmgate import schemas
    from llmgate.validation import compose

    changes = chosen(name=name, level=level, disabled=disabled, models=model or None, weight=weight, expires_at=expires)
    taken_away = (("level", no_level), ("models", all_models), ("expires_at", never_expires))
    changes.update({field: None for field, taken in taken_away if taken})
    async with cli.client() as client:
        cli.out.record(await client.keys.update(key, compose(schemas.KeyUpdate, **changing(**changes))), DETAILS)


@command(keys, "revoke")
async def revoke(cli: Cli, key: KeyArgument) -> None:
    """Refuse a key from now on, for good."""
    cli.confirm(f"Revoke the key {key} for good")
    async with cli.client() as client:
        cli.out.record(await client.keys.revoke(key), DETAILS)


@command(keys, "delete")
async def delete(cli: Cli, key: KeyArgument) -> None:
    """Delete a key. What it has used stays counted."""
    cli.confirm(f"Delete the key {key}")
    async with cli.client() as client:
        await client.keys.delete(key)
    cli.out.message(f"Deleted the key {key}.")
