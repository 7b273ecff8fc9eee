"""A whole gateway with an administrator and a user, and clients that speak to it as either."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from llmgate.config import AuthSettings, DatabaseSettings, LoadedSettings, ServerSettings, Settings, StateSettings
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.store import users
from tests.fakes import FakeOllama
from tests.gateway.harness import Running, run_gateway, settings_for, upstream_for
from tests.gateway.ready_made import client_of, hashed

PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway, its fake upstream, and three kinds of callers."""

    gateway: Running
    ollama: FakeOllama
    admin: httpx.AsyncClient
    user: httpx.AsyncClient
    nobody: httpx.AsyncClient

    @property
    def url(self) -> str:
        return self.gateway.url

    async def made(self, path: str, **body: Any) -> dict[str, Any]:
        """What the admin API made of this body."""
        answer = await self.admin.post(f"/admin/v1/{path}", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def login(self, name: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
        return await self.nobody.post("/gate/auth/login", json={"name": name, "password": password, **more})


@asynccontextmanager
async def run_site(
    state: Path,
    *,
    server: ServerSettings | None = None,
    auth: AuthSettings | None = None,
    loaded: LoadedSettings | None = None,
    users_exist: bool = False,
    ollama: FakeOllama | None = None,
    database: DatabaseSettings | None = None,
) -> AsyncIterator[Site]:
    """Users "root" (an administrator) and "ada", both with PASSWORD; one upstream with one slot.

    ``loaded`` is a configuration that was read: it serves on any port, with this state and this upstream.
    ``users_exist``: another site has made them in this state. ``ollama`` is the upstream, if it runs already.
    """
    async with AsyncExitStack() as stack:
        if ollama is None:
            ollama = await stack.enter_async_context(FakeOllama())
        settings: Settings | LoadedSettings
        if loaded is None:
            settings = settings_for(state, [upstream_for(ollama)], server=server, auth=auth)
            settings = settings.model_copy(update={"database": database or settings.database})
        else:
            settings = _moved(loaded, state, ollama)
        gateway = await stack.enter_async_context(run_gateway(settings, "test2" if users_exist else "test"))
        if not users_exist:
            await _make_users(gateway)
        clients = [await stack.enter_async_context(client_of(gateway.url)) for _ in range(3)]
        site = Site(gateway, ollama, *clients)
        for client, name in ((site.admin, "root"), (site.user, "ada")):
            token = (await site.login(name)).json()["access_token"]
            client.headers["authorization"] = f"Bearer {token}"
        yield site


async def _make_users(gateway: Running) -> None:
    password_hash = await hashed(PASSWORD)
    async with gateway.services.database.begin() as tx:
        await users.create(tx, name="root", password_hash=password_hash, role=Role.ADMIN)
        await users.create(tx, name="ada", password_hash=password_hash, role=Role.USER)


def _moved(loaded: LoadedSettings, state: Path, ollama: FakeOllama) -> LoadedSettings:
    here = {
        "server": loaded.settings.server.model_copy(update={"port": 0}),
        "state": StateSettings(dir=state),
        "upstreams": [upstream_for(ollama)],
    }
    return replace(loaded, settings=loaded.settings.model_copy(update=here))


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer, which must be one of this status and code."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    document: dict[str, Any] = answer.json()
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"] == f"urn:llmgate:error:{code}"
    assert document["request_id"] == answer.headers["x-request-id"]
    return document
