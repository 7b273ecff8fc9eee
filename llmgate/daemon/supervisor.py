"""Background tasks that are never lost sight of."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

STOP_SECONDS = 10.0
LAST_SECONDS = 1.0


class Supervisor:
    """Runs the daemon's background tasks. One that ends before ``stop`` is a failure: it is logged by
    name and stays in ``failed``, so that the daemon is not ready any more."""

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self._log = structlog.get_logger("llmgate.supervisor")

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._stopping:
            return
        failure = None if task.cancelled() else task.exception()
        name = task.get_name()
        self.failed[name] = repr(failure) if failure else "it ended"
        self._log.critical("background_task_died", task=name, exc_info=failure, error=self.failed[name])

    async def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Cancel everything and wait for it. What has not ended by then is told of, cancelled again, and left."""
        self._stopping = True
        pending = set(self._tasks.values())
        for timeout in (seconds, LAST_SECONDS):
            for task in pending:
                task.cancel()
            if pending:
                _, pending = await asyncio.wait(pending, timeout=timeout)
            for task in pending:
                where = [str(frame) for frame in task.get_stack()]
                self._log.error("background_task_hangs", task=task.get_name(), where=where)
