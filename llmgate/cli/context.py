"""`llmgate context`: the daemons that are known here."""

from __future__ import annotations

from typing import Annotated

import typer

from llmgate.cli.command import Cli, command, group
from llmgate.cli.output import Column
from llmgate.cli.stored import Contexts
from llmgate.errors import NotFound

context = group("context", "The daemons that are known here.")
COLUMNS = (
    Column("", lambda row: "*" if row["current"] else " "),
    Column("name", lambda row: row["name"]),
    Column("url", lambda row: row["url"]),
    Column("user", lambda row: row["user"]),
)
NameArgument = Annotated[str, typer.Argument(metavar="CONTEXT", help="Its name.")]


@command(context, "list")
def list_contexts(cli: Cli) -> None:
    """List the known daemons; the current one is marked."""
    known = cli.store.contexts()
    rows = [
        {
            "name": name,
            "url": url,
            "current": name == known.current,
            "user": session.user if (session := cli.store.session(name, url)) else None,
        }
        for name, url in known.urls.items()
    ]
    cli.out.rows(rows, COLUMNS, name="name")


@command(context, "use")
def use(cli: Cli, name: NameArgument) -> None:
    """Make a daemon the one that commands talk to."""
    with cli.store.lock():
        known = cli.store.contexts()
        _check(known, name)
        cli.store.save_contexts(Contexts(name, known.urls))
    cli.out.message(f"Commands talk to {known.urls[name]} now.")


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


def _check(known: Contexts, name: str) -> None:
    if name not in known.urls:
        raise NotFound(f"There is no context {name!r}.", hint="See them with: llmgate context list")
