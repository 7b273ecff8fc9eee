"""`llmgate activity watch`: new entries as they are written, by whichever daemon.

The database is what tells; the live stream of events only says when to look. So nothing is missed, told twice, or told
in another order when a stream breaks, and entries that another daemon has written are seen too.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmgate.cli.command import Cli
from llmgate.cli.output import Format
from llmgate.errors import LLMGateError, RequestError
from llmgate.text import as_json, cell, clean, shortly

if TYPE_CHECKING:  # httpx and pydantic are not needed to show the help
    from llmgate.client import AdminClient
    from llmgate.schemas import ActivityEntry

LOOK_SECONDS = 2.0
"""Longest time between two looks: an entry of another daemon is shown after so long."""
ANSWER_SECONDS = 10.0
MOST = 1000
"""New entries that are shown after one look; a longer list is cut, and said to be."""


async def follow_activity(cli: Cli, last: int, **filters: Any) -> None:
    """Until Ctrl-C, or until nobody reads any more. Raises what the first look raises."""
    async with cli.client(timeout=ANSWER_SECONDS) as client:
        newest = await client.activity.rows(1)
        seen = newest[0].seq if newest else 0
        if last:
            _print(cli, await client.activity.rows(last, **filters), upto=seen)
        told = asyncio.Event()
        listening = asyncio.create_task(_listen(client, told))
        try:
            await _follow(cli, client, told, seen, filters)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def _follow(cli: Cli, client: AdminClient, told: asyncio.Event, seen: int, filters: dict[str, Any]) -> None:
    failing = False
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await told.wait()
        told.clear()
        try:
            entries, whole = await client.activity.newer(seen, MOST, **filters)
        except RequestError:
            raise
        except LLMGateError as failure:  # a daemon that restarts comes back
            if not failing:
                cli.out.message(f"{failure.message} Still trying.")
            failing = True
            continue
        failing = False
        if not whole:
            cli.out.message(f"More than {MOST} entries are new; the older ones are not shown.")
        _print(cli, entries)
        seen = max([seen, *(entry.seq for entry in entries)])


async def _listen(client: AdminClient, told: asyncio.Event) -> None:
    """Say when there is something new. Without a stream of events it is seen at the next look."""
    with contextlib.suppress(LLMGateError):
        async for _ in client.events.listen(["activity"]):
            told.set()


def _print(cli: Cli, entries: Sequence[ActivityEntry], upto: int | None = None) -> None:
    """Oldest first, one line each."""
    for entry in reversed(entries):
        if upto is None or entry.seq <= upto:
            if cli.out.form is Format.TABLE and not cli.out.quiet and not cli.out.fields:
                cli.out.data(line_of(entry))
            elif cli.out.form is Format.TABLE and cli.out.quiet:
                cli.out.data(str(entry.seq))
            else:
                cli.out.data(as_json(cli.out.fields_of(entry)))
    sys.stdout.flush()


def line_of(entry: ActivityEntry) -> str:
    """An entry as one line of text."""
    who = clean(entry.actor_name or entry.actor_id)
    where = f" ({clean(entry.address)})" if entry.address else ""
    what = clean(entry.target_name or entry.target_id)
    detail = f"  {clean(shortly(entry.action, entry.detail))}" if entry.detail else ""
    return f"{cell(entry.at)}  {who}{where}  {clean(entry.action)}  {what}{detail}".rstrip()
