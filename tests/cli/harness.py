"""Runs commands: in a thread of the test, or as a process of its own, also on a pseudo terminal."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import pty
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from llmgate.cli.main import run

COMMAND = (sys.executable, "-c", "from llmgate.cli.main import run; run()")


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The error that ``-o json`` prints."""
        error: dict[str, Any] = json.loads(self.err.splitlines()[-1])["error"]
        return error

    def ok(self) -> Result:
        assert self.code == 0, self.err
        return self


def invoke(arguments: tuple[str, ...], stdin: str) -> Result:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    streams = (contextlib.redirect_stdout(out), contextlib.redirect_stderr(err))
    with mock.patch.object(sys, "stdin", io.StringIO(stdin)), streams[0], streams[1]:
        try:
            run(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
    return Result(code, out.getvalue(), err.getvalue())


async def llmgate(*arguments: str, stdin: str = "") -> Result:
    """Run a command in a thread, so that the gateway of this test can answer it."""
    return await asyncio.to_thread(invoke, arguments, stdin)


class OnTerminal:
    """A command on a pseudo terminal; ``side`` is our end of it, ``shown`` all that it has printed there."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: int) -> None:
        self.process = process
        self.shown = ""
        self.side = terminal
        self._changed = asyncio.Event()

    def read(self) -> None:
        try:
            data = os.read(self.side, 65_536)
        except OSError:  # the other side is closed
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self.side)
        self.shown += data.decode("utf-8", "replace")
        self._changed.set()

    async def shows(self, text: str) -> None:
        async with asyncio.timeout(15):
            while text not in self.shown:
                await self.more()

    async def more(self) -> None:
        """Wait until it prints something again."""
        self._changed.clear()
        await self._changed.wait()

    def type(self, text: str) -> None:
        os.write(self.side, text.encode())

    async def ended(self) -> int:
        async with asyncio.timeout(15):
            return await self.process.wait()


@asynccontextmanager
async def on_terminal(
    *arguments: str, directory: Path, command: tuple[str, ...] = COMMAND
) -> AsyncIterator[OnTerminal]:
    terminal, inside = pty.openpty()
    attributes = termios.tcgetattr(inside)
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(inside, termios.TCSANOW, attributes)
    environ = {**os.environ, "LLMGATE_CONFIG_DIR": str(directory), "TERM": "xterm"}
    process = await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env=environ,
        start_new_session=True,
        preexec_fn=lambda: own_terminal(inside),
    )
    os.close(inside)
    running = OnTerminal(process, terminal)
    loop = asyncio.get_running_loop()
    loop.add_reader(terminal, running.read)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        loop.remove_reader(terminal)
        os.close(terminal)


def own_terminal(terminal: int) -> None:
    """Make the terminal the process's controlling one: Ctrl-C is then a signal."""
    import fcntl  # noqa: PLC0415  runs between fork and exec

    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
