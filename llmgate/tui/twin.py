"""The CLI twin of what the dashboard does: the command that would do the same."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from llmgate.text import clean

if TYPE_CHECKING:  # the application shows twins
    from textual.app import App

    from llmgate.tui.app import Dashboard

PROGRAM = "llmgate"
ELSEWHERE = {"context", "login", "logout", "passwd"}
"""Commands that are not meant for the daemon that is shown, or name theirs already."""


def twin(verb: str, *words: str, options: Iterable[str] = ()) -> str:
    """``llmgate keys revoke nightly``, each word as a shell wants it, and harmless to look at.

    A word that begins with a dash is kept from being read as an option. A verb that ends with an option, as in
    ``sessions revoke --user``, has its value as the first word.
    """
    command, given = verb.split(), list(words)
    if command[-1].startswith("--") and given and given[0].startswith("-"):
        command[-1] += f"={given.pop(0)}"
    elif command[-1].startswith("--") and given:
        command.append(given.pop(0))
    guard = ["--"] if any(word.startswith("-") for word in given) else []
    return clean(shlex.join([PROGRAM, *command, *options, *guard, *given]))


def forced(command: str) -> str:
    """The same with ``--force``."""
    words = shlex.split(command)
    end = words.index("--") if "--" in words else len(words)
    return shlex.join([*words[:end], "--force", *words[end:]])


def aimed(command: str, options: Iterable[str]) -> str:
    """The same for the daemon that these options name: ``llmgate --context office keys list``."""
    program, _, rest = command.partition(" ")
    given = shlex.join(options)
    if program != PROGRAM or not given or rest.startswith("--") or rest.partition(" ")[0] in ELSEWHERE:
        return command
    return clean(f"{program} {given} {rest}")


def shown_twin(app: App[Any], command: str, at: str = "") -> str:
    """A twin as it is shown: it names the daemon wherever a plain ``llmgate`` would talk to another one.

    ``at`` is the URL of that daemon, "" for the one that is shown now.
    """
    return aimed(command, cast("Dashboard", app).sessions.address(at))
