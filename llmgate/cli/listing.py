"""Long lists: fetched page by page, written as they come where the form allows it, with a count meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from llmgate.cli.command import Cli
from llmgate.cli.output import Column, Format
from llmgate.errors import InvalidRequest
from llmgate.text import as_json

if TYPE_CHECKING:  # httpx and pydantic are not needed to show the help
    from llmgate import schemas

LONGEST_TABLE = 100_000
"""A table knows its widths only when it has every row, so it holds them all; so many at most."""
PATIENCE = 0.5
"""After so many seconds the count is shown."""
PAGE = 200
"""Rows asked for at once; no daemon gives more than 500."""


class Pages(Protocol):
    """A noun of the client, or whatever else is listed page by page."""

    async def page(self, after: str | None = None, limit: int = PAGE, **filters: Any) -> schemas.Page[Any]:
        """The rows behind the cursor ``after``."""


async def listing(
    cli: Cli,
    noun: Pages,
    columns: Iterable[Column],
    *,
    limit: int | None,
    name: str = "id",
    **filters: Any,
) -> None:
    """Print the first ``limit`` rows of a noun, or every one where that is None, and say when there are more.

    With ``-q`` and ``-o jsonl`` (and ``-o json`` beyond one page) nothing is kept: the list may be of any length.
    Raises InvalidRequest when a table would be longer than ``LONGEST_TABLE``.
    """
    rows: list[Any] = []
    count, after, more = 0, None, True
    writer = _Writer(cli)
    with _counting(writer.shows_rows) as counted:
        while more and (limit is None or count < limit):
            wanted = PAGE if limit is None else min(PAGE, limit - count)
            page = await noun.page(after, wanted, **filters)
            count += len(page.data)
            after, more = page.next, page.next is not None
            if writer.streams:
                writer.write(page.data, name)
            else:
                rows += page.data
                _check(len(rows))
            counted(count)
    if writer.streams:
        writer.end()
    else:
        cli.out.rows(rows, columns, name=name)
    if more and not cli.out.quiet:
        cli.out.message(f"These are the first {count:,}; there are more. See all with --all, or more with --limit.")


class _Writer:
    """Rows of any number, as they come: lines, or the parts of one JSON array."""

    def __init__(self, cli: Cli) -> None:
        self._out = cli.out
        self._begun = False
        self.streams = cli.out.streams or cli.out.form is Format.JSON
        self.shows_rows = self.streams and sys.stdout.isatty()

    def write(self, rows: Iterable[Any], name: str) -> None:
        for row in rows:
            if self._out.streams:
                self._out.line(row, name)
            else:
                sys.stdout.write((", " if self._begun else "[") + as_json(self._out.fields_of(row)))
                self._begun = True
        sys.stdout.flush()

    def end(self) -> None:
        if not self._out.streams:
            self._out.data("]" if self._begun else "[]")


def _check(count: int) -> None:
    if count > LONGEST_TABLE:
        raise InvalidRequest(
            f"More than {LONGEST_TABLE:,} rows do not make a table.", hint="Take them as lines: -o jsonl."
        )


@contextmanager
def _counting(rows_are_seen: bool) -> Iterator[Any]:
    """Tell on a terminal how many rows have come, if that takes a while and nothing else shows it."""
    begun = time.monotonic()
    shown = False

    def counted(count: int) -> None:
        nonlocal shown
        if sys.stderr.isatty() and not rows_are_seen and time.monotonic() - begun > PATIENCE:
            sys.stderr.write(f"\r{count:,} rows …")
            sys.stderr.flush()
            shown = True

    try:
        yield counted
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
