"""A backup is taken while requests are served; restored elsewhere, it serves the keys that were made before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from llmgate.config import DatabaseSettings, UsageSettings
from llmgate.daemon.clock import utc_now
from llmgate.daemon.events import RequestFinished
from llmgate.daemon.queue.ticket import Outcome
from llmgate.daemon.store import requests, usage
from llmgate.daemon.store.database import Database
from tests.cli.harness import llmgate
from tests.fakes import FakeOllama
from tests.gateway.harness import CHAT, Running, run_gateway, settings_for, upstream_for
from tests.operations.support import PASSPHRASE, contents, write_config
from tests.services.fixtures import opened
from tests.system.processes import first_line, serving
from tests.system.test_serve import url_in

STDIN = PASSPHRASE + "\n"
OLDER = 2000
"""Requests of before, so that the backup takes a while."""


def older(number: int) -> RequestFinished:
    return RequestFinished(
        request_id=f"older{number:06}",
        finished_at=utc_now() - timedelta(minutes=number % 600),
        principal_kind="key",
        principal_id=f"k{number % 7}",
        principal_name="older",
        user_id=None,
        protocol="ollama",
        route="/api/chat",
        model="llama3.2:latest",
        pool="fake",
        upstream="fake",
        submitted_level=number % 5 + 1,
        stream=bool(number % 2),
        outcome=Outcome.COMPLETED,
        status=200,
        error_code=None,
        wait=0.25,
        first_byte=0.5,
        duration=1.5,
        input_tokens=2**40 + number,
        output_tokens=number,
    )


@asynccontextmanager
async def load(gateway: Running) -> AsyncIterator[None]:
    """Requests one after the other from several clients, for the time of the block; each must be served."""
    stopping = asyncio.Event()

    async def ask() -> None:
        while not stopping.is_set():
            answer = await gateway.post("/api/chat", {**CHAT, "stream": False})
            assert answer.status_code == 200, answer.text

    async with asyncio.TaskGroup() as clients:
        for _ in range(3):
            clients.create_task(ask())
        yield
        stopping.set()


async def written(database: Database) -> int:
    """How many requests are in the log."""
    async with database.read() as tx:
        return len((await tx.execute(select(requests.requests.c.request_id))).all())


async def until_more(database: Database, than: int) -> None:
    async with asyncio.timeout(15):
        while await written(database) <= than:
            await asyncio.sleep(0)


def database_of(url: str | None) -> Mapping[str, Any]:
    return {"database": {"url": url}} if url else {}


@pytest.mark.parametrize(
    ("source", "target"), [("sqlite", "sqlite"), ("sqlite", "postgresql"), ("postgresql", "sqlite")]
)
async def test_a_backup_under_load_is_restored_and_serves(
    source: str, target: str, tmp_path: Path, new_database: Callable[[str], str], quiet_daemon: None
) -> None:
    urls = [new_database("postgresql") if kind == "postgresql" else None for kind in (source, target)]
    directories = [tmp_path / "here", tmp_path / "there"]
    async with FakeOllama() as ollama:
        configs = []
        for directory, url in zip(directories, urls, strict=True):
            directory.mkdir()
            upstreams = {"fake": ollama.url}
            configs.append(write_config(directory, state=directory / "state", upstreams=upstreams, **database_of(url)))
        settings = settings_for(directories[0] / "state", [upstream_for(ollama, slots=3)])
        changes: dict[str, Any] = {"usage": UsageSettings(flush_seconds=0.01)}
        if urls[0]:
            changes["database"] = DatabaseSettings(url=urls[0])
        file = tmp_path / "saved"
        async with run_gateway(settings.model_copy(update=changes)) as gateway:
            key, database = gateway.key, gateway.services.database
            events = [older(number) for number in range(OLDER)]
            async with database.begin() as tx:
                await usage.add(tx, await requests.insert_many(tx, events))
            async with load(gateway):
                await until_more(database, OLDER + 10)
                before = await contents(database)
                served = len(gateway.finished)
                command = ("backup", str(file), "--config", str(configs[0]), "--passphrase-stdin", "-o", "json")
                saved = (await llmgate(*command, stdin=STDIN)).ok().json["rows_by_table"]
                assert len(gateway.finished) > served + 10
                await until_more(database, saved["requests"])
            after = await contents(database)

        command = ("restore", str(file), "--config", str(configs[1]), "--passphrase-stdin", "-o", "json")
        restored = (await llmgate(*command, stdin=STDIN)).ok().json
        assert (restored["rows_by_table"], restored["activity"]) == (saved, "ok")
        assert len(before["requests"]) <= saved["requests"] < len(after["requests"])
        await look_at(directories[1], urls[1], before, after, saved)

        async with serving("--config", str(configs[1]), home=directories[1]) as daemon:
            url = url_in(await first_line(daemon))
            headers = {"authorization": f"Bearer {key}"}
            async with httpx.AsyncClient(base_url=url, trust_env=False, headers=headers) as client:
                first = await client.post("/api/chat", json={**CHAT, "stream": False})
                assert first.status_code == 200, first.text


async def look_at(directory: Path, url: str | None, before: Any, after: Any, saved: Mapping[str, int]) -> None:
    """What was restored is one moment between before and after: no row is missing, half or too new."""
    async with opened(url or f"sqlite:///{directory / 'state' / 'llmgate.db'}") as database:
        there = await contents(database)
    assert {name: len(rows) for name, rows in there.items()} == saved
    assert set(before["requests"]) <= set(there["requests"]) <= set(after["requests"])
    hour = [column.name for column in usage.usage.columns].index("requests")
    # A request and its share of the sums are written together: only one moment has as many of both.
    assert sum(row[hour] for row in there["usage"]) == len(there["requests"])
    for name in ("instance", "api_keys", "users", "settings"):
        assert [row[0] for row in there[name]] == [row[0] for row in before[name]]
