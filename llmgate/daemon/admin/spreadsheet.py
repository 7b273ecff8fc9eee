"""Comma-separated values for spreadsheets, which carry out as a formula whatever looks like one."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from llmgate.daemon.store.usage_sums import SUMS, GroupBy, UsageRow

_NAMED = ("principal", "user", "key")
"""What has a name beside its key."""
_BEGINS_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001  some spreadsheets take the wide ones for the others


def usage(rows: Iterable[UsageRow], group_by: GroupBy, then_by: GroupBy | None) -> str:
    """Usage with a line of titles: each dimension, its name where it has one, and the sums."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow([*_titles(group_by), *(_titles(then_by) if then_by else ()), *SUMS])
    for row in rows:
        groups = [*_cells(group_by, row.key, row.name), *_cells(then_by, row.then_key, row.then_name)]
        writer.writerow([*map(harmless, groups), *(getattr(row, column) for column in SUMS)])
    return written.getvalue()


def harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula: behind an apostrophe, which it does not show."""
    return f"'{text}" if len(text) > 1 and text.startswith(_BEGINS_FORMULA) else text


def _titles(dimension: GroupBy) -> list[str]:
    return [dimension, f"{dimension}_name"] if dimension in _NAMED else [dimension]


def _cells(dimension: GroupBy | None, key: str | None, name: str | None) -> Iterator[str]:
    if dimension is None:
        return
    yield key or ""
    if dimension in _NAMED:
        yield name or ""
