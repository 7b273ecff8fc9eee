"""The CLI twin of what the dashboard does: the command that would do the same."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from llmgate.text import clean


def twin(verb: str, *words: str, options: Iterable[str] = ()) -> str:
    """``llmgate keys revoke nightly``, each word as a shell wants it, and harmless to look at.

    A word that begins with a dash is kept from being read as an option.
    """
    given = list(words)
    guard = ["--"] if any(word.startswith("-") for word in given) else []
    return clean(shlex.join(["llmgate", *verb.split(), *options, *guard, *given]))


def forced(command: str) -> str:
    """The same with ``--force``."""
    before, guard, after = command.partition(" -- ")
    return f"{before} --force{guard}{after}"
