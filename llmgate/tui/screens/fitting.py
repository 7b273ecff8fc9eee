"""Searching in short lists, in which the daemon does not search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from llmgate.tui.columns import Row
from llmgate.tui.listing import Part


def fitting(part: Part[Row], filters: Mapping[str, Any], words: Callable[[Row], Iterable[str]]) -> Part[Row]:
    """The rows of a list, of which the daemon cannot search in, that hold what was searched for. It is a short one:
    all of it is here."""
    wanted = str(filters.get("search", "")).casefold()
    if not wanted:
        return part
    return replace(part, rows=[row for row in part.rows if any(wanted in word.casefold() for word in words(row))])
