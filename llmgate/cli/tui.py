"""`llmgate tui`: the dashboard."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from llmgate.cli.command import Cli, command
from llmgate.cli.output import colorless
from llmgate.errors import InputNeeded, InvalidRequest


def tui(
    cli: Cli,
    read_only: Annotated[bool, typer.Option("--read-only", help="Look, and change nothing.")] = False,
    refresh: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.5, max=3600)] = 1,
    theme: Annotated[
        str | None, typer.Option(help="llmgate-dark, llmgate-light, ansi-dark, ansi-light …", show_default=False)
    ] = None,
) -> None:
    """Watch and administer a daemon, here or elsewhere, in the terminal.

    All that an administrator does through the admin API, each with the command that does the same; backup, restore and
    doctor stay on the command line. ? shows the keys.

    Examples:
      llmgate tui
      llmgate tui --context office --read-only
    """
    # Read when Textual is imported: so many milliseconds a lone Esc may still be the beginning of a longer key. Over a
    # bad line it may need more.
    os.environ.setdefault("ESCDELAY", "25")
    from llmgate.tui.app import Dashboard, Launch, theme_names
    from llmgate.tui.driver import notice_escape_soon

    if not (sys.stdin.isatty() and sys.stderr.isatty()):  # Textual draws on standard error
        raise InputNeeded(
            "The dashboard needs a terminal.", hint="For scripts: llmgate queue watch, llmgate events watch"
        )
    if theme is not None and theme not in theme_names():
        raise InvalidRequest(f"There is no theme {theme!r}.", hint=f"There are: {', '.join(theme_names())}.")
    if colorless.get():
        os.environ["NO_COLOR"] = "1"
    notice_escape_soon()
    Dashboard(Launch(cli.store, cli.target, read_only, refresh, theme)).run()


def mount_tui(app: typer.Typer) -> None:
    command(app, "tui")(tui)
