"""What the tests of the upstreams share: settings that point at a fake, calls, and a registry."""

from __future__ import annotations

import asyncio
from typing import Any, Literal, Self

from llmgate.config import HealthSettings, QueueSettings, UpstreamSettings
from llmgate.daemon.events import Event, EventBus, UpstreamChanged
from llmgate.daemon.protocols import PROTOCOLS
from llmgate.daemon.protocols.base import Call
from llmgate.daemon.queue.interface import Place
from llmgate.daemon.queue.memory import MemoryQueueManager
from llmgate.daemon.queue.ticket import Ticket
from llmgate.daemon.upstreams.base import HealthState
from llmgate.daemon.upstreams.registry import UpstreamRegistry

MESSAGES = [{"role": "user", "content": "Hello"}]


def settings_for(
    url: str, *, name: str = "gpu1", kind: Literal["ollama", "openai"] = "ollama", **more: Any
) -> UpstreamSettings:
    return UpstreamSettings.model_validate({"name": name, "kind": kind, "url": url, **more})


def call(path: str = "/api/chat", *, headers: dict[str, str] | None = None, **body: Any) -> Call:
    """A judged request, as the gateway would have made it."""
    content = {"model": "llama3.2", "messages": MESSAGES, **body}
    for protocol in PROTOCOLS:
        if path in protocol.routes:
            made = protocol.parse("request-1", protocol.routes[path], content)
            made.headers = headers or {}
            made.canonical_model = made.model
            return made
    raise AssertionError(path)


class Fleet:
    """A registry with a real queue behind it, and every change of health that it published."""

    def __init__(self, *upstreams: UpstreamSettings, **health: float) -> None:
        quick = {"interval": 0.05, "timeout": 5.0, "failures": 2, "backoff_max": 0.1, **health}
        self.queue = MemoryQueueManager(QueueSettings(), emit=lambda _: None)
        self.bus = EventBus()
        self.bus.subscribe(self._heard)
        self.registry = UpstreamRegistry(upstreams, HealthSettings.model_validate(quick), self.queue, self.bus)
        self.changes: list[UpstreamChanged] = []
        self._changed = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.registry.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self.queue.close()
        await self.registry.close()

    def watch(self) -> None:
        """Probe in the background from now on."""
        self._watching = asyncio.create_task(self.registry.run())

    async def until(self, name: str, *states: HealthState) -> None:
        """Wait until an upstream is in one of these states."""
        async with asyncio.timeout(5):
            while self.state(name) not in states:
                self._changed.clear()
                await self._changed.wait()

    def state(self, name: str) -> HealthState:
        return next(one.state for one in self.registry.status() if one.name == name)

    def slots(self, pool: str) -> int:
        """The slots that the queue may grant."""
        stats = next(stats for stats in self.queue.stats() if stats.pool == pool)
        return 0 if stats.state == "offline" else stats.slots

    async def take_place(self, pool: str, ticket_id: str, model: str = "llama3.2:latest") -> Place:
        return await self.queue.submit(Ticket(ticket_id, pool, model, 2, "flow", "owner", self.queue.now()))

    def _heard(self, event: Event) -> None:
        if isinstance(event, UpstreamChanged):
            self.changes.append(event)
            self._changed.set()


def anything(_: str) -> bool:
    """A principal that may use every model."""
    return True
