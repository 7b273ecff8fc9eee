"""`llmgate keys`: API keys of applications and users."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.limits import (
    CidrOption,
    MaxConcurrent,
    MaxWaiting,
    OverlapOption,
    RequestsPerMinute,
    RouteOption,
    TokensPerDay,
    TokensPerMinute,
    TokensPerMonth,
    bounded,
)
from llmgate.cli.options import (
    AllOption,
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

keys = group("keys", "API keys of applications and users.")
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Id or name.")]
ModelOption = Annotated[
    list[str] | None, typer.Option("--model", help="Only this model; repeat for more.", show_default=False)
]
WeightOption = Annotated[
    float | None,
    typer.Option(help="Share of its level, beside keys of weight 1.", min=0.01, max=100, show_default=False),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Also when it is the key that this command itself uses.")]


class State(StrEnum):
    """What a key is good for."""

    ACTIVE = "active"
    OWNER_DISABLED = "owner_disabled"
    DISABLED = "disabled"
    EXPIRED = "expired"
    REVOKED = "revoked"


COLUMNS = (
    Column("name", lambda key: key.name),
    Column("key", lambda key: f"llmg_{key.id}_…{key.last4}", whole=True),
    Column("user", lambda key: key.user, wide=True),
    Column("role", lambda key: key.role, wide=True),
    Column("level", lambda key: key.level or "default"),
    Column("state", lambda key: key.state.replace("_", " ")),
    Column("expires", lambda key: key.expires_at),
    Column("last used", lambda key: key.last_used_at),
    Column("id", lambda key: key.id, whole=True, wide=True),
)
DETAILS = (
    *COLUMNS,
    Column("models", lambda key: key.models or "all"),
    Column("routes", lambda key: key.routes or "all"),
    Column("networks", lambda key: key.cidrs or "all"),
    Column("weight", lambda key: key.weight),
    Column("requests per minute", lambda key: key.requests_per_minute),
    Column("tokens per minute", lambda key: key.tokens_per_minute),
    Column("concurrent requests", lambda key: key.max_concurrent),
    Column("waiting requests", lambda key: key.max_waiting),
    Column("tokens per day", lambda key: key.tokens_per_day),
    Column("tokens per month", lambda key: key.tokens_per_month),
    Column("created", lambda key: key.created_at),
    Column("rotated", lambda key: key.rotated_at),
    Column("old secret until", lambda key: key.previous_until),
)


@command(keys, "list")
async def list_keys(
    cli: Cli,
    search: SearchOption = None,
    user: Annotated[str | None, typer.Option(help="Only the keys of this user.")] = None,
    role: Annotated[Role | None, typer.Option(help="Only user or admin.", show_default=False)] = None,
    level: Annotated[int | None, typer.Option(help="Only of this level.", min=1, max=5, show_default=False)] = None,
    state: Annotated[State | None, typer.Option(help="Only in this state.", show_default=False)] = None,
    limit: LimitOption = 1000,
    every: AllOption = False,
) -> None:
    """List API keys.

    Examples:
      llmgate keys list --fields name,level,last_used_at
      llmgate keys list --all -o jsonl
    """
    from llmgate.cli.listing import listing
    from llmgate.client import named

    filters = chosen(search=search, user=user, role=role, level=level, state=state)
    async with cli.client() as client:
        with named("user", user or "", "llmgate users list"):
            await listing(cli, client.keys, COLUMNS, limit=None if every else limit, **filters)


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
    route: RouteOption = None,
    cidr: CidrOption = None,
    weight: WeightOption = None,
    expires: Expires = None,
    requests_per_minute: RequestsPerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    max_concurrent: MaxConcurrent = None,
    max_waiting: MaxWaiting = None,
    tokens_per_day: TokensPerDay = None,
    tokens_per_month: TokensPerMonth = None,
) -> None:
    """Create an API key and print it, once.

    Examples:
      llmgate keys create nightly --level 5 --tokens-per-day 2M
      llmgate keys create editor --user ann --model llama3.2 --expires 90d -o json | jq -r .key
    """
    from llmgate import schemas
    from llmgate.client import named
    from llmgate.validation import compose

    wanted = chosen(name=name, user=user, role=role.value, level=level, weight=weight, expires_at=expires)
    wanted |= chosen(models=model or None, routes=route or None, cidrs=cidr or None)
    wanted |= bounded(
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        max_concurrent=max_concurrent,
        max_waiting=max_waiting,
        tokens_per_day=tokens_per_day,
        tokens_per_month=tokens_per_month,
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
    route: RouteOption = None,
    all_routes: Annotated[bool, typer.Option("--all-routes", help="Allow every route.")] = False,
    cidr: CidrOption = None,
    all_networks: Annotated[bool, typer.Option("--all-networks", help="Allow it from everywhere.")] = False,
    weight: WeightOption = None,
    expires: Expires = None,
    never_expires: NeverExpires = False,
    requests_per_minute: RequestsPerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    max_concurrent: MaxConcurrent = None,
    max_waiting: MaxWaiting = None,
    tokens_per_day: TokensPerDay = None,
    tokens_per_month: TokensPerMonth = None,
    force: ForceOption = False,
) -> None:
    """Change an API key. It takes effect with its next request.

    Examples:
      llmgate keys update nightly --level 4 --disable
    """
    from llmgate import schemas
    from llmgate.validation import compose

    changes = chosen(name=name, level=level, disabled=disabled, weight=weight, expires_at=expires)
    changes |= chosen(models=model or None, routes=route or None, cidrs=cidr or None)
    changes |= bounded(
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        max_concurrent=max_concurrent,
        max_waiting=max_waiting,
        tokens_per_day=tokens_per_day,
        tokens_per_month=tokens_per_month,
    )
    freed = {"level": no_level, "models": all_models, "routes": all_routes, "cidrs": all_networks}
    changes |= {field: None for field, taken in {**freed, "expires_at": never_expires}.items() if taken}
    async with cli.client() as client:
        body = compose(schemas.KeyUpdate, **changing(**changes))
        cli.out.record(await client.keys.update(key, body, force=force), DETAILS)


@command(keys, "rotate")
async def rotate(cli: Cli, key: KeyArgument, overlap: OverlapOption = None) -> None:
    """Give a key a new secret and print it, once. The old one works for an hour, or --overlap, more.

    Examples:
      llmgate keys rotate nightly --overlap 2d
    """
    from llmgate import schemas
    from llmgate.validation import compose

    async with cli.client() as client:
        made = await client.keys.rotate(key, compose(schemas.KeyRotate, **chosen(overlap_seconds=overlap)))
    cli.out.secret(made, made.key)
    end = f"works until {made.previous_until:%Y-%m-%d %H:%M:%S}Z" if made.previous_until else "is refused from now on"
    cli.out.message(f"Store it now: it is not shown again. The old one {end}.")


@command(keys, "revoke")
async def revoke(cli: Cli, key: KeyArgument, force: ForceOption = False) -> None:
    """Refuse a key from now on, for good."""
    cli.confirm(f"Revoke the key {key} for good")
    async with cli.client() as client:
        cli.out.record(await client.keys.revoke(key, force=force), DETAILS)


@command(keys, "delete")
async def delete(cli: Cli, key: KeyArgument, force: ForceOption = False) -> None:
    """Delete a key. What it has used stays counted."""
    cli.confirm(f"Delete the key {key}")
    async with cli.client() as client:
        await client.keys.delete(key, force=force)
    cli.out.message(f"Deleted the key {key}.")
