"""The `llmgate` command as a user runs it: as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

START_SECONDS = 60


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a fresh user: nothing of the developer's own reaches the command."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LLMGATE_")}
    return {**kept, "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "NO_COLOR": "1", **more}


async def run(
    *arguments: str, home: Path, stdin: str = "", python: str = sys.executable, **env: str
) -> tuple[int, str, str]:
    """Run a command to its end: exit code, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        python,
        "-m",
        "llmgate",
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=environment(home, **env),
        cwd=home,
    )
    async with asyncio.timeout(START_SECONDS):
        out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def serving(*arguments: str, home: Path, python: str = sys.executable, **env: str) -> AsyncIterator[Process]:
    """`llmgate serve` for the time of the block; ended by SIGTERM, which must give exit code 0."""
    process = await asyncio.create_subprocess_exec(
        python, "-m", "llmgate", "serve", *arguments, stdout=PIPE, stderr=PIPE, env=environment(home, **env), cwd=home
    )
    assert process.stderr is not None
    log = asyncio.create_task(process.stderr.read())
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(START_SECONDS):
            code = await process.wait()
            text = (await log).decode()
    assert code == 0, text
    assert "Traceback" not in text, text


async def first_line(process: Process) -> str:
    """The first line that a command prints."""
    assert process.stdout is not None
    async with asyncio.timeout(START_SECONDS):
        return (await process.stdout.readline()).decode()


async def demo_facts(process: Process) -> Mapping[str, Any]:
    facts = json.loads(await first_line(process))
    assert isinstance(facts, dict)
    return facts
