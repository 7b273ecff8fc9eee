"""`llmgate queue watch`: the whole cluster's queue, as one daemon tells it, again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from llmgate.cli.command import Cli
from llmgate.cli.output import plain
from llmgate.cli.queue_columns import DAEMONS, POOLS, TIMES, WAITING, dispatchers, state_of, times
from llmgate.cli.watching import Picture, View, follow, headline
from llmgate.errors import LLMGateError

if TYPE_CHECKING:  # httpx and pydantic are not needed to show the help
    from llmgate.client import AdminClient
    from llmgate.schemas import PoolStats, QueueStatus, Waiting

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
        return {"queue": plain(self.queue), "pools": pools, "waiting": waiting}


async def watch_queue(cli: Cli, interval: float) -> None:
    """See ``watching.follow``."""
    await follow(cli, _look, View(Sight.document, _paint), interval)


async def _look(client: AdminClient) -> Sight:
    # One after the other on one connection: behind a balancer that keeps to it, the same daemon tells all of it.
    queue = await client.queue_status()
    pools = await client.queue_stats()
    waiting = await client.waiting(FIRST)
    return Sight(datetime.now().astimezone(), queue, pools, waiting)


def paint(sight: Sight, failure: LLMGateError | None, width: int, height: int) -> list[str]:
    """The picture: what matters most stands first, and what does not fit is counted."""
    page = Picture(width, height, "dim" if failure else None)
    page.head(_headline(sight, failure))
    page.section(sight.pools, POOLS)
    if len(sight.queue.daemons) > 1:
        page.section(sorted(sight.queue.daemons, key=lambda daemon: daemon.name), DAEMONS)
    page.section(times(sight.pools), TIMES)
    page.section(sight.waiting, WAITING, total=sum(pool.waiting for pool in sight.pools))
    return page.lines


def _headline(sight: Sight, failure: LLMGateError | None) -> Text:
    state = state_of(sight.queue)
    if sight.queue.state != "connected":
        return headline(sight.at, failure, f"{state}. It decides alone, and knows only of itself.", "bold red")
    # A queue in memory names no daemons: there is nobody of whom one could say that he dispatches.
    told = f"; {dispatchers(sight.pools)}" if sight.queue.daemons and sight.pools else ""
    return headline(sight.at, failure, state + told)


def _paint(sight: Sight, at: datetime, failure: LLMGateError | None, width: int, height: int) -> list[str]:
    return paint(sight, failure, width, height)
