"""Several daemons as processes of their own, with one RabbitMQ, one PostgreSQL and one fake upstream."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from llmgate.daemon.auth import api_keys
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.auth.secrets import ServerSecret, load_or_create
from llmgate.daemon.store import instance, keys
from llmgate.daemon.store.database import Database
from tests.services.ports import free_ports
from tests.system.processes import environment

START_SECONDS = 60
KEPT_LINES = 5000


@dataclass(slots=True, eq=False)
class Daemon:
    """One daemon: it keeps its port when it is started again."""

    name: str
    home: Path
    config: Path
    url: str
    process: Process | None = None
    log: list[dict[str, Any]] = field(default_factory=list)
    killed: list[tuple[int, float]] = field(default_factory=list)
    """Process ids that were killed, and when, on the clock of the event loop."""
    answers: bool = True
    """Whether clients should go there: neither dead nor frozen."""
    counted: Counter[str] = field(default_factory=Counter)
    """How often it has logged each event."""
    module: str = "llmgate"
    """What is run: the program, or one that runs it."""
    _reader: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        """Returns when it serves."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self.module, "serve", "--config", str(self.config),
            stdout=PIPE, stderr=PIPE, stdin=DEVNULL, env=environment(self.home), cwd=self.home,
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read(self.process))
        assert self.process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = await self.process.stdout.readline()
        if b"llmgate serves" not in line:
            await self.process.wait()
            raise RuntimeError(f"{self.name} did not start: {self.log[-5:]}")
        self.answers = True

    async def kill(self) -> None:
        """SIGKILL."""
        self.answers = False
        self.killed.append((self.pid, asyncio.get_running_loop().time()))
        self.send(signal.SIGKILL)
        assert self.process is not None
        await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.answers = False
        assert self.process is not None
        if self.process.returncode is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
        async with asyncio.timeout(START_SECONDS):
            code = await self.process.wait()
            if self._reader is not None:
                await self._reader
        return code

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Lines of its log."""
        return [line for line in self.log if line.get("event") == name]

    async def _read(self, process: Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            text = line.decode(errors="replace").strip()
            try:
                entry = json.loads(text)
            except ValueError:
                entry = {"event": "text", "text": text}
            self.log.append(entry)
            self.counted[str(entry.get("event"))] += 1
            with (self.home / "log").open("a") as copy:  # to be looked at after a failure
                copy.write(text + "\n")
            del self.log[:-KEPT_LINES]


class Cluster:
    """``daemons`` share everything; ``key`` is an API key of level 2, ``admin`` one of an administrator."""

    def __init__(self, daemons: Sequence[Daemon], key: str, admin: str, database_url: str) -> None:
        self.daemons = list(daemons)
        self.key = key
        self.admin = admin
        self.database_url = database_url
        self.client = httpx.AsyncClient(timeout=120, trust_env=False, limits=httpx.Limits(max_connections=None))

    async def ask(self, daemon: Daemon, path: str) -> Any:
        """An answer of the admin API."""
        answer = await self.client.get(
            f"{daemon.url}/admin/v1{path}", headers={"authorization": f"Bearer {self.admin}"}, timeout=5
        )
        answer.raise_for_status()
        return answer.json()

    async def stats(self, daemon: Daemon) -> dict[str, Any]:
        """The statistics of its first pool."""
        pools: list[dict[str, Any]] = (await self.ask(daemon, "/queue/stats"))["data"]
        return pools[0]

    async def dispatcher(self) -> Daemon:
        """Who dispatches, as the cluster's statistics tell."""
        found: list[Daemon] = []

        async def known() -> bool:
            asked = next(daemon for daemon in self.daemons if daemon.answers)
            name = (await self.stats(asked))["dispatcher"]
            found[:] = [one for one in self.daemons if one.answers and name.endswith(f"/{one.pid}")]
            return bool(found)

        await eventually(known, 20)
        return found[0]

    async def all_connected(self, seconds: float = 30) -> None:
        """Until every daemon takes part, and one dispatches."""

        async def connected() -> bool:
            for daemon in self.daemons:
                ready = (await self.client.get(f"{daemon.url}/health/ready", timeout=5)).json()
                if ready["queue"]["state"] != "connected":
                    return False
            return bool((await self.stats(self.daemons[0]))["dispatcher"])

        await eventually(connected, seconds)


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float, *, pause: float = 0.05) -> None:
    """Wait until a condition that no event tells of is true. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                if await condition():
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(pause)


@asynccontextmanager
async def cluster(
    folder: Path,
    *,
    database_url: str,
    broker_urls: Sequence[str],
    upstream_url: str | Mapping[str, str],
    slots: int = 4,
    queue: Mapping[str, object] | None = None,
    upstream_key: str = "",
    module: str = "llmgate",
) -> AsyncIterator[Cluster]:
    """As many daemons as there are ``broker_urls``, all of them serving; stopped at the end, each with exit code 0.

    Of several upstreams ``upstream_url`` has name and address. ``module`` is run in the place of the program.
    """
    upstreams = {"fake": upstream_url} if isinstance(upstream_url, str) else upstream_url
    secret_file = folder / "secret.key"
    secret = load_or_create(secret_file)
    key, admin = await _prepare(database_url, secret)
    daemons = []
    for number, (broker_url, port) in enumerate(zip(broker_urls, free_ports(len(broker_urls)), strict=True), 1):
        home = folder / f"daemon{number}"
        home.mkdir()
        config = home / "llmgate.toml"
        shown = {"backend": "rabbitmq", "url": broker_url, **(queue or {})}
        text = _config(port, home, secret_file, database_url, shown)
        text += "".join(_upstream(name, url, slots, upstream_key) for name, url in upstreams.items())
        config.write_text(text)
        daemons.append(Daemon(f"daemon{number}", home, config, f"http://127.0.0.1:{port}", module=module))
    async with AsyncExitStack() as stack:
        for daemon in daemons:
            await daemon.start()
            stack.push_async_callback(daemon.stop)
        running = Cluster(daemons, key, admin, database_url)
        stack.push_async_callback(running.client.aclose)
        yield running


@asynccontextmanager
async def two_workers(running: Cluster, log: Path) -> AsyncIterator[dict[int, int]]:
    """Two workers instead of the only daemon, until the end: their processes. They write their log into this file."""
    [daemon] = running.daemons
    await daemon.stop()
    with log.open("wb") as log_file:
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "llmgate", "serve", "--config", str(daemon.config), "--workers", "2",
            stdout=PIPE, stderr=log_file, env=environment(daemon.home),
        )  # fmt: skip
    try:
        assert parent.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = (await parent.stdout.readline()).decode()
        assert re.search(r"serves at \S+ with 2 workers", line)
        yield _ready_workers(log)
    finally:
        parent.terminate()
        async with asyncio.timeout(START_SECONDS):
            assert await parent.wait() == 0


def _ready_workers(log: Path) -> dict[int, int]:
    told = map(json.loads, log.read_text().splitlines())
    return {entry["worker"]: entry["pid"] for entry in told if entry["event"] == "worker_ready"}


async def _prepare(database_url: str, secret: ServerSecret) -> tuple[str, str]:
    database = Database(database_url)
    await database.connect()
    try:
        await database.migrate()
        texts = []
        async with database.begin() as tx:
            await instance.check_secret(tx, secret.fingerprint)
            for name, role in (("load", Role.USER), ("admin", Role.ADMIN)):
                new = api_keys.generate(secret)
                await keys.create(tx, key_id=new.id, digest=new.digest, last4=new.last4, name=name, role=role)
                texts.append(new.text)
        return texts[0], texts[1]
    finally:
        await database.close()


def _config(port: int, home: Path, secret_file: Path, database_url: str, queue: Mapping[str, object]) -> str:
    settings = "\n".join(f"{name} = {json.dumps(value)}" for name, value in queue.items())
    return f"""
[server]
port = {port}
drain_seconds = 5
[state]
dir = "{home / "state"}"
secret_file = "{secret_file}"
[database]
url = "{database_url}"
[queue]
{settings}
[log]
format = "json"
"""


def _upstream(name: str, url: str, slots: int, api_key: str) -> str:
    return f"""
[[upstreams]]
name = "{name}"
url = "{url}"
slots = {slots}
api_key = "{api_key}"
"""
