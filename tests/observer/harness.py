"""Follows the live stream of a gateway, as a client that speaks nothing but HTTP and server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import EventSource

EVENTS = "/admin/v1/events"


@dataclass(slots=True)
class Sent:
    """One event as it came."""

    name: str
    id: str
    data: dict[str, Any]


class Stream:
    """What has come so far. ``ended`` is done when the daemon has ended the stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.place = ""
        self.seen: list[Sent] = []
        self._changed = asyncio.Event()
        self.ended = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for sent in EventSource(self.response).aiter_sse():
                self.place = sent.id or self.place
                if sent.data:
                    self.seen.append(Sent(sent.event, sent.id, json.loads(sent.data)))
                self._changed.set()
        finally:
            self._changed.set()

    def named(self, name: str) -> list[dict[str, Any]]:
        return [sent.data for sent in self.seen if sent.name == name]

    async def until(self, condition: Callable[[], bool], seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def has(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many events of this name have come."""
        await self.until(lambda: len(self.named(name)) >= count)
        return self.named(name)


@asynccontextmanager
async def following(client: httpx.AsyncClient, types: str | None = None, **headers: str) -> AsyncIterator[Stream]:
    """Follow, from the moment at which the daemon has said where the client is."""
    query = {} if types is None else {"types": types}
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.stream("GET", EVENTS, params=query, headers=sent) as response:
        assert response.status_code == 200, await response.aread()
        stream = Stream(response)
        try:
            await stream.until(lambda: bool(stream.place))
            yield stream
        finally:
            stream.ended.cancel()
            await asyncio.gather(stream.ended, return_exceptions=True)
