"""What can be done with models: pull, copy, delete. Where several pools have one, it is asked which is meant."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from pydantic import ValidationError, model_validator
from pydantic_core import PydanticCustomError

from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.errors import LLMGateError
from llmgate.tui.acting import Action, editing
from llmgate.tui.desk import Desk
from llmgate.tui.dialogs.pulling import Pulling, question
from llmgate.tui.errors import told, understood
from llmgate.tui.forms import Field, Form, Kind
from llmgate.tui.progress import Pull
from llmgate.tui.twin import twin
from llmgate.validation import compose


def _pools_of(model: schemas.Model) -> tuple[str, ...]:
    """Those that have it, served or not."""
    return tuple(dict.fromkeys([*model.pools, *model.partial_pools]))


def _which_pool(pools: Iterable[str]) -> Field:
    hint = "which one is meant"
    return Field("pool", "pool", "--pool", Kind.CHOICE, hint=hint, choices=("", *pools), required=True)


# -- pull --------------------------------------------------------------------------------------


class _Placed(schemas.ModelPull):
    """A pull where several pools can: the daemon does not choose among them."""

    @model_validator(mode="before")
    @classmethod
    def is_placed(cls, values: dict[str, Any]) -> dict[str, Any]:
        if not values.get("pool") and not values.get("upstream"):
            fault = PydanticCustomError("place", "Say in which pool.")
            raise ValidationError.from_exception_data("pull", [{"type": fault, "loc": ("pool",), "input": None}])
        return values


def _pull_form(desk: Desk, model: str, upstreams: Iterable[schemas.Upstream]) -> Form:
    """Places are asked for only where there are several that can."""
    able = [upstream for upstream in upstreams if upstream.kind == "ollama"]
    pools = dict.fromkeys(upstream.pool for upstream in able)
    places = [
        Field(name, name, f"--{name}", Kind.CHOICE, choices=("", *choices))
        for name, choices in (("pool", list(pools)), ("upstream", [upstream.name for upstream in able]))
        if len(choices) > 1
    ]

    async def send(client: AdminClient, body: Any, force: bool) -> Pull:
        return await desk.pulls.begin(body)

    several = " Without an upstream, it is pulled onto every Ollama of the pool." if len(able) > 1 else ""
    return Form(
        "Pull a model",
        "models pull",
        (Field("model", "model", None, was=model, hint="llama3.2:3b", required=True, given=True), *places),
        send,
        _Placed if len(pools) > 1 else schemas.ModelPull,
        button="Pull",
        note=f"It goes on while you do something else here, and ends when you quit.{several}",
    )


async def _pull(desk: Desk, row: schemas.Model | None) -> None:
    client = desk.client
    if desk.pulls.asking:
        return
    desk.pulls.asking = True
    try:
        with understood():
            upstreams = await client.upstreams.rows(500)
    except LLMGateError as failure:
        desk.say(told(failure), error=True)
        return
    finally:
        desk.pulls.asking = False
    if desk.client is not client:  # another daemon is shown meanwhile
        return
    pull = await desk.fill(_pull_form(desk, row.name if row is not None else "", upstreams))
    if pull is not None:
        await show(desk, pull)


async def show(desk: Desk, pull: Pull) -> None:
    """How a pull goes, until it is left."""
    await desk.ask(Pulling(pull, desk.pulls.clock, desk.pulls.stop))


async def stop(desk: Desk, pull: Pull) -> None:
    if await desk.ask(question(pull)):
        desk.pulls.stop(pull)


pull_new: Action[Any] = Action("n", "Pull", "models pull", _pull, alone=True)
pull_again: Action[schemas.Model] = Action("P", "Pull again", "models pull", _pull)
stop_pull: Action[Pull] = Action(
    "x", "Stop", "models pull", stop, possible=lambda pull: "" if pull.running else "It has ended already."
)

# -- copy --------------------------------------------------------------------------------------


def _copy_form(model: schemas.Model) -> Form:
    pools = _pools_of(model)

    async def send(client: AdminClient, values: Any, force: bool) -> schemas.ModelChange:
        return await client.models.copy(compose(schemas.ModelCopy, source=model.name, **values))

    return Form(
        f"Copy {model.name}",
        "models copy",
        (
            Field("destination", "new name", None, hint="gpt-4o-mini", required=True),
            *([_which_pool(pools)] if len(pools) > 1 else []),
        ),
        send,
        target=(model.name,),
        button="Copy",
        note="A second name, on every upstream of the pool that has it; it needs no room.",
    )


copy = editing(
    "c",
    "Copy",
    _copy_form,
    verb="models copy",
    done=lambda made: f"{made.model} is on {', '.join(made.upstreams)}.",
)

# -- delete ------------------------------------------------------------------------------------


async def _chosen(client: AdminClient, values: Any, force: bool) -> str:
    return str(values["pool"])


async def _delete(desk: Desk, model: schemas.Model) -> None:
    pools = _pools_of(model)
    pool: str | None = None
    if len(pools) > 1:
        asked = Form(
            f"Delete {model.name}",
            "models delete",
            (_which_pool(pools),),
            _chosen,
            target=(model.name,),
            button="Go on",
            note="Several pools have it. It is removed from one of them.",
        )
        pool = await desk.fill(asked)
        if pool is None:
            return
    command = twin("models delete", model.name, options=("--pool", pool) if pool else ())
    where = f"the pool {pool}" if pool else f"{', '.join(model.upstreams)}"
    if await desk.sure(
        f"Remove the model {model.name} from {where}?",
        "Delete",
        command,
        consequence="It is removed from every upstream there. To have it again, it must be pulled again.",
        typed=model.name,
    ):
        await desk.do(
            partial(_deleted, desk.client, model.name, pool),
            command,
            lambda change: f"Removed {change.model} from {', '.join(change.upstreams)}.",
        )


async def _deleted(client: AdminClient, model: str, pool: str | None, force: bool) -> schemas.ModelChange:
    return await client.models.delete(model, pool)


delete: Action[schemas.Model] = Action("d", "Delete", "models delete", _delete)
