"""What a check is given and what it returns."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from llmgate.config import LoadedSettings, Settings, UpstreamSettings
from llmgate.daemon.operations.checks.stored import Stored, read_stored
from llmgate.errors import LLMGateError

Result = TypeVar("Result")


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    """It works, but an operator should know."""
    FAIL = "fail"
    SKIP = "skip"
    """There was nothing to examine."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found. ``fix`` is a command or a sentence, for everything that is not ok."""

    id: str
    status: Status
    found: str
    fix: str = ""


@dataclass(slots=True)
class Case:
    """The installation that is examined."""

    loaded: LoadedSettings
    url: str | None = None
    _stored: asyncio.Task[Stored] | None = field(default=None, repr=False)

    @property
    def settings(self) -> Settings:
        """What file and environment say."""
        return self.loaded.settings

    async def stored(self) -> Stored:
        """What the database says; it is read once. Raises what is wrong with it."""
        if self._stored is None:
            self._stored = asyncio.create_task(read_stored(self.loaded))
        return await asyncio.shield(self._stored)

    async def effective(self) -> Settings:
        """The settings as a daemon would have them; without a database those of the file."""
        try:
            return (await self.stored()).settings
        except LLMGateError:
            return self.settings

    async def upstreams(self) -> Sequence[UpstreamSettings]:
        """The upstreams as a daemon would have them; without a database those of the file."""
        try:
            return (await self.stored()).upstreams
        except LLMGateError:
            return self.settings.upstreams


Check = Callable[[Case], Awaitable[Sequence[Finding]]]


def failed(check: str, failure: LLMGateError, fix: str = "") -> Finding:
    """A finding that is one of our errors."""
    return Finding(check, Status.FAIL, failure.message, failure.hint or fix)


def crashed(check: str, failure: Exception) -> Finding:
    """A check that broke. One of our errors was only not foreseen there."""
    if isinstance(failure, LLMGateError):
        return failed(check, failure, "See the message.")
    what = f"The check itself broke: {type(failure).__name__}: {failure}"
    return Finding(check, Status.FAIL, what, "Please report this as a defect of llmgate.")


async def in_thread(work: Callable[[], Result]) -> Result:
    """Like asyncio.to_thread, but nobody waits for a thread that hangs, in a file system that does not answer say,
    when the program ends."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, failure: BaseException | None) -> None:
        if done.cancelled():
            return
        if failure is not None:
            done.set_exception(failure)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # there is one where nothing failed

    def run() -> None:
        try:
            outcome: tuple[Result | None, BaseException | None] = (work(), None)
        except Exception as failure:  # it is raised where the result is awaited
            outcome = (None, failure)
        try:
            loop.call_soon_threadsafe(settle, *outcome)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    threading.Thread(target=run, daemon=True).start()
    return await done
