"""`llmgate config`: the daemon's configuration file on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import ForceOption
from llmgate.cli.output import Column, Format
from llmgate.cli.serve import find_config
from llmgate.errors import NotFound
from llmgate.values import shown

if TYPE_CHECKING:  # pydantic is not needed to show the help
    from llmgate.config import LoadedSettings

config = group("config", "The daemon's configuration on this machine.")
CHANGES = (
    Column("setting", lambda change: change.key, whole=True),
    Column("before", lambda change: shown(change.before)),
    # Of upstreams only the names are told.
    Column("after", lambda change: "changed" if change.after == change.before else shown(change.after)),
)
FileOption = Annotated[Path | None, typer.Option("--config", "-c", help="Configuration file.")]


@command(config, "check")
def check(cli: Cli, file: FileOption = None) -> None:
    """Check file and environment as `llmgate serve` would read them."""
    loaded = _load(file)
    cli.out.message(f"{loaded.path or 'The defaults (there is no file)'}: usable.")


@command(config, "show")
def show(
    cli: Cli,
    file: FileOption = None,
    origin: Annotated[bool, typer.Option("--origin", help="Also show where each value comes from.")] = False,
) -> None:
    """Show every setting in effect. Secrets are masked."""
    loaded = _load(file)
    values = loaded.settings.model_dump(mode="json")
    for row, upstream in zip(values["upstreams"], loaded.settings.upstreams, strict=True):
        row["pool"] = upstream.pool_name
    rows = [{"key": key, "value": value, "origin": loaded.origin(key)} for key, value in flat(values)]
    columns = [Column("key", lambda row: row["key"]), Column("value", lambda row: row["value"])]
    if origin:
        columns.append(Column("origin", lambda row: row["origin"]))
    cli.out.rows(rows, columns, name="key")


@command(config, "path")
def path(cli: Cli, file: FileOption = None) -> None:
    """Print the file that `llmgate serve` would read."""
    found = find_config(file)
    if found is None:
        raise NotFound("There is no configuration file; the defaults apply.", hint="Write one with: llmgate init")
    cli.out.data(str(found.absolute()))


@command(config, "reload")
async def reload(cli: Cli, force: ForceOption = False) -> None:
    """Let the daemon read its file again: all that can be changed at run time is taken over, or nothing."""
    async with cli.client() as client:
        found = await client.settings.reload(force=force)
    if not found.reloadable:
        cli.out.message("This daemon was started without a configuration that could be read again: nothing changes.")
    if cli.out.form is not Format.TABLE:
        cli.out.record(found, ())
        return
    if found.changed:
        cli.out.rows(found.changed, CHANGES, name="key")
    elif found.reloadable:
        what = "nothing that could be taken over" if found.needs_restart else "nothing"
        cli.out.message(f"{found.path or 'The environment'}: {what} is different.")
    for key in found.needs_restart:
        cli.out.message(f"{key} needs a restart.")


def flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested settings as dotted keys: ``server.port``, ``upstreams[0].url``."""
    rows: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            rows += flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, item in enumerate(value):
                rows += flat(item, f"{prefix}{key}[{number}].")
        else:
            rows.append((f"{prefix}{key}", value))
    return rows


def _load(file: Path | None) -> LoadedSettings:
    from llmgate.config import load

    return load(find_config(file))
