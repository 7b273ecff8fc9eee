"""`make cluster-demo` without a terminal: a whole cluster behind nginx, and nothing of it afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.harness import eventually
from tests.system.processes import environment

pytestmark = [pytest.mark.slow, pytest.mark.long]
ROOT = Path(__file__).parents[2]
START_SECONDS = 180
STOP_SECONDS = 60
MARK = "DEMO_TEST_MARK"


@asynccontextmanager
async def demo(home: Path, seconds: int) -> AsyncIterator[Process]:
    """The demo as a process; its children inherit the mark in its environment."""
    marked = environment(home, DEMO_SECONDS=str(seconds), **{MARK: str(home)})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.cluster_demo", stdout=PIPE, stderr=PIPE, env=marked, cwd=ROOT
    )
    assert process.stderr is not None
    said = asyncio.create_task(process.stderr.read())
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
            print((await said).decode())  # noqa: T201 - shown when the test fails


async def next_line(process: Process) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(START_SECONDS):
        line: dict[str, Any] = json.loads(await process.stdout.readline())
    return line


async def rest(process: Process) -> list[dict[str, Any]]:
    """The lines until the demo ends, which it must do with 0."""
    assert process.stdout is not None
    async with asyncio.timeout(START_SECONDS):
        lines = (await process.stdout.read()).splitlines()
        assert await process.wait() == 0
    return [json.loads(line) for line in lines]


async def nothing_is_left(facts: Mapping[str, Any], home: Path) -> None:
    for port in facts["ports"]:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)

    async def gone() -> bool:
        return not running(facts, home)

    await eventually(gone, 5)  # a broker's helpers need a moment to see that it has gone
    assert files(facts, home) == []


def files(facts: Mapping[str, Any], home: Path) -> list[Path]:
    """What the demo has written: in its directory, and at the place of the user's own configuration."""
    directory = Path(facts["directory"])
    return [*directory.rglob("*"), *([directory] if directory.exists() else []), *home.iterdir()]


def running(facts: Mapping[str, Any], home: Path) -> set[int]:
    """The demo's processes, as far as they can be known by their command or environment."""
    traces = (facts["directory"].encode(), f"{MARK}={home}".encode())
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if any(trace in text for trace in traces):
            found.add(int(process.name))
    return found


async def test_several_daemons_answer_by_way_of_nginx_and_nothing_is_left(tmp_path: Path) -> None:
    async with demo(tmp_path, 8) as process:
        facts = (await next_line(process))["demo"]
        assert running(facts, tmp_path) > {facts["nginx"], facts["broker"], *facts["daemons"].values()}
        *seen, last = await rest(process)
    assert seen[-1]["queue"]["state"] == "connected"
    assert {daemon["name"].partition("/")[2] for daemon in seen[-1]["queue"]["daemons"]} == {
        str(pid) for pid in facts["daemons"].values()
    }
    assert seen[-1]["pools"][0]["granted"] > 0
    clients = last["demo_ended"]["clients"]
    assert {name: told["failed"] for name, told in clients.items()} == dict.fromkeys(clients, 0)
    # By key, and without one: nginx told the daemons from which address it was asked.
    assert clients["front-desk"]["answered"] > 0
    assert clients["batch"]["answered"] > 0
    assert sum(count > 0 for count in last["demo_ended"]["served"].values()) > 1
    await nothing_is_left(facts, tmp_path)


async def test_a_killed_dispatcher_is_replaced_and_sigterm_leaves_nothing(tmp_path: Path) -> None:
    async with demo(tmp_path, 120) as process:
        facts = (await next_line(process))["demo"]
        first = (await next_line(process))["pools"][0]["dispatcher"]
        killed = int(first.partition("/")[2])
        assert killed in facts["daemons"].values()
        os.kill(killed, signal.SIGKILL)
        async with asyncio.timeout(60):
            while (await next_line(process)).get("pools", [{"dispatcher": ""}])[0]["dispatcher"] in ("", first):
                pass
        process.terminate()
        last = (await rest(process))[-1]
    assert "demo_ended" in last
    await nothing_is_left(facts, tmp_path)
