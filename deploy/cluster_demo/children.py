"""The processes of the demo: started in sessions of their own, so that Ctrl-C reaches the demo alone."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

STOP_SECONDS = 15.0
LOG_LINES = 15

Result = TypeVar("Result")
Note = Callable[[str], None]


class DemoFailure(Exception):
    """The demo cannot go on; its text is for the user."""


class Child:
    """A server that writes its output to a file, and that can be started again when it has ended."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self._command = command
        self._log = log
        self._environment = environment
        self._process: Process | None = None
        self._ended: asyncio.Task[int] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None  # noqa: S101 - it was started
        return self._process.pid

    async def start(self) -> None:
        descriptor = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=DEVNULL, stdout=descriptor, stderr=STDOUT, env=self._environment,
                start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(descriptor)
        self._ended = asyncio.create_task(_end(self._process))

    async def stop(self) -> None:
        """Kindly, and after a while by force; harmless when it does not run."""
        if self._process is None or self._ended is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self._ended.done():
                with suppress(ProcessLookupError):
                    self._process.send_signal(number)
                await asyncio.wait([self._ended], timeout=STOP_SECONDS)

    async def ready(self, condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Wait until it serves. Raises DemoFailure with the end of its log."""
        assert self._ended is not None  # noqa: S101 - it was started
        try:
            async with asyncio.timeout(seconds):
                while not await condition():
                    if self._ended.done():
                        raise DemoFailure(
                            f"{self.name} ended with status {self._ended.result()}.\n{self._last_lines()}"
                        )
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise DemoFailure(f"{self.name} was not ready within {seconds:.0f} s.\n{self._last_lines()}") from None

    async def keep(self, pause: float, note: Note) -> None:
        """Start it again, some seconds after it has ended, as a service manager would. Runs until cancelled."""
        while True:
            assert self._ended is not None  # noqa: S101 - it was started
            pid, code = self.pid, await asyncio.shield(self._ended)
            note(f"{self.name} (pid {pid}) ended with status {code}")
            await asyncio.sleep(pause)
            await self.start()
            note(f"{self.name} is started again (pid {self.pid})")

    def _last_lines(self) -> str:
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])


async def _end(process: Process) -> int:
    """The status with which it ended. What it had started itself, as nginx has, is ended then."""
    code = await process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return code


async def in_thread(work: Callable[[], Result]) -> Result:
    """Run what blocks, to its end: what it starts can then be stopped."""
    return await uninterrupted(asyncio.to_thread(work))


async def uninterrupted(work: Coroutine[Any, Any, Result]) -> Result:
    """Wait for the end of what was begun. A cancellation comes after that."""
    running, cancelled = asyncio.create_task(work), False
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        if not running.cancelled():
            running.exception()  # nobody waits for it any more
        raise asyncio.CancelledError
    return running.result()
