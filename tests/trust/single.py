"""One daemon as a process of its own, with a memory queue, whose database and disk a test may break."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import func, select

from llmgate.daemon.auth.secrets import load_or_create
from llmgate.daemon.store.requests import requests
from llmgate.daemon.store.usage import usage
from tests.cluster.harness import START_SECONDS, Daemon, _prepare
from tests.fakes import FakeOllama
from tests.gateway.harness import CHAT
from tests.services.fixtures import opened
from tests.services.ports import free_ports

WHOLE = {**CHAT, "stream": False}


@dataclass(slots=True)
class Single:
    """``key`` and ``admin`` are API keys; ``served`` counts the answers of inference that were 200."""

    daemon: Daemon
    key: str
    admin: str
    database_url: str
    client: httpx.AsyncClient
    served: int = 0
    copied: Callable[[], str] | None = None
    """Where the database can be looked at, if it cannot be reached from here; called for each look."""

    @property
    def state(self) -> Path:
        return self.daemon.home / "state"

    async def ask(self) -> httpx.Response:
        answer = await self.client.post("/api/chat", json=WHOLE, headers={"authorization": f"Bearer {self.key}"})
        self.served += answer.status_code == 200
        return answer

    async def make_key(self, name: str) -> httpx.Response:
        """A change by an administrator."""
        return await self.client.post("/admin/v1/keys", json={"name": name}, headers=self._admin)

    async def admin_get(self, path: str) -> Any:
        answer = await self.client.get(f"/admin/v1{path}", headers=self._admin)
        answer.raise_for_status()
        return answer.json()

    async def admin_post(self, path: str) -> Any:
        answer = await self.client.post(f"/admin/v1{path}", headers=self._admin)
        answer.raise_for_status()
        return answer.json()

    @property
    def _admin(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.admin}"}

    def spool(self) -> list[bytes]:
        """The lines of all its files, once each."""
        lines = [line for file in (self.state / "usage-spool").glob("*") for line in file.read_bytes().splitlines()]
        return sorted(set(lines))

    async def written(self) -> tuple[int, int]:
        """Requests in the log, and in the sums."""
        return await written(self.copied() if self.copied is not None else self.database_url)


async def written(url: str) -> tuple[int, int]:
    async with opened(url) as database, database.read() as tx:
        logged = await tx.scalar(select(func.count()).select_from(requests))
        counted = await tx.scalar(select(func.sum(usage.c.requests)))
        return int(logged or 0), int(counted or 0)


@asynccontextmanager
async def single(folder: Path, database_url: str, *, seen_as: str = "", timeout: float = 1.0) -> AsyncIterator[Single]:
    """A daemon that is configured and not started yet. ``seen_as``: how it reaches the database, if otherwise."""
    secret_file = folder / "secret.key"
    key, admin = await _prepare(database_url, load_or_create(secret_file))
    (port,) = free_ports(1)
    async with FakeOllama() as fake:
        config = folder / "llmgate.toml"
        config.write_text(
            f"""
[server]
port = {port}
drain_seconds = 5
[state]
dir = {json.dumps(str(folder / "state"))}
secret_file = {json.dumps(str(secret_file))}
[database]
url = {json.dumps(seen_as or database_url)}
timeout = {timeout}
[log]
format = "json"
[[upstreams]]
name = "fake"
url = "{fake.url}"
slots = 4
"""
        )
        daemon = Daemon("single", folder, config, f"http://127.0.0.1:{port}")
        async with httpx.AsyncClient(base_url=daemon.url, timeout=30, trust_env=False) as client:
            yield Single(daemon, key, admin, database_url, client)


async def until_written(single: Single, *, seconds: float = START_SECONDS) -> None:
    """Until each request that was served stands in the database, once."""
    async with asyncio.timeout(seconds):
        while (found := await single.written()) != (single.served, single.served):
            assert max(found) <= single.served
            await asyncio.sleep(0.1)


def names(lines: Sequence[bytes]) -> list[str]:
    return [json.loads(line)["request_id"] for line in lines]
