"""What the demo consists of, started in order and stopped in the opposite order."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from deploy.cluster_demo.children import Child, DemoFailure, Note, in_thread, uninterrupted
from deploy.cluster_demo.load import CROWDS
from deploy.cluster_demo.services import Broker, Database
from llmgate import schemas
from llmgate.client import AdminClient
from llmgate.config import UpstreamSettings
from llmgate.connection import FixedToken
from llmgate.daemon.upstreams.demo import DemoModel
from tests.services.ports import free_ports

DAEMONS = 3
SLOTS = 4
"""More than there are daemons: without the broker each uses its own share, and with none its clients would wait until
the broker is back. The model's library cannot start with three."""
READY_SECONDS = 90.0
COMMAND_SECONDS = 60.0
DAEMON_PAUSE, BROKER_PAUSE, NGINX_PAUSE = 10.0, 20.0, 1.0
"""After so many seconds what was killed is started again."""
ADMIN = "admin"
HERE = Path(__file__).parent


@dataclass(slots=True)
class Stage:
    """Everything that runs. ``environment`` is the one of commands that are logged in as the administrator."""

    folder: Path
    url: str
    broker: Broker
    database: Database
    model: DemoModel
    nginx: Child
    environment: dict[str, str]
    daemons: list[Child] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    password: str = ""

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def note(self, text: str) -> None:
        """Write down what happened to the servers."""
        with (self.logs / "demo.log").open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {text}\n")


@asynccontextmanager
async def stage(folder: Path, tell: Note) -> AsyncIterator[Stage]:
    """The whole cluster in a directory, ready to be asked. Raises DemoFailure or RuntimeError."""
    for name in ("logs", "nginx", "cli"):
        (folder / name).mkdir(mode=0o755 if name == "nginx" else 0o700)  # nginx's worker is another user
    stack = AsyncExitStack()
    try:
        running = await _start(folder, stack, tell)
        keeping = asyncio.create_task(_keep(running))
        stack.push_async_callback(_cancelled, keeping)
        yield running
    finally:
        tell("Stopping ...")
        await uninterrupted(stack.aclose())


async def _start(folder: Path, stack: AsyncExitStack, tell: Note) -> Stage:
    tell("Starting RabbitMQ, PostgreSQL and the demo model ...")
    running = _make(folder, free_ports(1 + DAEMONS))
    upstream = await _start_services(running, stack)
    tell(f"Starting {DAEMONS} daemons ...")
    running.password = secrets.token_urlsafe(12)
    await _start_daemons(running, upstream, stack)
    tell("Starting nginx ...")
    stack.push_async_callback(running.nginx.stop)
    await running.nginx.start()
    await running.nginx.ready(partial(_answers, f"{running.url}/health/live"), READY_SECONDS)
    await _prepare(running)
    return running


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _make(folder: Path, ports: list[int]) -> Stage:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LLMGATE_")}
    work, logs = folder / "nginx", folder / "logs"
    servers = "\n    ".join(f"server 127.0.0.1:{port};" for port in ports[1:])
    nginx_config = _fill("nginx.conf", {"work": work, "logs": logs, "servers": servers, "port": ports[0]})
    (work / "nginx.conf").write_text(nginx_config, encoding="utf-8")
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(program).exists():
        raise DemoFailure("nginx is not installed. Run: sh bench/install.sh")
    nginx_command = [program, "-c", str(work / "nginx.conf"), "-p", str(work), "-e", str(logs / "nginx-error.log")]
    running = Stage(
        folder=folder,
        url=f"http://127.0.0.1:{ports[0]}",
        broker=Broker(),
        database=Database(),
        model=DemoModel(SLOTS),
        nginx=Child("nginx", nginx_command, logs / "nginx-output.log", environment),
        environment={**environment, "LLMGATE_CONFIG_DIR": str(folder / "cli")},
        ports=ports,
    )
    (logs / "rabbitmq.log").symlink_to(running.broker.directory / "log")
    (logs / "postgresql.log").symlink_to(running.database.directory / "log")
    return running


async def _start_services(running: Stage, stack: AsyncExitStack) -> UpstreamSettings:
    """The broker, the database and the model, all at once; the model as an upstream."""
    stack.push_async_callback(in_thread, running.database.stop)
    stack.push_async_callback(in_thread, running.broker.stop)
    stack.push_async_callback(running.model.stop)
    async with asyncio.TaskGroup() as tasks:
        model = tasks.create_task(running.model.start())
        tasks.create_task(in_thread(running.broker.start))
        tasks.create_task(in_thread(running.database.start))
    return model.result()


async def _start_daemons(running: Stage, upstream: UpstreamSettings, stack: AsyncExitStack) -> None:
    for number, port in enumerate(running.ports[1:], 1):
        config = running.folder / f"daemon{number}.toml"
        values = {
            "port": port,
            "state": running.folder / f"daemon{number}",
            "secret": running.folder / "secret.key",
            "database": running.database.url("llmgate"),
            "broker": running.broker.url(),
            **{f"model_{name}": getattr(upstream, name) for name in ("name", "kind", "url", "slots")},
        }
        config.write_text(_fill("daemon.toml", values), encoding="utf-8")
        config.chmod(0o600)
        command = [sys.executable, "-m", "llmgate", "serve", "--config", str(config)]
        log = running.logs / f"daemon{number}.log"
        running.daemons.append(Child(f"daemon {number}", command, log, running.environment))
    await command_line(running, "init", "--config", str(running.folder / "daemon1.toml"), "--admin", ADMIN)
    stack.push_async_callback(_stop_all, running.daemons)
    for daemon in running.daemons:
        await daemon.start()
    for daemon, port in zip(running.daemons, running.ports[1:], strict=True):
        await daemon.ready(partial(_takes_part, f"http://127.0.0.1:{port}/health/ready"), READY_SECONDS)


async def _stop_all(children: list[Child]) -> None:
    await asyncio.gather(*(child.stop() for child in children))


async def _prepare(running: Stage) -> None:
    """Keys for the crowds, and the login of the command line, all of it by way of nginx."""
    async with AdminClient(running.url) as anonymous:
        tokens = await anonymous.login(ADMIN, running.password)
    async with AdminClient(running.url, FixedToken(tokens.access_token)) as admin:
        for crowd in CROWDS:
            if crowd.address is None:
                made = await admin.keys.create(schemas.KeyCreate(name=crowd.name, level=crowd.level))
                assert isinstance(made, schemas.NewApiKey)  # noqa: S101 - what create answers
                running.keys[crowd.name] = made.key
            else:
                entry = schemas.WhitelistCreate(cidr=crowd.address, label=crowd.name, level=crowd.level)
                await admin.whitelist.create(entry)
    await command_line(running, "login", "--url", running.url, "--name", ADMIN)


async def command_line(running: Stage, *arguments: str) -> None:
    """Run a command that asks for the administrator's password. Raises DemoFailure."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "llmgate", *arguments, "--password-stdin", env=running.environment,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            output, _ = await process.communicate(f"{running.password}\n".encode())
    except TimeoutError:
        raise DemoFailure(f"llmgate {arguments[0]} did not end within {COMMAND_SECONDS:.0f} s.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise DemoFailure(f"llmgate {arguments[0]} failed:\n{output.decode(errors='replace')}")


async def _keep(running: Stage) -> None:
    """Start again what dies."""
    async with asyncio.TaskGroup() as tasks:
        for daemon in running.daemons:
            tasks.create_task(daemon.keep(DAEMON_PAUSE, running.note))
        tasks.create_task(running.nginx.keep(NGINX_PAUSE, running.note))
        tasks.create_task(running.broker.keep(BROKER_PAUSE, running.note))


async def _answers(url: str) -> bool:
    return (await _look(url)) is not None


async def _takes_part(url: str) -> bool:
    """Whether a daemon can serve, together with the others."""
    found = await _look(url)
    return found is not None and found["status"] == "ready" and found["queue"]["state"] == "connected"


async def _look(url: str) -> dict[str, Any] | None:
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
            document: dict[str, Any] = (await http.get(url)).json()
            return document
    except (httpx.HTTPError, ValueError):
        return None


def _fill(name: str, values: Mapping[str, object]) -> str:
    text = (HERE / name).read_text(encoding="utf-8")
    return re.sub(r"@([a-z_]+)@", lambda match: str(values[match[1]]), text)
