"""A gateway with the fake upstream, a browser, and people who come to the page."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext

from llmgate.config import ChatSettings, QueueSettings, ServerSettings
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.store import users
from tests.browser.harness import Tab, person, tab
from tests.fakes import FakeOllama, Script, Seen
from tests.gateway.harness import CHAT, Running, run_gateway, settings_for, upstream_for
from tests.gateway.ready_made import hashed

PASSWORD = "correct horse battery"
ADMIN = "root"
VISION = "llava:7b"
"""A model that can see."""
THINKER = "qwen3:8b"
"""A model that thinks first."""


@dataclass
class Stage:
    """See the module. ``ollama`` is the witness of what is generated; it has one slot."""

    gateway: Running
    ollama: FakeOllama
    browser: Browser
    public_url: str = ""
    """Where browsers find it, if that is elsewhere."""
    _names: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def url(self) -> str:
        return self.public_url or self.gateway.url

    async def new_user(self, name: str | None = None, **more: Any) -> str:
        """Somebody with PASSWORD, who has never been here."""
        return await new_user(self.gateway, name or f"user-{next(self._names)}", **more)

    @asynccontextmanager
    async def visitor(
        self, name: str | None = None, *tolerated: str, url: str | None = None, **window: Any
    ) -> AsyncIterator[Tab]:
        """A tab of somebody who is logged in, at a new chat. Without a name it is somebody new."""
        who = name or await self.new_user()
        async with person(self.browser, **window) as context:
            await log_in(context, url or self.url, who)
            async with tab(context, url or self.url, *tolerated) as opened:
                await opened.go()
                await opened.ready()
                yield opened

    @asynccontextmanager
    async def tab(self, context: BrowserContext, url: str | None = None) -> AsyncIterator[Tab]:
        """Another tab of somebody."""
        async with tab(context, url or self.url) as opened:
            yield opened

    @asynccontextmanager
    async def busy(self, gate: str) -> AsyncIterator[Seen]:
        """Somebody's program holds the only slot, until ``gate`` is released or this ends."""
        number = len(self.ollama.requests)
        self.ollama.script(Script(gate=gate))
        asking = asyncio.create_task(self.gateway.post("/api/chat", {**CHAT, "stream": False}))
        try:
            yield await self.ollama.request(number)
        finally:
            self.ollama.release(gate)
            await asking


async def new_user(gateway: Running, name: str, role: Role = Role.USER, **more: Any) -> str:
    password_hash = await hashed(PASSWORD)
    async with gateway.services.database.begin() as tx:
        await users.create(tx, name=name, password_hash=password_hash, role=role, **more)
    return name


async def log_in(context: BrowserContext, url: str, name: str, password: str = PASSWORD) -> None:
    """Give this browser a session, without the form."""
    body = {"name": name, "password": password, "cookie": True}
    answer = await context.request.post(f"{url}/gate/auth/login", data=body)
    assert answer.ok, await answer.text()


@asynccontextmanager
async def open_stage(
    state: Path,
    browser: Browser,
    *,
    server: ServerSettings | None = None,
    chat: ChatSettings | None = None,
    queue: QueueSettings | None = None,
    fake: FakeOllama | None = None,
    slots: int = 1,
) -> AsyncIterator[Stage]:
    """Conversations are named by the first line, so that the fake is asked for nothing but answers."""
    async with AsyncExitStack() as stack:
        fake = fake or FakeOllama(models=("llama3.2:latest", VISION, THINKER))
        fake.described[VISION] = {"capabilities": ["completion", "vision"]}
        fake.described[THINKER] = {"capabilities": ["completion", "tools", "thinking"]}
        ollama = await stack.enter_async_context(fake)
        settings = settings_for(state, [upstream_for(ollama, slots=slots)], server=server, queue=queue)
        settings = settings.model_copy(update={"chat": chat or ChatSettings(titles="first_line")})
        gateway = await stack.enter_async_context(run_gateway(settings))
        await new_user(gateway, ADMIN, role=Role.ADMIN)
        yield Stage(gateway, ollama, browser)
