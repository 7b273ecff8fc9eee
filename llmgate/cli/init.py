"""`llmgate init`: a configuration, the secret key and the first administrator, without the network."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmgate.cli.command import Cli
from llmgate.cli.options import PasswordFile, PasswordStdin, chosen
from llmgate.cli.program import called
from llmgate.cli.shared import Options
from llmgate.errors import Conflict, StateUnreadable

if TYPE_CHECKING:  # pydantic is not needed to show the help
    from llmgate.config import Settings

CONFIG_TEMPLATE = """\
# llmgate's configuration. Every setting is described in llmgate.toml.example.

[server]
host = {host}
port = {port}

[state]
dir = {state}

[[upstreams]]
name = "ollama"
kind = "ollama"
url = {upstream}
slots = {slots}
"""


def init(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="Configuration file to write.")] = Path(
        "llmgate.toml"
    ),
    state_dir: Annotated[
        Path | None, typer.Option(metavar="DIRECTORY", help="Directory of database and secret key.")
    ] = None,
    upstream: Annotated[
        str | None, typer.Option(metavar="URL", help="The Ollama server.", show_default="http://127.0.0.1:11434")
    ] = None,
    slots: Annotated[
        int | None, typer.Option(help="Requests that it runs at once.", min=1, max=1024, show_default="1")
    ] = None,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", min=0, max=65535, show_default="11435")] = None,
    admin: Annotated[str, typer.Option(metavar="NAME", help="Name of the first administrator.")] = "admin",
    password_stdin: PasswordStdin = False,
    password_file: PasswordFile = None,
) -> None:
    """Write a configuration, the secret key and the first administrator.

    Examples:
      llmgate init --upstream http://127.0.0.1:11434 --slots 2
    """
    import asyncio

    from llmgate.config import load
    from llmgate.daemon.auth.passwords import check_strength
    from llmgate.daemon.store.checks import user_name

    flags = {"--state-dir": state_dir, "--upstream": upstream, "--slots": slots, "--host": host, "--port": port}
    is_new = not config.exists()
    if is_new:
        settings = load(None, _chosen_settings(state_dir, upstream, slots, host, port)).settings
    else:
        _refuse_flags(config, chosen(**flags))
        settings = load(config).settings
    name = user_name(admin)
    password = Cli(Options()).secret(f"Password for {name}", from_stdin=password_stdin, file=password_file, repeat=True)
    check_strength(password, settings.auth.password_min_length)
    if is_new:
        _write(config, settings)
    try:
        asyncio.run(_create_admin(settings, name, password))
    except BaseException:
        if is_new:
            config.unlink(missing_ok=True)
        raise
    typer.echo(f"{'Wrote' if is_new else 'Kept'} {config}. Created the administrator {name!r}.", err=True)
    typer.echo(f"Start the gateway with: {called()} serve --config {config}", err=True)


def _chosen_settings(
    state_dir: Path | None, upstream: str | None, slots: int | None, host: str | None, port: int | None
) -> dict[str, Any]:
    """The flags as settings."""
    settings: dict[str, Any] = {"server": chosen(host=host, port=port)}
    if state_dir is not None:
        settings["state"] = {"dir": state_dir}
    first = chosen(url=upstream, slots=slots)
    if first:
        settings["upstreams"] = [{"name": "ollama", "url": "http://127.0.0.1:11434", **first}]
    return settings


def _refuse_flags(config: Path, given: dict[str, object]) -> None:
    if given:
        raise Conflict(
            f"{config} exists, and {', '.join(given)} would not change it.",
            hint="Edit the file, or name another one with --config.",
        )


def _write(config: Path, settings: Settings) -> None:
    """Write a configuration that is not there yet. Raises StateUnreadable."""
    upstream = settings.upstreams[0]
    text = CONFIG_TEMPLATE.format(
        # A JSON string is a TOML string.
        host=json.dumps(settings.server.host),
        port=settings.server.port,
        state=json.dumps(str(settings.state.dir.absolute())),
        upstream=json.dumps(upstream.url),
        slots=upstream.slots,
    )
    try:
        descriptor = os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as failure:
        raise StateUnreadable(
            f"Cannot write {config}: {failure.strerror}.", hint="Name another file with --config."
        ) from None


async def _create_admin(settings: Settings, name: str, password: str) -> None:
    from llmgate.daemon.auth.passwords import PasswordHasher
    from llmgate.daemon.bootstrap import create_first_admin
    from llmgate.daemon.services import changes_of, open_database

    hasher = PasswordHasher(min_length=lambda: settings.auth.password_min_length)
    try:
        database, secret = await open_database(settings)
        try:
            await create_first_admin(changes_of(database, secret), hasher, name, password)
        finally:
            await database.close()
    except Conflict:
        raise Conflict(
            "There is an administrator already.",
            hint=f"Log in as that one to create others. If its password is lost: {called()} recover",
        ) from None
    finally:
        hasher.close()
