"""Commands that run on while a test looks at what they print."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system.processes import START_SECONDS, environment

PASSWORD = "correct-horse-battery"
PROGRAMS = str(Path(__file__).with_name("worker_programs.py"))


class Lines:
    """What processes print on one stream, until the last of them has ended."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self.seen: list[str] = []
        self._stream = stream
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for line in self._stream:
            self.seen.append(line.decode().rstrip("\n"))
            self._changed.set()

    def matching(self, pattern: str) -> list[str]:
        """Of each line that has it, the group of the pattern, or what it matched."""
        found = [re.search(pattern, line) for line in self.seen]
        return [match[match.re.groups] for match in found if match]

    async def have(self, pattern: str, count: int = 1) -> list[str]:
        """Wait until so many lines match."""
        async with asyncio.timeout(START_SECONDS):
            while len(found := self.matching(pattern)) < count:
                self._changed.clear()
                await self._changed.wait()
        return found

    async def end(self) -> None:
        async with asyncio.timeout(START_SECONDS):
            await self._reading


@dataclass(slots=True)
class Command:
    """A parent that runs, and what it and its workers print."""

    process: Process
    out: Lines
    err: Lines

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """The exit code, when the parent and all its workers have ended."""
        async with asyncio.timeout(START_SECONDS):
            code = await self.process.wait()
        await self.out.end()
        await self.err.end()
        return code

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.err.seen if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    async def pids(self, count: int) -> dict[int, int]:
        """The process of each worker, when so many lines have said that one is ready."""
        await self.err.have("worker_ready", count)
        return {line["worker"]: line["pid"] for line in self.logged("worker_ready")}


@asynccontextmanager
async def running(*arguments: str, home: Path) -> AsyncIterator[Command]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, PROGRAMS, *arguments,
        stdout=PIPE, stderr=PIPE, env=environment(home), cwd=home, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    command = Command(process, Lines(process.stdout), Lines(process.stderr))
    try:
        yield command
    finally:
        if process.returncode is None:
            process.terminate()
        await command.ended()


def configured(home: Path, upstream: str = "http://127.0.0.1:9") -> Path:
    config = home / "llmgate.toml"
    config.write_text(
        f'[server]\nport = 0\n[state]\ndir = "{home / "state"}"\n[[upstreams]]\nname = "fake"\nurl = "{upstream}"\n',
        encoding="utf-8",
    )
    return config


@asynccontextmanager
async def daemons(home: Path, upstream: str = "http://127.0.0.1:9") -> AsyncIterator[tuple[Command, str, str]]:
    """The command with two real workers: it, its URL, its setup token."""
    config = configured(home, upstream)
    async with running("llmgate", "serve", "--config", str(config), "--workers", "2", home=home) as command:
        (url,) = await command.out.have(r"llmgate serves at (\S+) with 2 workers")
        (token,) = await command.out.have(r"setup token: (\w+)")
        yield command, url, token
