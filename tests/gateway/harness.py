"""A whole gateway in the test's own event loop: real uvicorn on loopback, real store, real queue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from llmgate.config import (
    AuthSettings,
    HealthSettings,
    LoadedSettings,
    QueueSettings,
    ServerSettings,
    Settings,
    StateSettings,
    UpstreamSettings,
)
from llmgate.daemon.auth import api_keys
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.events import Event, RequestFinished, RequestRefused
from llmgate.daemon.listening import listen, url_of
from llmgate.daemon.live import as_loaded
from llmgate.daemon.server import GatewayServer
from llmgate.daemon.services import Services, open_services
from llmgate.daemon.store import keys
from tests.fakes import FakeOllama, FakeServer
from tests.gateway.ready_made import client_of, migrated

CHAT: dict[str, Any] = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}


@dataclass(slots=True)
class Running:
    """A gateway that serves, and what it published."""

    url: str
    services: Services
    server: GatewayServer
    client: httpx.AsyncClient
    key: str
    events: list[Event] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def heard(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    @property
    def finished(self) -> list[RequestFinished]:
        return [event for event in self.events if isinstance(event, RequestFinished)]

    @property
    def refused(self) -> list[RequestRefused]:
        return [event for event in self.events if isinstance(event, RequestRefused)]

    async def until(self, condition: Callable[[], bool], timeout: float = 5.0) -> None:
        """Wait until something published by the gateway has made ``condition`` true."""
        async with asyncio.timeout(timeout):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def outcome(self, number: int = 0) -> RequestFinished:
        """The request that finished as this one (from 0)."""
        await self.until(lambda: len(self.finished) > number)
        return self.finished[number]

    async def waiting(self, count: int) -> None:
        """Wait until so many requests wait for their turn; submitting is not an event, so look often."""
        async with asyncio.timeout(5):
            while sum(pool.waiting for pool in self.services.queue.stats()) != count:
                await asyncio.sleep(0.002)  # and let the database's thread do its work meanwhile

    async def new_key(self, name: str, **changes: Any) -> str:
        """Another API key."""
        new = api_keys.generate(self.services.secret)
        async with self.services.database.begin() as tx:
            await keys.create(
                tx,
                key_id=new.id,
                digest=new.digest,
                last4=new.last4,
                name=name,
                role=changes.pop("role", Role.USER),
                **changes,
            )
        return new.text

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self.client.post(path, json=body, headers=headers)

    @asynccontextmanager
    async def stream(self, path: str, body: Mapping[str, Any], **headers: str) -> AsyncIterator[httpx.Response]:
        async with self.client.stream("POST", path, json={**body, "stream": True}, headers=headers) as answer:
            yield answer


def settings_for(
    state: Path,
    upstreams: Sequence[UpstreamSettings],
    *,
    queue: QueueSettings | None = None,
    server: ServerSettings | None = None,
    auth: AuthSettings | None = None,
    health: HealthSettings | None = None,
) -> Settings:
    return Settings(
        server=server or ServerSettings(port=0, drain_seconds=5),
        state=StateSettings(dir=state),
        queue=queue or QueueSettings(settle_ms=0),
        auth=auth or AuthSettings(),
        health=health or HealthSettings(),
        upstreams=list(upstreams),
    )


def upstream_for(fake: FakeServer, name: str = "fake", **changes: Any) -> UpstreamSettings:
    kind = "ollama" if isinstance(fake, FakeOllama) else "openai"
    return UpstreamSettings(name=name, kind=changes.pop("kind", kind), url=fake.url, **changes)


@asynccontextmanager
async def run_gateway(settings: Settings | LoadedSettings, key: str = "test") -> AsyncIterator[Running]:
    """A gateway that is ready, with one API key of this name; stopped kindly at the end."""
    loaded = as_loaded(settings)
    listener = listen(loaded.settings.server)
    url = url_of(listener)
    ready = asyncio.Event()

    async def announce(_: Services) -> None:
        ready.set()

    await migrated(loaded.settings)
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(open_services(loaded))
        server = GatewayServer(services, announce)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await asyncio.wait({serving, asyncio.create_task(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
        client = client_of(url)
        running = Running(url, services, server, client, "")
        running.key = await running.new_key(key)
        client.headers["authorization"] = f"Bearer {running.key}"
        services.bus.subscribe(running.heard)
        try:
            yield running
        finally:
            await client.aclose()
            server.should_exit = True
            await serving


def lines_of(text: str) -> list[dict[str, Any]]:
    """The objects of an NDJSON answer."""
    return [json.loads(line) for line in text.splitlines()]


def events_of(text: str) -> list[dict[str, Any]]:
    """The objects of an SSE answer, without its [DONE]."""
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(item) for item in data if item != "[DONE]"]
