"""`llmgate models`: the models on the upstreams."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.options import AllOption, IntervalOption, LimitOption, SearchOption, WatchOption, chosen
from llmgate.cli.output import Column
from llmgate.notation import told
from llmgate.text import model_size

if TYPE_CHECKING:  # pydantic is not needed to show the help
    from llmgate.schemas import Model

models = group("models", "The models on the upstreams.")
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="Its name, e.g. llama3.2:3b.")]
PoolOption = Annotated[
    str | None, typer.Option(metavar="POOL", help="In which pool, where it is not clear.", show_default=False)
]


def _served(model: Model) -> list[str]:
    return [*model.pools, *(f"{pool} (not served: only on some)" for pool in model.partial_pools)]


COLUMNS = (
    Column("name", lambda model: model.name),
    Column("size", lambda model: model_size(model.size), right=True),
    Column("family", lambda model: model.family, wide=True),
    Column("parameters", lambda model: model.parameters, right=True),
    Column("quant", lambda model: model.quantization, wide=True),
    Column("pools", _served),
    Column("upstreams", lambda model: model.upstreams, wide=True),
    Column("loaded on", lambda model: model.loaded),
    Column("digest", lambda model: (model.digest or "")[:12], widest=True),
)
DETAILS = (
    *COLUMNS,
    Column("modified", lambda model: told(model.modified_at)),
    Column("capabilities", lambda model: model.details.get("capabilities")),
    Column("parameters set", lambda model: model.details.get("parameters")),
    Column("license", lambda model: str(model.details.get("license") or "").strip().partition("\n")[0]),
    Column("model info", lambda model: json.dumps(model.details.get("model_info"))[:2000]),
)
LOADED = (
    Column("upstream", lambda model: model.upstream),
    Column("pool", lambda model: model.pool),
    Column("model", lambda model: model.name),
    Column("size", lambda model: model_size(model.size), right=True),
    Column("on the GPU", lambda model: model_size(model.size_vram), right=True),
    Column("context", lambda model: model.context_length, right=True),
    Column("until", lambda model: told(model.expires_at)),
)
CHANGE = (
    Column("model", lambda change: change.model),
    Column("pool", lambda change: change.pool),
    Column("upstreams", lambda change: change.upstreams),
)


@command(models, "list")
async def list_models(
    cli: Cli, search: SearchOption = None, limit: LimitOption = 1000, every: AllOption = False
) -> None:
    """List the models of all upstreams, also those that are not served because only some of a pool have them."""
    from llmgate.cli.listing import listing

    async with cli.client() as client:
        await listing(cli, client.models, COLUMNS, limit=None if every else limit, name="name", search=search)


@command(models, "show")
async def show(cli: Cli, model: ModelArgument) -> None:
    """Show one model; with -o json all that its upstream tells of it."""
    async with cli.client() as client:
        cli.out.record(await client.models.get(model), DETAILS, name="name")


@command(models, "loaded")
async def loaded(cli: Cli, watch: WatchOption = False, interval: IntervalOption = 2) -> None:
    """List the models in the memory of the upstreams."""
    from llmgate.cli.watching import looking

    await looking(cli, lambda client: client.models.loaded(), LOADED, watch=watch, interval=interval, name="name")


@command(models, "pull")
async def pull(
    cli: Cli,
    model: ModelArgument,
    pool: PoolOption = None,
    upstream: Annotated[
        str | None, typer.Option(metavar="UPSTREAM", help="Onto this one alone.", show_default=False)
    ] = None,
) -> None:
    """Load a model onto every Ollama of a pool. Ctrl-C ends it; pulled again, it goes on where it was.

    Examples:
      llmgate models pull llama3.2:3b
      llmgate models pull qwen3:8b --pool gpu -o jsonl
    """
    from llmgate import schemas
    from llmgate.cli.pulling import follow
    from llmgate.validation import compose

    body = compose(schemas.ModelPull, **chosen(model=model, pool=pool, upstream=upstream))
    async with cli.client() as client:
        await follow(cli, model, client.models.pull(body))


@command(models, "copy")
async def copy(
    cli: Cli,
    source: ModelArgument,
    destination: Annotated[str, typer.Argument(metavar="NEW", help="Its second name.")],
    pool: PoolOption = None,
) -> None:
    """Give a model a second name, on every upstream of the pool that has it.

    Examples:
      llmgate models copy llama3.2:3b gpt-4o-mini
    """
    from llmgate import schemas
    from llmgate.validation import compose

    body = compose(schemas.ModelCopy, **chosen(source=source, destination=destination, pool=pool))
    async with cli.client() as client:
        cli.out.record(await client.models.copy(body), CHANGE, name="model")


@command(models, "delete")
async def delete(cli: Cli, model: ModelArgument, pool: PoolOption = None) -> None:
    """Remove a model from every upstream of the pool that has it."""
    cli.confirm(f"Remove the model {model}")
    async with cli.client() as client:
        done = await client.models.delete(model, pool)
    cli.out.message(f"Removed {done.model} from {', '.join(done.upstreams)}.")
