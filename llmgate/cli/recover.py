"""`llmgate recover`: a way back in, when nobody knows the password of an administrator any more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmgate.cli.command import Cli, command
from llmgate.cli.options import PasswordFile, PasswordStdin
from llmgate.cli.serve import find_config


async def recover(
    cli: Cli,
    name: Annotated[
        str | None,
        typer.Argument(help="Name or id of the administrator. Without one: the only one.", show_default=False),
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="The daemon's configuration file.")] = None,
    password_stdin: PasswordStdin = False,
    password_file: PasswordFile = None,
) -> None:
    """Give an administrator a new password, without logging in.

    It enables the account and ends its sessions; its API keys stay. It runs on the daemon's machine, with its
    configuration, as its user. The daemon may go on serving. The activity log tells of it.

    Examples:
      llmgate recover --config /etc/llmgate/llmgate.toml
      llmgate recover root --password-file new-password
    """
    from llmgate.config import load
    from llmgate.daemon.operations import recovery
    from llmgate.daemon.operations.installation import existing
    from llmgate.daemon.operations.quiet import without_log

    loaded = load(find_config(config))
    with without_log():
        async with existing(loaded.settings) as (database, secret):
            user = await recovery.find_admin(database, secret, name)
            prompt = f"New password for {user.name}"
            password = cli.secret(prompt, from_stdin=password_stdin, file=password_file, repeat=True)
            done = await recovery.recover(database, secret, loaded, user, password)
    enabled = " It was disabled, and is enabled again." if done.was_disabled else ""
    ended = "1 session is" if done.sessions == 1 else f"{done.sessions} sessions are"
    cli.out.message(f"The password of {done.user.name} is changed, and {ended} ended.{enabled}")


def mount_recover(app: typer.Typer) -> None:
    command(app, "recover")(recover)
