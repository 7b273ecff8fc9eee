"""`llmgate context`: the daemons that are known here."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.output import Column
from llmgate.contexts import known
from llmgate.contexts.known import Known
from llmgate.errors import NotFound

context = group("context", "The daemons that are known here, each by a name.")
COLUMNS = (
    Column("", lambda row: "*" if row["current"] else " "),
    Column("name", lambda row: row["name"]),
    Column("url", lambda row: row["url"]),
    Column("user", lambda row: row["user"]),
)
DETAILS = (*COLUMNS[1:], Column("current", lambda row: row["current"]))
NAME = typer.Argument(metavar="CONTEXT", help="Its name.")
NameArgument = Annotated[str, NAME]


@command(context, "list")
def list_contexts(cli: Cli) -> None:
    """List the known daemons; the current one is marked."""
    cli.out.rows([_row(one) for one in known.every(cli.store)], COLUMNS, name="name")


@command(context, "show")
def show(cli: Cli, name: Annotated[str | None, NAME] = None) -> None:
    """Show one of the known daemons; without a name the one that commands talk to.

    Examples:
      llmgate context show -q
    """
    name = name or cli.options.context or os.environ.get("LLMGATE_CONTEXT") or cli.store.contexts().current
    if name is None:
        raise NotFound("There is no current context.", hint="Make one with: llmgate context create, or llmgate login")
    cli.out.record(_row(known.one(cli.store, name)), DETAILS, name="name")


@command(context, "create")
def create(
    cli: Cli,
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, - and _, at most 40.")],
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="URL of the daemon.")],
    at_once: Annotated[bool, typer.Option("--use", help="Make it the one that commands talk to.")] = False,
) -> None:
    """Know a daemon by a name. The first one is used at once; log in there with `llmgate login --context NAME`.

    Examples:
      llmgate context create office https://llm.example.org --use
    """
    made = known.create(cli.store, name, address, current=at_once)
    cli.out.record(_row(made), DETAILS, name="name")


@command(context, "use")
def use(cli: Cli, name: NameArgument) -> None:
    """Make a daemon the one that commands talk to."""
    used = known.use(cli.store, name)
    cli.out.message(f"Commands talk to {used.url} now.")


@command(context, "rename")
def rename(
    cli: Cli, name: NameArgument, new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")]
) -> None:
    """Call a daemon by another name. A session there stays."""
    known.rename(cli.store, name, new)
    cli.out.message(f"The context {name} is called {new} now.")


@command(context, "remove")
def remove(cli: Cli, name: NameArgument) -> None:
    """Forget a daemon and the session there. (`llmgate logout` ends the session as well.)"""
    known.check(cli.store.contexts(), name)
    cli.confirm(f"Forget the context {name} and its session")
    known.remove(cli.store, name)
    cli.out.message(f"Forgot the context {name}.")


def _row(one: Known) -> dict[str, Any]:
    return {"name": one.name, "url": one.url, "current": one.current, "user": one.user}
