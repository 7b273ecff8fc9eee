"""`llmgate queue watch`: the whole cluster's queue, as one daemon tells it, again and again."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from llmgate.cli.command import Cli
from llmgate.cli.output import Column, Format, as_json, clean, error_body, plain, table
from llmgate.cli.queue_columns import DAEMONS, POOLS, TIMES, WAITING, dispatchers, precise, state_of, times
from llmgate.cli.screen import lines_of, screen
from llmgate.errors import LLMGateError, RequestError

if TYPE_CHECKING:  # httpx and pydantic are not needed to show the help
    from llmgate.client import AdminClient
    from llmgate.schemas import PoolStats, QueueStatus, Waiting

ANSWER_SECONDS = 5.0
"""Longest wait for an answer: a daemon that hangs should be seen to hang."""
FIRST = 10
"""So many of those who wait are shown."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look at the daemon has shown."""

    at: datetime
    queue: QueueStatus
    pools: Sequence[PoolStats]
    waiting: Sequence[Waiting]

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        pools, waiting = ([plain(row) for row in rows] for rows in (self.pools, self.waiting))
        return {"at": self.at.isoformat(), "queue": plain(self.queue), "pools": pools, "waiting": waiting}


async def watch_queue(cli: Cli, interval: float) -> None:
    """Look every ``interval`` seconds, until Ctrl-C or until nobody reads any more.

    Raises what the first look has raised, and later what will not pass by itself.
    """
    async with cli.client(timeout=ANSWER_SECONDS) as client:
        first = await _look(client)
        if cli.out.form is Format.TABLE and sys.stdout.isatty():
            await _draw(client, first, interval)
        else:
            await _print(cli, client, first, interval)


async def _look(client: AdminClient) -> Sight:
    # One after the other on one connection: behind a balancer that keeps to it, the same daemon tells all of it.
    queue = await client.queue_status()
    pools = await client.queue_stats()
    waiting = await client.waiting(FIRST)
    return Sight(datetime.now().astimezone(), queue, pools, waiting)


async def _look_again(client: AdminClient) -> Sight | LLMGateError:
    """A daemon that restarts, or lost its database, is a sight as well; a request that is refused stays refused."""
    try:
        return await _look(client)
    except RequestError:
        raise
    except LLMGateError as failure:
        return failure


async def _print(cli: Cli, client: AdminClient, first: Sight, interval: float) -> None:
    seen: Sight | LLMGateError = first
    while True:
        if isinstance(seen, Sight):
            document = seen.document()
        else:
            document = {"at": datetime.now().astimezone().isoformat(), "error": error_body(seen)}
        try:
            cli.out.data(as_json(document))
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever read this has seen enough. What is still buffered must not be tried again at the exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
        await asyncio.sleep(interval)
        seen = await _look_again(client)


async def _draw(client: AdminClient, first: Sight, interval: float) -> None:
    seen: Sight | LLMGateError = first
    last = first
    with screen(sys.stdout) as shown:
        while True:
            if isinstance(seen, Sight):
                last = seen
                shown.draw(functools.partial(paint, last, None))
            else:
                shown.draw(functools.partial(paint, last, seen))
            await asyncio.sleep(interval)
            seen = await _look_again(client)


def paint(sight: Sight, failure: LLMGateError | None, width: int, height: int) -> list[str]:
    """The picture: what matters most stands first, and what does not fit is counted."""
    page = _Page(width, height, "dim" if failure else None)
    page.head(_headline(sight, failure))
    page.section(sight.pools, POOLS)
    if len(sight.queue.daemons) > 1:
        page.section(sorted(sight.queue.daemons, key=lambda daemon: daemon.name), DAEMONS)
    page.section(times(sight.pools), TIMES)
    page.section(sight.waiting, WAITING, total=sum(pool.waiting for pool in sight.pools))
    return page.lines


def _headline(sight: Sight, failure: LLMGateError | None) -> Text:
    now = datetime.now().astimezone()
    clock = (f"{now:%H:%M:%S}  ", "bold")
    if failure is not None:
        since = f" No answer for {precise((now - sight.at).total_seconds())}; still trying."
        return Text.assemble(clock, (clean(failure.message) + since, "bold red"))
    state = clean(state_of(sight.queue))
    if sight.queue.state != "connected":
        return Text.assemble(clock, (f"{state}. It decides alone, and knows only of itself.", "bold red"))
    # A queue in memory names no daemons: there is nobody of whom one could say that he dispatches.
    told = f"; {dispatchers(sight.pools)}" if sight.queue.daemons and sight.pools else ""
    return Text.assemble(clock, state, clean(told))


class _Page:
    """Lines that are written from the top until the page is full."""

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
