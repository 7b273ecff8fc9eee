"""`llmgate context`: the daemons that are known here."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.output import Column
from llmgate.contexts.stored import Contexts
from llmgate.errors import Conflict, NotFound
from llmgate.urls import base_url

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
    known = cli.store.contexts()
    cli.out.rows([_row(cli, known, name) for name in known.urls], COLUMNS, name="name")


@command(context, "show")
def show(cli: Cli, name: Annotated[str | None, NAME] = None) -> None:
    """Show one of the known daemons; without a name the one that commands talk to.

    Examples:
      llmgate context show -q
    """
    known = cli.store.contexts()
    name = name or cli.options.context or os.environ.get("LLMGATE_CONTEXT") or known.current
    if name is None:
        raise NotFound("There is no current context.", hint="Make one with: llmgate context create, or llmgate login")
    _check(known, name)
    cli.out.record(_row(cli, known, name), DETAILS, name="name")


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
    with cli.store.lock():
        known = cli.store.contexts()
        if name in known.urls:
            raise Conflict(f"There is a context {name!r} already.", hint="Remove or rename it first.")
        cli.store.add_context(name, base_url(address))
        if known.current is not None and not at_once:
            cli.store.save_contexts(Contexts(known.current, cli.store.contexts().urls))
        known = cli.store.contexts()
    cli.out.record(_row(cli, known, name), DETAILS, name="name")


@command(context, "use")
def use(cli: Cli, name: NameArgument) -> None:
    """Make a daemon the one that commands talk to."""
    with cli.store.lock():
        known = cli.store.contexts()
        _check(known, name)
        cli.store.save_contexts(Contexts(name, known.urls))
    cli.out.message(f"Commands talk to {known.urls[name]} now.")


@command(context, "rename")
def rename(
    cli: Cli, name: NameArgument, new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")]
) -> None:
    """Call a daemon by another name. A session there stays."""
    with cli.store.lock():
        known = cli.store.contexts()
        _check(known, name)
        if new in known.urls:
            raise Conflict(f"There is a context {new!r} already.", hint="Remove or rename it first.")
        url = known.urls[name]
        session = cli.store.session(name, url)
        cli.store.add_context(new, url)
        # Between these steps both names work: whatever ends this process, nothing is lost.
        cli.store.save_session(new, session)
        urls = {(new if other == name else other): at for other, at in known.urls.items()}
        cli.store.save_contexts(Contexts(new if known.current == name else known.current, urls))
        cli.store.save_session(name, None)
    cli.out.message(f"The context {name} is called {new} now.")


@command(context, "remove")
def remove(cli: Cli, name: NameArgument) -> None:
    """Forget a daemon and the session there. (`llmgate logout` ends the session as well.)"""
    _check(cli.store.contexts(), name)
    cli.confirm(f"Forget the context {name} and its session")
    with cli.store.lock():
        known = cli.store.contexts()
        kept = {other: url for other, url in known.urls.items() if other != name}
        cli.store.save_contexts(Contexts(None if known.current == name else known.current, kept))
        cli.store.save_session(name, None)
    cli.out.message(f"Forgot the context {name}.")


def _row(cli: Cli, known: Contexts, name: str) -> dict[str, Any]:
    url = known.urls[name]
    session = cli.store.session(name, url)
    return {"name": name, "url": url, "current": name == known.current, "user": session.user if session else None}


def _check(known: Contexts, name: str) -> None:
    if name not in known.urls:
        raise NotFound(f"There is no context {name!r}.", hint="See them with: llmgate context list")
