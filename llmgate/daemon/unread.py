"""Hangs up on clients that do not read what they get.

Whoever is asked by the gateway for an answer waits for its client to take it, and so does a connection that is closed:
without end, if nobody looks. Nothing is measured while answers are sent. All connections are looked at now and then
instead: each compares what it has not got rid of with what that was before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol, cast

UNREAD_SECONDS = 30.0
"""So often it is looked at. A client that has taken nothing from one time to the next is gone."""
AT_ONCE = 1024
"""Connections that are looked at before others have their turn."""


class Connection(Protocol):
    """What uvicorn keeps a set of: an HTTP connection, or a WebSocket."""

    def look_at_unread(self) -> None:
        """Hang up if the client has taken nothing since this was called before."""


async def watch(connections: Collection[object]) -> None:
    """Look at all of them, for ever."""
    while True:
        await asyncio.sleep(UNREAD_SECONDS)
        for number, connection in enumerate(list(connections), 1):
            cast("Connection", connection).look_at_unread()
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
