"""`llmgate settings`: what a daemon works by, and who decides it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from llmgate import values
from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import ForceOption
from llmgate.cli.output import Column
from llmgate.errors import InvalidRequest
from llmgate.values import accepted, shown

settings = group("settings", "What the daemon works by, and who decides it.")
KeyArgument = Annotated[str, typer.Argument(metavar="SETTING", help="Its key, like queue.aging_seconds.")]

COLUMNS = (
    Column("setting", lambda setting: setting.key, whole=True),
    Column("value", lambda setting: shown(setting.value)),
    Column("origin", lambda setting: setting.origin),
    Column("changeable", lambda setting: setting.mutable),
    Column("what it is", lambda setting: setting.description, widest=True),
)
DETAILS = (
    *COLUMNS[:3],
    Column("default", lambda setting: shown(setting.default)),
    Column("what it is", lambda setting: setting.description),
    Column("accepts", lambda setting: accepted(setting.accepts)),
    Column("changeable", lambda setting: setting.mutable),
    Column("why not", lambda setting: setting.reason),
    Column("set at", lambda setting: setting.updated_at),
    Column("set by", lambda setting: setting.updated_by),
)


@command(settings, "list")
async def list_settings(
    cli: Cli,
    changeable: Annotated[bool, typer.Option("--changeable", help="Only what can be changed here.")] = False,
) -> None:
    """List the settings that are in effect, and where each comes from."""
    async with cli.client() as client:
        rows = [row for row in await client.settings.rows(1000) if row.mutable or not changeable]
    cli.out.rows(rows, COLUMNS, name="key")


@command(settings, "show")
async def show(cli: Cli, key: KeyArgument) -> None:
    """Show one setting: what it is, what it takes, and who decides it."""
    async with cli.client() as client:
        cli.out.record(await client.settings.get(key), DETAILS, name="key")


@command(settings, "set")
async def put(
    cli: Cli,
    key: KeyArgument,
    value: Annotated[str, typer.Argument(help="The new value: 30, 0.25, true, off, warning.")],
    force: ForceOption = False,
) -> None:
    """Change a setting while the daemons run, in all that share the database.

    Examples:
      llmgate settings set queue.aging_seconds 20
    """
    async with cli.client() as client:
        current = await client.settings.get(key)
        wanted = parsed(key, value, current.accepts)
        cli.out.record(await client.settings.set(key, wanted, force=force), DETAILS, name="key")


@command(settings, "reset")
async def reset(cli: Cli, key: KeyArgument, force: ForceOption = False) -> None:
    """Take a change back: what decides otherwise does so again."""
    async with cli.client() as client:
        cli.out.record(await client.settings.reset(key, force=force), DETAILS, name="key")


def parsed(key: str, text: str, accepts: Mapping[str, Any]) -> Any:
    """As ``values.parsed``. Raises InvalidRequest."""
    try:
        return values.parsed(text, accepts)
    except ValueError as fault:
        raise InvalidRequest(f"{text!r} is no value for {key}.", hint=f"It {fault}.") from None
