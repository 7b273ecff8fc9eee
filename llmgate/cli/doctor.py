"""`llmgate doctor`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmgate.cli.command import Cli, command
from llmgate.cli.output import Column, Format, colorless, console
from llmgate.cli.serve import find_config
from llmgate.text import clean
from llmgate.urls import base_url

if TYPE_CHECKING:  # the daemon is not needed to show the help
    from llmgate.daemon.operations.checks.base import Finding

_SIGNS = {
    "ok": ("✓", "+", "green"),
    "warn": ("!", "!", "yellow"),
    "fail": ("✗", "x", "bold red"),
    "skip": ("-", "-", "dim"),
}


async def doctor(
    cli: Cli,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="The daemon's configuration file.")] = None,
) -> None:
    """Examine this installation, and say how to mend what is wrong.

    Configuration, files, database, broker, upstreams, the daemon itself and its machine. Nothing is created or
    changed. Run it as the daemon's user. The exit code is 1 when something failed; warnings do not count.
    """
    from llmgate.daemon.operations.doctor import examine
    from llmgate.daemon.operations.quiet import without_log

    url = base_url(cli.options.url) if cli.options.url else None  # without a password: it is shown
    with without_log():
        findings = await examine(find_config(config), url)
    if cli.out.form is Format.TABLE and not cli.out.quiet:
        _show(findings)
    else:
        rows = [{"id": one.id, "status": one.status.value, "found": one.found, "fix": one.fix} for one in findings]
        shown = [row for row in rows if row["status"] in ("fail", "warn")] if cli.out.quiet else rows
        cli.out.rows(shown, [Column("id", lambda row: row["id"])])
    if any(one.status == "fail" for one in findings):
        raise typer.Exit(1)


def mount_doctor(app: typer.Typer) -> None:
    command(app, "doctor")(doctor)


def _show(findings: Sequence[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    plain = bool(os.environ.get("NO_COLOR")) or colorless.get() or "utf" not in (sys.stdout.encoding or "utf-8").lower()
    grid = Table.grid(padding=(0, 1))
    for one in findings:
        fancy, ascii_sign, style = _SIGNS[one.status]
        text = Text(clean(one.found))
        if one.fix and one.status != "ok":
            text.append(f"\n→ {clean(one.fix)}" if not plain else f"\n-> {clean(one.fix)}", style="bold")
        grid.add_row(Text(ascii_sign if plain else fancy, style=style), Text(clean(one.id)), text)
    target = console(sys.stdout)
    target.print(grid)
    counts = {status: sum(one.status == status for one in findings) for status in _SIGNS}
    summary = f"{counts['ok']} ok, {counts['warn']} to know, {counts['fail']} failed, {counts['skip']} skipped"
    target.print(Text(summary, style="bold red" if counts["fail"] else "dim"))
