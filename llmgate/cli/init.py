"""`llmgate init`: a configuration, the secret key and the first administrator, without the network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from llmgate.errors import Conflict, InvalidRequest

CONFIG_TEMPLATE = """\
# llmgate's configuration. Every setting is described in llmgate.toml.example.

[server]
host = "{host}"
port = {port}

[state]
dir = "{state}"

[[upstreams]]
name = "ollama"
kind = "ollama"
url = "{upstream}"
slots = {slots}
"""


def init(
    config: Annotated[Path, typer.Option("--config", "-c", help="Configuration file to write.")] = Path("llmgate.toml"),
    state_dir: Annotated[Path | None, typer.Option(help="Directory of database and secret key.")] = None,
    upstream: Annotated[str, typer.Option(help="URL of the Ollama server.")] = "http://127.0.0.1:11434",
    slots: Annotated[int, typer.Option(help="Requests that it runs at once.", min=1, max=1024)] = 1,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 11435,
    admin: Annotated[str, typer.Option(help="Name of the first administrator.")] = "admin",
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
    password_file: Annotated[Path | None, typer.Option(help="Read the password from a file.")] = None,
) -> None:
    """Write a configuration, the secret key and the first administrator."""
    import asyncio

    from llmgate import config as settings_module

    password = _password(admin, password_stdin, password_file)
    if config.exists():
        typer.echo(f"{config} is kept as it is.", err=True)
    else:
        state = (state_dir or settings_module.StateSettings().dir).expanduser().absolute()
        text = CONFIG_TEMPLATE.format(host=host, port=port, state=state, upstream=upstream, slots=slots)
        config.write_text(text, encoding="utf-8")
        config.chmod(0o600)
        typer.echo(f"Wrote {config}.", err=True)
    settings = settings_module.load(config).settings
    asyncio.run(_create_admin(settings, admin, password))
    typer.echo(
        f"Created the administrator {admin!r}. Start the gateway with: llmgate serve --config {config}", err=True
    )


async def _create_admin(settings: object, name: str, password: str) -> None:
    from llmgate.config import Settings
    from llmgate.daemon.auth.passwords import PasswordHasher
    from llmgate.daemon.bootstrap import create_first_admin
    from llmgate.daemon.services import open_database

    assert isinstance(settings, Settings)  # noqa: S101 - narrows the lazily imported type
    hasher = PasswordHasher(min_length=settings.auth.password_min_length)
    database, _ = await open_database(settings)
    try:
        await create_first_admin(database, hasher, name, password)
    except Conflict:
        raise Conflict(
            "There is an administrator already.",
            hint="Log in as that one, or create another with: llmgate users create",
        ) from None
    finally:
        await database.close()
        hasher.close()


def _password(admin: str, from_stdin: bool, file: Path | None) -> str:
    if file is not None:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise InvalidRequest("No terminal to ask for the password.", hint="Use --password-stdin or --password-file.")
    answer: str = typer.prompt(f"Password for {admin}", hide_input=True, confirmation_prompt=True)
    return answer
