"""Runs the demo until Ctrl-C, SIGTERM, or for ``DEMO_SECONDS``; see the package."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.cluster_demo import words
from deploy.cluster_demo.children import DemoFailure, uninterrupted
from deploy.cluster_demo.load import Load
from deploy.cluster_demo.stage import Stage, stage
from llmgate.errors import LLMGateError

PIPED_SECONDS = 20.0
"""How long the watch lasts where nobody could end it with Ctrl-C."""
WATCH_STOP_SECONDS = 5.0


@dataclass(slots=True)
class Ending:
    """Whether the end was asked for, and by which signal."""

    number: signal.Signals | None = None
    watched: bool = False
    """Whether there was something to see before."""

    @property
    def code(self) -> int:
        return 0 if self.watched or self.number is None else 128 + self.number


def main() -> int:
    try:
        seconds = _seconds()
        return asyncio.run(_until_told(seconds))
    except DemoFailure as failure:
        words.tell(f"Error: {failure}")
        return 1


def _seconds() -> float | None:
    """How long to watch; None: until Ctrl-C. Raises DemoFailure."""
    text = os.environ.get("DEMO_SECONDS", "")
    if not text:
        return None if sys.stdout.isatty() else PIPED_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise DemoFailure(f"DEMO_SECONDS must be a number of seconds, not {text!r}.")
    return seconds


async def _until_told(seconds: float | None) -> int:
    """Play; the first signal begins the end, which no further one disturbs."""
    ending = Ending()
    playing = asyncio.create_task(_play(seconds, ending))

    def end(number: signal.Signals) -> None:
        if ending.number is None:
            ending.number = number
            playing.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        asyncio.get_running_loop().add_signal_handler(number, end, number)
    await asyncio.wait([playing])
    if playing.cancelled():
        return ending.code
    failure = playing.exception()
    if failure is None:
        return playing.result()
    if ending.number is not None:  # what Ctrl-C did to a program that was just starting something
        return ending.code
    raise _readable(failure)


def _readable(failure: BaseException) -> BaseException:
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    if isinstance(failure, LLMGateError):
        return DemoFailure(failure.text())
    return DemoFailure(str(failure)) if isinstance(failure, RuntimeError) else failure


async def _play(seconds: float | None, ending: Ending) -> int:
    with _folder() as folder:
        running, load = None, None
        try:
            async with stage(folder, words.tell) as running:
                load = Load(running.url, running.model.name, running.keys)
                await _introduce(running, seconds)
                ending.watched = True
                async with _loaded(load):
                    return await _watch(running, seconds)
        finally:
            if running is not None and load is not None:
                result = words.outcome(running, load)
                words.tell("\n" + words.report(result))
                if not sys.stdout.isatty():
                    words.print_json({"demo_ended": result})


@contextmanager
def _folder() -> Iterator[Path]:
    """A directory for everything, also for what the services of the tests make."""
    folder = Path(tempfile.mkdtemp(prefix="llmgate-cluster-"))
    folder.chmod(0o711)  # run by root, the servers have accounts of their own, and their directories inside
    tempfile.tempdir = str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = None
        shutil.rmtree(folder, ignore_errors=True)
        words.tell(f"Everything is stopped, and {folder} is gone.")


async def _introduce(running: Stage, seconds: float | None) -> None:
    text = words.introduction(running)
    descriptor = os.open(running.folder / "README", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    words.tell(text)
    if not sys.stdout.isatty():
        words.print_json({"demo": words.facts(running)})
    elif seconds is None and sys.stdin.isatty():
        words.tell("Press Enter to watch the line; Ctrl-C ends everything.")
        await _line()


async def _line() -> None:
    """Until a line was typed."""
    loop, typed = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, typed.set)
    try:
        await typed.wait()
        sys.stdin.readline()
    finally:
        loop.remove_reader(sys.stdin)


@asynccontextmanager
async def _loaded(load: Load) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(load.run())
        yield
        asking.cancel()


async def _watch(running: Stage, seconds: float | None) -> int:
    """Show `llmgate queue watch`. Returns its status, 0 where this ended it."""
    is_terminal = sys.stdout.isatty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "llmgate", "queue", "watch", env=running.environment,
        stdin=None if is_terminal else DEVNULL,
        start_new_session=not is_terminal,  # else it could not draw, nor would Ctrl-C reach it
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds):
            return await process.wait()
    except TimeoutError:
        return 0
    finally:
        # In a terminal SIGTERM restores what was there; elsewhere SIGINT lets a line come to its end.
        await uninterrupted(_end(process, signal.SIGTERM if is_terminal else signal.SIGINT))


async def _end(process: Process, number: signal.Signals) -> None:
    for each in (number, signal.SIGKILL):
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(each)
            await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=WATCH_STOP_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
