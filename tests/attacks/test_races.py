"""Of any number that come at once, as many succeed as may: on both databases."""

from __future__ import annotations

import asyncio
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from llmgate.daemon.auth.secrets import load_or_create
from llmgate.daemon.store.database import sqlite_url
from tests.attacks.cases import Attack, Breached, comes_to_nothing, every, succeeds_without_control
from tests.attacks.races import (
    ATTACKS,
    Daemons,
    daemons,
    race_for_a_token,
    race_for_the_first_administrator,
    race_for_the_last_use,
)
from tests.gateway.ready_made import client_of
from tests.services.ports import free_ports
from tests.system.processes import START_SECONDS, environment


@every(ATTACKS)
async def test_the_attack_comes_to_nothing(attack: Attack[Daemons], tmp_path: Path, database_url: str) -> None:
    async with daemons(tmp_path / "state", database_url) as running:
        await comes_to_nothing(attack, running)


@every(ATTACKS)
async def test_without_its_control_it_succeeds(
    attack: Attack[Daemons], tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "llmgate.db"
    shutil.copy(sqlite_template, path)
    async with daemons(tmp_path / "state", sqlite_url(path)) as running:
        await succeeds_without_control(attack, running, monkeypatch, Breached)


@asynccontextmanager
async def processes(folder: Path, database_url: str, count: int) -> AsyncIterator[Daemons]:
    """So many daemons of one database, each a process with a port of its own, and passwords as they are."""
    secret_file = folder / "secret.key"
    setups, clients = [], []
    async with AsyncExitStack() as stack:
        for number, port in enumerate(free_ports(count)):
            home = folder / f"daemon{number}"
            home.mkdir()
            config = home / "llmgate.toml"
            config.write_text(
                f'[server]\nport = {port}\ntrusted_proxies = ["127.0.0.1"]\n'
                f'[state]\ndir = "{home / "state"}"\nsecret_file = "{secret_file}"\n'
                f'[database]\nurl = "{database_url}"\n[[upstreams]]\nname = "fake"\nurl = "http://127.0.0.1:9"\n',
                encoding="utf-8",
            )
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "llmgate", "serve", "--config", str(config),
                stdout=PIPE, stderr=DEVNULL, stdin=DEVNULL, env=environment(home), cwd=home,
            )  # fmt: skip
            stack.push_async_callback(_ended, process)
            assert process.stdout is not None
            async with asyncio.timeout(START_SECONDS):
                said = (await process.stdout.readuntil(b"setup token: ")).decode()
                setups.append((await process.stdout.readuntil(b")")).decode().rstrip(")"))
            assert "llmgate serves at" in said
            clients.append(await stack.enter_async_context(client_of(f"http://127.0.0.1:{port}", timeout=120)))
        yield Daemons(clients, database_url, load_or_create(secret_file), setups)


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    async with asyncio.timeout(START_SECONDS):
        assert await process.wait() == 0


@pytest.mark.slow
async def test_over_two_processes_nobody_is_let_in_twice(tmp_path: Path, postgres_url: str) -> None:
    async with processes(tmp_path, postgres_url, 2) as running:
        await race_for_the_first_administrator(running)
        await race_for_the_last_use(running)


@pytest.mark.long
async def test_over_four_processes_nobody_is_let_in_twice_however_often(tmp_path: Path, database_url: str) -> None:
    async with processes(tmp_path, database_url, 4) as running:
        await race_for_the_first_administrator(running)
        for _ in range(10):
            await race_for_a_token(running)
            await race_for_the_last_use(running)
