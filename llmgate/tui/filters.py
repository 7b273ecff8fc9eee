"""The line behind ``/``: words to search for, and ``name:value`` for the filters that the daemon has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter: its name in the line and in the API (``field``, where they differ), and what it accepts."""

    name: str
    choices: tuple[str, ...] = ()
    read: Callable[[str], Any] = str
    hint: str = ""
    field: str = ""
    flag: str = ""
    """The option of the CLI twin, where it is not ``--name``."""


_NAME = re.compile("[a-z_]+")
"""What is so named before a colon is meant as a filter; a model or an address of other shape is searched for."""


def level(text: str) -> int:
    """1 to 5. Raises ValueError."""
    if text not in ("1", "2", "3", "4", "5"):
        raise ValueError("levels are 1 to 5")
    return int(text)


def truth(text: str) -> bool:
    """yes or no. Raises ValueError."""
    if text not in ("yes", "no"):
        raise ValueError("say yes or no")
    return text == "yes"


def read(line: str, filters: Sequence[Filter], search: str | None) -> Mapping[str, Any]:
    """The parameters for the API. ``search`` is the one that words without a name are for, None for none.

    Raises ValueError, saying what is wrong with the line.
    """
    known = {item.name: item for item in filters}
    chosen: dict[str, Any] = {}
    words = []
    for word in split(line):
        name, colon, value = word.partition(":")
        if colon and name in known:
            if value:
                chosen[known[name].field or name] = _value(known[name], value)
        elif colon and filters and _NAME.fullmatch(name) and word not in quoted(line):
            also = "" if search is None else f' To search for it: "{word}".'
            raise ValueError(f"There is no filter {name!r}. There are: {', '.join(known)}.{also}")
        else:
            words.append(word)
    if words and search is None:
        raise ValueError(f"Write it as name:value. There are: {', '.join(known)}.")
    if words and search is not None:
        chosen[search] = " ".join(words)
    return chosen


def split(line: str) -> list[str]:
    """Words, in quotes where they hold spaces; a quote that is not closed (yet) is one like any other character."""
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def quoted(line: str) -> set[str]:
    """The words of the line that stand in quotes: they are meant as they are."""
    return {double or single for double, single in re.findall("\"([^\"]*)\"|'([^']*)'", line)}


def suggestions(filters: Sequence[Filter]) -> list[str]:
    """What can be completed in the line."""
    return [f"{item.name}:{choice}" for item in filters for choice in (item.choices or ("",))]


def completed(filters: Sequence[Filter], line: str) -> str | None:
    """The line with its last word completed; None where nothing is known of how it goes on."""
    before, space, last = line.rpartition(" ")
    found = next((word for word in suggestions(filters) if last and word.startswith(last) and word != last), None)
    return None if found is None else f"{before}{space}{found}"


def _value(item: Filter, value: str) -> Any:
    if item.choices and value not in item.choices:
        raise ValueError(f"{item.name} is one of: {', '.join(item.choices)}.")
    try:
        return item.read(value)
    except ValueError as fault:
        raise ValueError(f"{item.name}: {fault}") from None
