"""`llmgate db`: which schema the database has, and the way to the newest one."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.output import Column
from llmgate.cli.serve import find_config
from llmgate.errors import NotFound

if TYPE_CHECKING:  # pydantic is not needed to show the help
    from llmgate.config import Settings

db = group("db", "The database's schema.")
FileOption = Annotated[Path | None, typer.Option("--config", "-c", help="The daemon's configuration file.")]


@command(db, "status")
async def status(cli: Cli, config: FileOption = None) -> None:
    """Show kind, place, size and schema of the database. The exit code is 1 while migrations are pending.

    Nothing is created or changed. `llmgate serve` migrates by itself when it starts.
    """
    row = await _status(_settings(config))
    names = ("kind", "place", "version", "bytes", "revision", "newest")
    columns = [Column(name, itemgetter(name)) for name in names]
    columns.append(Column("pending", lambda row: [f"{one['revision']} {one['summary']}" for one in row["pending"]]))
    cli.out.record(row, columns, name="revision")
    if row["pending"]:
        raise typer.Exit(1)


@command(db, "upgrade")
async def upgrade(cli: Cli, config: FileOption = None) -> None:
    """Run the migrations that are pending, in one transaction.

    Make a backup first: there is no way back but a backup. Daemons of the release before may go on serving.
    """
    settings = _settings(config)
    before = await _status(settings)
    if not before["pending"]:
        cli.out.message(f"{before['place']} has the newest schema already ({before['revision']}).")
        return
    names = ", ".join(one["revision"] for one in before["pending"])
    cli.confirm(f"Migrate {before['place']} from {before['revision'] or 'nothing'} by {names}")
    await _migrate(settings)
    after = await _status(settings)
    cli.out.record(after, [Column("revision", itemgetter("revision"))], name="revision")


async def _migrate(settings: Settings) -> None:
    from llmgate.daemon.operations.installation import fresh

    async with fresh(settings) as database:
        await database.migrate()


async def _status(settings: Settings) -> dict[str, Any]:
    from llmgate.daemon.operations.installation import facts, looked_at, sqlite_file
    from llmgate.daemon.store import schema

    file = sqlite_file(settings)
    if file is not None and not file.is_file():
        raise NotFound(f"There is no database at {file}.", hint="llmgate init or llmgate serve makes it.")
    async with looked_at(settings) as tx:
        found = await facts(settings, tx)
    return {
        "kind": found.kind,
        "place": found.place,
        "version": found.version,
        "bytes": found.bytes,
        "revision": found.revision,
        "newest": found.head,
        "pending": [
            {"revision": revision, "summary": summary} for revision, summary in schema.pending(found.revision).items()
        ],
    }


def _settings(file: Path | None) -> Settings:
    from llmgate.config import load

    return load(find_config(file)).settings
