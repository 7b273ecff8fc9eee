"""`llmgate backup` and `llmgate restore`: a whole installation in one encrypted file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmgate.cli.command import Cli, command
from llmgate.cli.output import Column, Format
from llmgate.cli.serve import find_config
from llmgate.errors import InputNeeded

if TYPE_CHECKING:  # pydantic is not needed to show the help
    from llmgate.config import Settings

FROM_ENVIRONMENT = "LLMGATE_BACKUP_PASSPHRASE_FILE"
FileOption = Annotated[Path | None, typer.Option("--config", "-c", help="The daemon's configuration file.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help=f"File that holds the passphrase; or {FROM_ENVIRONMENT}."),
]
PassphraseStdin = Annotated[bool, typer.Option("--passphrase-stdin", help="Read the passphrase from standard input.")]


async def backup(
    cli: Cli,
    file: Annotated[
        Path | None, typer.Argument(help="Where to write it; - is standard output. Default: a name with the time.")
    ] = None,
    config: FileOption = None,
    passphrase_file: PassphraseFile = None,
    passphrase_stdin: PassphraseStdin = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if there is one.")] = False,
) -> None:
    """Save the whole installation into one encrypted file.

    Every table and the secret key, encrypted with a passphrase of at least 12 characters. The daemon may go on
    serving. It runs on the daemon's machine, with its configuration, as its user.

    Examples:
      llmgate backup nightly.backup --passphrase-file /root/backup.pass
      llmgate backup - --passphrase-file pass | ssh elsewhere 'cat > llmgate.backup'
    """
    from llmgate.daemon.operations.cipher import check_passphrase
    from llmgate.daemon.operations.outfile import new_file

    settings = _settings(config)
    to_stdout = file == Path("-")
    if to_stdout and (sys.stdout.isatty() or cli.out.form is not Format.TABLE):
        raise InputNeeded("With - the backup itself goes to standard output.", hint="Send it to a file or a program.")
    path = file or Path(f"llmgate-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.backup")
    passphrase = _passphrase(cli, passphrase_file, from_stdin=passphrase_stdin, repeat=True)
    check_passphrase(passphrase)
    if to_stdout:
        await _save(cli, settings, sys.stdout.buffer, passphrase)
        sys.stdout.buffer.flush()
        return
    with new_file(path, replace=force) as target:
        summary = await _save(cli, settings, target, passphrase)
    row = {
        "file": str(path),
        "bytes": summary.bytes,
        "schema": summary.schema,
        "tables": len(summary.rows),
        "rows": sum(summary.rows.values()),
        "rows_by_table": dict(summary.rows),
    }
    cli.out.record(row, _columns("file", "bytes", "schema", "tables", "rows"), name="file")


async def restore(
    cli: Cli,
    file: Annotated[Path, typer.Argument(help="The backup.")],
    config: FileOption = None,
    passphrase_file: PassphraseFile = None,
    passphrase_stdin: PassphraseStdin = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check the backup; nothing else is needed or touched.")
    ] = False,
) -> None:
    """Fill an empty installation from a backup.

    The backup is checked wholly before anything is written. The database that the configuration names must be empty,
    of either kind, and there must be no other secret key. Everything is written in one transaction.

    Examples:
      llmgate restore nightly.backup --dry-run
      llmgate restore nightly.backup --config /etc/llmgate/llmgate.toml
    """
    from llmgate.daemon.operations.restore import Source, check

    settings = None if dry_run else _settings(config)
    source = Source(file, _passphrase(cli, passphrase_file, from_stdin=passphrase_stdin, repeat=False))
    with _progress(cli, "Checking") as progress:
        manifest = await check(source, progress)
    activity = None if settings is None else await _restore(cli, settings, source, manifest)
    row = {
        "file": str(file),
        "llmgate": manifest.llmgate,
        "schema": manifest.schema,
        "database": manifest.database,
        "created_at": manifest.created_at.isoformat(),
        "tables": len(manifest.tables),
        "rows": manifest.rows,
        "rows_by_table": {table.name: table.rows for table in manifest.tables},
        "restored": settings is not None,
        "activity": activity,
    }
    shown = ("file", "llmgate", "schema", "database", "created_at", "tables", "rows", "restored", "activity")
    cli.out.record(row, _columns(*shown), name="file")


def mount_backup(app: typer.Typer) -> None:
    command(app, "backup")(backup)
    command(app, "restore")(restore)


async def _save(cli: Cli, settings: Settings, target: Any, passphrase: str) -> Any:
    from llmgate.daemon.operations.backup import back_up
    from llmgate.daemon.operations.installation import existing

    async with existing(settings) as (database, secret):
        with _progress(cli, "Saving") as progress:
            return await back_up(database, secret, target, passphrase, progress)


async def _restore(cli: Cli, settings: Settings, source: Any, manifest: Any) -> str:
    """What the activity log's chain looks like after it."""
    from llmgate.daemon.operations.installation import chain_state, fresh
    from llmgate.daemon.operations.restore import restore as write
    from llmgate.daemon.services import secret_path

    async with fresh(settings) as database:
        with _progress(cli, "Restoring") as progress:
            await write(source, manifest, database, secret_path(settings), progress)
        return await chain_state(database, manifest.secret)


def _settings(file: Path | None) -> Settings:
    from llmgate.config import load

    return load(find_config(file)).settings


def _passphrase(cli: Cli, file: Path | None, *, from_stdin: bool, repeat: bool) -> str:
    from llmgate.cli import ask

    if from_stdin:
        return ask.secret_from_stdin("Passphrase")
    file = file or (Path(named) if (named := os.environ.get(FROM_ENVIRONMENT)) else None)
    if file is not None:
        return ask.secret_from_file(file, "Passphrase")
    if not cli.may_ask:
        raise InputNeeded("The passphrase is missing.", hint="Give it with --passphrase-file or --passphrase-stdin.")
    return ask.secret("Passphrase of the backup", repeat=repeat)


def _columns(*names: str) -> list[Column]:
    return [Column(name.replace("_", " "), itemgetter(name)) for name in names]


@contextmanager
def _progress(cli: Cli, what: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal's standard error; nothing where programs or nobody read."""
    if cli.out.quiet or cli.out.form is not Format.TABLE or not sys.stderr.isatty():
        yield lambda table, done, rows: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from llmgate.cli.output import console
    from llmgate.text import clean

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("rows  {task.description}"))
    with Progress(*columns, console=console(sys.stderr), transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(table: str, done: int, rows: int) -> None:
            bar.update(task, description=clean(table), completed=done, total=rows)

        yield show
