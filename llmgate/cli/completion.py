"""Completion of names that only the daemon, or a file here, knows.

A value is completed by what the help calls it: ``USER`` by the names of users, ``POOL`` by those of pools. Nothing is
ever said when that fails, and after a second the shell gets what there is: nothing.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:  # not needed to show the help
    from llmgate.cli.command import Cli
    from llmgate.contexts.target import Target

VARIABLE = "_LLMGATE_COMPLETE"
"""Set by the shell when it wants to know how a command may go on."""
SECONDS = 1.0
"""Longest that a shell waits for names."""
MARGIN = 5.0
"""A session that ends within so many seconds is renewed before names are asked for."""
ANSWER_BYTES = 1_000_000
NAMES = {
    "USER": ("users", "name"),
    "KEY": ("keys", "name"),
    "WHO": ("keys", "name"),
    "TOKEN": ("tokens", "id"),
    "ENTRY": ("whitelist", "cidr"),
    "UPSTREAM": ("upstreams", "name"),
    "POOL": ("pools", "pool"),
    "MODEL": ("models", "name"),
    "SETTING": ("settings", "key"),
    "SESSION": ("sessions", "id"),
    "TICKET": ("queue/waiting", "ticket_id"),
    "REQUEST": ("queue/running", "ticket_id"),
}
"""Where the names of a thing are listed, and in which field."""
MOST = 500
"""Names asked for, of how many there may be."""
_SEARCHABLE = ("users", "keys")
# What a shell would take apart or carry out is not offered: names come from the daemon.
_HARMLESS = re.compile(r"[\w.@+:/-]+")


def prepare() -> None:
    """Get ready to answer a shell, which must not wait for long: not even for a name server."""
    from typer.completion import completion_init  # type: ignore[attr-defined]  # Typer's own commands call it as well

    completion_init()
    deadline = threading.Timer(SECONDS, os._exit, [0])
    deadline.daemon = True
    deadline.start()


def complete_names(parameter: Any) -> None:
    """Let the value of a parameter be completed by names, if it is called like one of ``NAMES``."""
    what = parameter.metavar or str(parameter.name).upper()
    if what in NAMES or what == "CONTEXT":
        parameter._custom_shell_complete = _complete  # noqa: SLF001  Typer's way would make one function of each name


def _complete(ctx: Any, parameter: Any, incomplete: str) -> list[Any]:
    what = parameter.metavar or str(parameter.name).upper()
    try:
        if what == "CONTEXT":
            return _offered(_cli_of(ctx).store.contexts().urls, incomplete)
        return names_of(what, incomplete, _cli_of(ctx).target)
    except Exception:  # a shell in the middle of a line is no place for errors
        return []


def names_of(what: str, incomplete: str, target: Target) -> list[str]:
    """Names that begin like this, of what is called so in ``NAMES``, as the daemon knows them."""
    path, field = NAMES[what]
    query = f"?limit={MOST}"
    if path in _SEARCHABLE and incomplete:
        query += f"&search={quote(incomplete, safe='')}"
    rows = _asked(target, f"/admin/v1/{path}{query}")["data"]
    return _offered((str(row[field]) for row in rows), incomplete)


def _offered(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete) and _HARMLESS.fullmatch(name)})


def _cli_of(ctx: Any) -> Cli:
    """The command with the options that the line has so far."""
    from llmgate.cli.command import Cli
    from llmgate.cli.shared import SHARED, Options, shared

    options = Options()
    while ctx is not None:
        options = options.over(shared(**{name: ctx.params.get(name) for name in SHARED}))
        ctx = ctx.parent
    return Cli(options)


def _asked(target: Target, path: str) -> Any:
    """What the daemon answers. Not through the client, which takes longer to import than this to ask."""
    import json
    from http.client import HTTPConnection, HTTPSConnection

    parts = urlsplit(target.url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=SECONDS)
    try:
        token = _token(target)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", parts.path.rstrip("/") + path, headers=headers)
        return json.loads(connection.getresponse().read(ANSWER_BYTES))
    finally:
        connection.close()


def _token(target: Target) -> str | None:
    session = target.session
    if session is None or target.context is None:
        return target.token
    if session.expires_at - time.time() > MARGIN:
        return session.access_token
    return renewed(target.context)


def renewed(context: str) -> str | None:
    """The access token after a renewal, which another process does: were it ended by our deadline between the
    daemon's answer and the writing of the file, the session would be lost."""
    import subprocess

    from llmgate.cli.program import fresh_process
    from llmgate.contexts.stored import Store
    from llmgate.contexts.target import config_directory

    environ = {name: value for name, value in os.environ.items() if name != VARIABLE}
    command = [*fresh_process(), "auth", "status", "--quiet", "--context", context]
    quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    with subprocess.Popen(command, env=environ, start_new_session=True, **quiet) as renewal:  # noqa: S603  ourselves
        renewal.wait()
    store = Store(config_directory(os.environ))
    session = store.session(context, store.contexts().urls[context])
    return session.access_token if session else None
