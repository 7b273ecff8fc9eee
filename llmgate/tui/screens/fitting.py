"""Searching in short lists, in which the daemon does not search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from llmgate.client.noun import Noun
from llmgate.tui.columns import Row
from llmgate.tui.listing import Part, pages

MOST = 5000
"""Rows that are searched. Who has more upstreams than that has other worries than a filter."""

Words = Callable[[Row], Iterable[str]]


def fitting(part: Part[Row], filters: Mapping[str, Any], words: Words[Row]) -> Part[Row]:
    """The rows that hold what was searched for, of a list that is here as a whole."""
    wanted = str(filters.get("search", "")).casefold()
    if not wanted:
        return part
    return replace(part, rows=[row for row in part.rows if any(wanted in word.casefold() for word in words(row))])


async def sought(
    noun: Noun[Any, Any], after: str | None, limit: int, filters: Mapping[str, Any], words: Words[Any]
) -> Part[Any]:
    """A page of a list; of one that is searched the first rows that fit, wherever they stand in it."""
    if not filters.get("search"):
        return pages(await noun.page(after, limit))
    found = fitting(Part(await noun.rows(MOST)), filters, words).rows
    return Part(found[:limit], total=len(found))
