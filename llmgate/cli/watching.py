"""``--watch``: look at the daemon again and again, as a picture on a terminal, as lines of JSON without one.

A command that lists or shows something becomes one that can be watched like this::

    @command(upstreams, "list")
    async def list_upstreams(cli: Cli, watch: WatchOption = False, interval: IntervalOption = 1) -> None:
        \"""List the upstreams.\"""
        await looking(cli, lambda client: client.upstreams.rows(1000), UPSTREAMS, watch=watch, interval=interval)

Import ``WatchOption`` and ``IntervalOption`` from ``options``, and ``looking`` from here, inside of the function: what
draws is not needed to show the help. A command with a picture of its own calls ``follow``.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from rich.text import Text

from llmgate.cli.command import Cli
from llmgate.cli.output import Column, Format, Row, error_body, grid, table
from llmgate.cli.screen import lines_of, screen
from llmgate.errors import LLMGateError, RequestError
from llmgate.text import as_json, clean, precise

if TYPE_CHECKING:  # httpx and pydantic are not needed to show the help
    from llmgate.client import AdminClient

ANSWER_SECONDS = 5.0
"""Longest wait for an answer: a daemon that hangs should be seen to hang."""
Seen = TypeVar("Seen")
Look = Callable[["AdminClient"], Awaitable[Seen]]


@dataclass(frozen=True, slots=True)
class View(Generic[Seen]):
    """How what one look has shown is told: as a JSON document, and as lines for so many columns and lines.

    To ``paint`` come also the time of the look, on the clock here, and what has failed since then.
    """

    document: Callable[[Seen], dict[str, Any]]
    paint: Callable[[Seen, datetime, LLMGateError | None, int, int], Sequence[str]]


async def looking(
    cli: Cli,
    look: Look[Any],
    columns: Iterable[Column],
    *,
    watch: bool,
    interval: float,
    name: str = "id",
) -> None:
    """Show what ``look`` returns, rows or one record; with ``watch`` every ``interval`` seconds until Ctrl-C.

    Without a terminal, or with ``-o json``, each look of a watch is one line: ``{"at": …, "data": …}``, or
    ``{"at": …, "error": …}`` while the daemon does not answer.
    """
    columns = tuple(columns)
    if watch:
        view: View[Any] = View(functools.partial(_document, cli), functools.partial(_paint, cli, columns))
        await follow(cli, look, view, interval)
        return
    async with cli.client() as client:
        seen = await look(client)
    if _is_list(seen):
        cli.out.rows(seen, columns, name=name)
    else:
        cli.out.record(seen, columns, name=name)


async def follow(cli: Cli, look: Look[Seen], view: View[Seen], interval: float) -> None:
    """Look every ``interval`` seconds, until Ctrl-C or until nobody reads any more.

    Raises what the first look has raised, and later what will not pass by itself.
    """
    async with cli.client(timeout=ANSWER_SECONDS) as client:
        first = await look(client)
        if cli.out.form is Format.TABLE and sys.stdout.isatty():
            await _draw(client, look, view, first, interval)
        else:
            await _print(cli, client, look, view, first, interval)


async def _look_again(client: AdminClient, look: Look[Seen]) -> Seen | LLMGateError:
    """A daemon that restarts, or lost its database, is a sight as well; a request that is refused stays refused."""
    try:
        return await look(client)
    except RequestError:
        raise
    except LLMGateError as failure:
        return failure


async def _print(
    cli: Cli, client: AdminClient, look: Look[Seen], view: View[Seen], first: Seen, interval: float
) -> None:
    seen: Seen | LLMGateError = first
    while True:
        at = datetime.now().astimezone().isoformat()
        told = {"error": error_body(seen)} if isinstance(seen, LLMGateError) else view.document(seen)
        cli.out.data(as_json({"at": at, **told}))
        sys.stdout.flush()
        await asyncio.sleep(interval)
        seen = await _look_again(client, look)


async def _draw(client: AdminClient, look: Look[Seen], view: View[Seen], first: Seen, interval: float) -> None:
    last, at = first, datetime.now().astimezone()
    failure: LLMGateError | None = None
    with screen(sys.stdout) as shown:
        while True:
            shown.draw(functools.partial(view.paint, last, at, failure))
            await asyncio.sleep(interval)
            seen = await _look_again(client, look)
            if isinstance(seen, LLMGateError):
                failure = seen
            else:
                last, at, failure = seen, datetime.now().astimezone(), None


def headline(at: datetime, failure: LLMGateError | None, text: str = "", style: str = "") -> Text:
    """The first line of a picture: the time, and what is wrong or else ``text``."""
    now = datetime.now().astimezone()
    clock = (f"{now:%H:%M:%S}  ", "bold")
    if failure is not None:
        since = f" No answer for {precise((now - at).total_seconds())}; still trying."
        return Text.assemble(clock, (clean(failure.message) + since, "bold red"))
    return Text.assemble(clock, (clean(text), style))


class Picture:
    """Lines that are written from the top until the picture is full."""

    def __init__(self, width: int, height: int, style: str | None) -> None:
        self.lines: list[str] = []
        self._width, self._height, self._style = width, height, style

    def head(self, text: Text) -> None:
        self.lines += lines_of(text, self._width)

    def section(self, rows: Iterable[Any], columns: Iterable[Column], total: int | None = None) -> None:
        """A table under an empty line, if a row of it fits. ``total`` is how many rows there would be."""
        rows = list(rows)
        total = max(total or 0, len(rows))
        room = self._height - len(self.lines) - 2
        if not rows or room < 1:
            return
        if total > room or total > len(rows):
            rows = rows[: max(1, room - 1)]
        self.lines += ["", *lines_of(table(rows, columns, self._width, cut=True), self._width, self._style)]
        if total > len(rows) and room > len(rows):
            self.lines += lines_of(Text(f"… and {total - len(rows)} more", style="dim"), self._width)

    def record(self, row: Row, columns: Iterable[Column]) -> None:
        """One thing, as far as it fits."""
        drawn = ["", *lines_of(grid(row, columns), self._width, self._style)]
        self.lines += drawn[: max(0, self._height - len(self.lines))]


def _is_list(seen: object) -> bool:
    return isinstance(seen, list | tuple)


def _document(cli: Cli, seen: Any) -> dict[str, Any]:
    return {"data": [cli.out.fields_of(row) for row in seen] if _is_list(seen) else cli.out.fields_of(seen)}


def _paint(
    cli: Cli,
    columns: Sequence[Column],
    seen: Any,
    at: datetime,
    failure: LLMGateError | None,
    width: int,
    height: int,
) -> list[str]:
    page = Picture(width, height, "dim" if failure else None)
    page.head(headline(at, failure, "" if seen else "Nothing to list."))
    if not _is_list(seen):
        page.record(seen, cli.out.columns(seen, columns))
    elif seen:
        page.section(cast("Sequence[Any]", seen), cli.out.columns(seen[0], columns))
    return page.lines
