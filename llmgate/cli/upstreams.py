"""`llmgate upstreams`: the servers that run the models."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import AllOption, IntervalOption, LimitOption, WatchOption, changing, chosen
from llmgate.cli.output import Column
from llmgate.errors import InvalidRequest

upstreams = group("upstreams", "The servers that run the models.")


class Kind(StrEnum):
    """What an upstream speaks."""

    OLLAMA = "ollama"
    OPENAI = "openai"


UpstreamArgument = Annotated[str, typer.Argument(metavar="UPSTREAM", help="Its name.")]
SlotsOption = Annotated[
    int | None, typer.Option(help="Requests that it runs at once.", min=1, max=1024, show_default=False)
]
PoolOption = Annotated[
    str | None, typer.Option(metavar="POOL", help="Upstreams of one pool share a waiting line.", show_default=False)
]
KeyStdin = Annotated[bool, typer.Option("--api-key-stdin", help="Read the token it wants from standard input.")]
KeyFile = Annotated[Path | None, typer.Option("--api-key-file", help="Read the token it wants from this file.")]
ConnectOption = Annotated[float | None, typer.Option("--connect-timeout", help="Seconds.", show_default=False)]
FirstByteOption = Annotated[
    float | None, typer.Option("--first-byte-timeout", help="Seconds, loading a model included.", show_default=False)
]
IdleOption = Annotated[
    float | None, typer.Option("--idle-timeout", help="Seconds of silence within an answer.", show_default=False)
]
KindOption = Annotated[Kind | None, typer.Option(help="ollama, or openai for all others.", show_default=False)]
ForceOption = Annotated[bool, typer.Option("--force", help="Even if requests wait that nobody else can serve.")]

COLUMNS = (
    Column("name", lambda row: row.name, whole=True),
    Column("kind", lambda row: row.kind, wide=True),
    Column("url", lambda row: row.url, wide=True),
    Column("pool", lambda row: row.pool),
    Column("slots", lambda row: row.slots, right=True),
    Column("state", lambda row: row.state),
    Column("models", lambda row: row.models),
    Column("from", lambda row: row.origin, widest=True),
    Column("reason", lambda row: row.reason),
)
DETAILS = (
    Column("name", lambda row: row.name),
    Column("kind", lambda row: row.kind),
    Column("url", lambda row: row.url),
    Column("pool", lambda row: row.pool),
    Column("slots", lambda row: row.slots),
    Column("api key", lambda row: "set" if row.api_key_set else "none"),
    Column("connect timeout", lambda row: f"{row.connect_timeout:g} s"),
    Column("first byte timeout", lambda row: f"{row.first_byte_timeout:g} s"),
    Column("idle timeout", lambda row: f"{row.idle_timeout:g} s"),
    Column("decided by", lambda row: row.origin),
    Column("state", lambda row: row.state),
    Column("reason", lambda row: row.reason),
    Column("version", lambda row: row.version),
    Column("models", lambda row: row.models),
    Column("loaded", lambda row: row.loaded),
)


@command(upstreams, "list")
async def list_upstreams(
    cli: Cli,
    limit: LimitOption = 1000,
    every: AllOption = False,
    watch: WatchOption = False,
    interval: IntervalOption = 2,
) -> None:
    """List the upstreams, how they do and what they serve.

    Examples:
      llmgate upstreams list --watch
    """
    if watch:
        from llmgate.cli.watching import looking

        await looking(
            cli, lambda client: client.upstreams.rows(limit), COLUMNS, watch=True, interval=interval, name="name"
        )
        return
    from llmgate.cli.listing import listing

    async with cli.client() as client:
        await listing(cli, client.upstreams, COLUMNS, limit=None if every else limit, name="name")


@command(upstreams, "show")
async def show(cli: Cli, upstream: UpstreamArgument) -> None:
    """Show one upstream."""
    async with cli.client() as client:
        cli.out.record(await client.upstreams.get(upstream), DETAILS, name="name")


@command(upstreams, "create")
async def create(
    cli: Cli,
    name: Annotated[str, typer.Argument(help="Its name: a-z, 0-9, - and _.")],
    server: Annotated[str, typer.Argument(metavar="URL", help="Its base URL, without /v1 or /api.")],
    kind: KindOption = None,
    slots: SlotsOption = None,
    pool: PoolOption = None,
    api_key_stdin: KeyStdin = False,
    api_key_file: KeyFile = None,
    connect_timeout: ConnectOption = None,
    first_byte_timeout: FirstByteOption = None,
    idle_timeout: IdleOption = None,
) -> None:
    """Add an upstream, in all daemons, while they serve.

    Examples:
      llmgate upstreams create gpu2 http://10.0.0.7:11434 --slots 4 --pool gpu
      llmgate upstreams create vllm http://10.0.0.8:8000 --kind openai --api-key-file token.txt
    """
    from llmgate import schemas
    from llmgate.validation import compose

    wanted = chosen(
        name=name,
        url=server,
        kind=kind,
        slots=slots,
        pool=pool,
        api_key=_token(cli, api_key_stdin, api_key_file),
        connect_timeout=connect_timeout,
        first_byte_timeout=first_byte_timeout,
        idle_timeout=idle_timeout,
    )
    async with cli.client() as client:
        cli.out.record(await client.upstreams.create(compose(schemas.UpstreamCreate, **wanted)), DETAILS, name="name")


@command(upstreams, "update")
async def update(
    cli: Cli,
    upstream: UpstreamArgument,
    server: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="Where it is now.", show_default=False)
    ] = None,
    kind: KindOption = None,
    slots: SlotsOption = None,
    pool: PoolOption = None,
    own_pool: Annotated[bool, typer.Option("--own-pool", help="Give it a pool of its own.")] = False,
    api_key_stdin: KeyStdin = False,
    api_key_file: KeyFile = None,
    no_api_key: Annotated[bool, typer.Option("--no-api-key", help="Take its token away.")] = False,
    connect_timeout: ConnectOption = None,
    first_byte_timeout: FirstByteOption = None,
    idle_timeout: IdleOption = None,
    force: ForceOption = False,
) -> None:
    """Change an upstream, in all daemons. What runs on it ends as it began."""
    from llmgate import schemas
    from llmgate.validation import compose

    changes = chosen(
        url=server,
        kind=kind,
        slots=slots,
        pool=pool,
        api_key=_token(cli, api_key_stdin, api_key_file),
        connect_timeout=connect_timeout,
        first_byte_timeout=first_byte_timeout,
        idle_timeout=idle_timeout,
    )
    changes.update({name: None for name, taken in (("pool", own_pool), ("api_key", no_api_key)) if taken})
    body = compose(schemas.UpstreamUpdate, **changing(**changes))
    async with cli.client() as client:
        cli.out.record(await client.upstreams.update(upstream, body, force=force), DETAILS, name="name")


@command(upstreams, "delete")
async def delete(cli: Cli, upstream: UpstreamArgument, force: ForceOption = False) -> None:
    """Remove an upstream, in all daemons. What runs on it ends as it began."""
    cli.confirm(f"Remove the upstream {upstream}")
    async with cli.client() as client:
        await client.upstreams.delete(upstream, force=force)
    cli.out.message(f"Removed {upstream}.")


def _token(cli: Cli, from_stdin: bool, file: Path | None) -> Any:
    """The token that was given, None for none."""
    if from_stdin and file is not None:
        raise InvalidRequest("--api-key-stdin and --api-key-file exclude each other.")
    return cli.secret("API key", from_stdin=from_stdin, file=file) if from_stdin or file is not None else None
