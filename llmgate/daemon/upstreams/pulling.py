"""A model being loaded onto several upstreams at once, and the notes of it in the activity log."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import structlog

from llmgate.daemon.changes import Changes
from llmgate.daemon.store.activity import Actor
from llmgate.daemon.upstreams.pool import Member
from llmgate.errors import LLMGateError, StoreUnavailable

AT_ONCE = 4
"""Upstreams onto which one pull loads at the same time."""
EVENTS_KEPT = 256
"""Events that wait for somebody to take them; further ones are dropped, but for those that end something."""
BEAT_SECONDS = 15.0
"""While nothing happens, the last event is told again so often: proxies cut a connection that is silent."""
RECORD_SECONDS = 10.0
"""Longest wait for a result to be written down."""


@dataclass(frozen=True, slots=True)
class PullEvent:
    """Something that happened on one upstream; see ``schemas.PullEvent``."""

    upstream: str
    status: str = ""
    digest: str | None = None
    total: int | None = None
    completed: int | None = None
    done: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What the activity log is told of one change of a model: before it, and its result after."""

    changes: Changes
    actor: Actor
    action: str
    model: str
    detail: Mapping[str, Any]

    async def begun(self) -> None:
        """Raises StoreUnavailable: then it must not be done."""
        async with self.changes.begin(self.actor) as change:
            change.note(self.action, self.model, self.model, **self.detail, state="begun")

    async def ended(self, failures: Mapping[str, str], state: str | None = None) -> None:
        """``failures`` are the reasons, by upstream. What was done is done: that it cannot be noted is logged."""
        state = state or ("failed" if failures else "completed")
        detail = {**self.detail, "failures": dict(failures)} if failures else self.detail
        try:
            async with asyncio.timeout(RECORD_SECONDS), self.changes.begin(self.actor) as change:
                change.note(self.action, self.model, self.model, **detail, state=state)
        except (StoreUnavailable, TimeoutError):
            log = structlog.get_logger("llmgate.models")
            log.error("result_not_recorded", action=self.action, model=self.model, state=state)


class Pull:
    """See the module. It runs on its own from ``start`` on; ``refresh`` asks upstreams by name for their models anew,
    ``ended`` hears of its end."""

    def __init__(
        self,
        model: str,
        members: Sequence[Member],
        record: Record,
        refresh: Callable[[Sequence[str]], Awaitable[None]],
        ended: Callable[[Pull], None],
    ) -> None:
        self.model = model
        self.upstreams = [member.settings.name for member in members]
        self._members = members
        self._record = record
        self._refresh = refresh
        self._on_end = ended
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._events: deque[PullEvent] = deque()
        self._failures: dict[str, str] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._refusal: LLMGateError | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"pull {self.model}")
        self._task.add_done_callback(self._finished)

    def cancel(self) -> None:
        """End it; harmless when it has ended. A second time would end the writing down of its result."""
        if self._task is not None and not self._task.cancelling():
            self._task.cancel()

    def end(self, refusal: LLMGateError) -> None:
        """End it, and tell why, of each upstream that has not come to its end."""
        self._refusal = refusal
        self._changed.set()
        self.cancel()

    async def ended(self) -> None:
        """Wait until it has ended, and its result is written down."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def events(self) -> AsyncIterator[PullEvent]:
        """What happens, until all have ended; an event that is told again is the same object. To be iterated once."""
        latest: dict[str, PullEvent] = {}
        while True:
            self._changed.clear()
            while self._events:
                event = self._events.popleft()
                latest[event.upstream] = event
                yield event
            if self._refusal is not None:  # its result may still be on its way into the activity log
                for name in [name for name in self.upstreams if name not in latest or not latest[name].done]:
                    yield PullEvent(name, status="failed", done=True, error=self._refusal.text())
                return
            if self._task is None or self._task.done():
                return
            try:
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                for event in [event for event in latest.values() if not event.done][:1]:
                    yield event

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._changed.set()
        self._on_end(self)
        if not task.cancelled() and (defect := task.exception()) is not None:
            structlog.get_logger("llmgate.models").error("pull_broke", model=self.model, exc_info=defect)

    async def _run(self) -> None:
        state: str | None = "failed"
        try:
            async with asyncio.TaskGroup() as group:  # should one break, none goes on without anybody
                for member in self._members:
                    group.create_task(self._onto(member))
            state = None  # as the failures say
        except asyncio.CancelledError:
            state = "cancelled"
        finally:
            await self._record.ended(self._failures, state)

    async def _onto(self, member: Member) -> None:
        name = member.settings.name
        error: str | None = None
        async with self._slots:
            try:
                with member.in_use():
                    async with aclosing(member.upstream.pull(self.model)) as progress:
                        async for told in progress:
                            self._tell(_event(name, told))
            except LLMGateError as failure:
                error = self._failures[name] = failure.text()
            else:
                await self._refresh([name])
        self._tell(PullEvent(name, status="failed" if error else "success", done=True, error=error))

    def _tell(self, event: PullEvent) -> None:
        if event.done or len(self._events) < EVENTS_KEPT:
            self._events.append(event)
            self._changed.set()


def _event(upstream: str, told: Mapping[str, Any]) -> PullEvent:
    status, digest = told.get("status"), told.get("digest")
    return PullEvent(
        upstream,
        status=status[:200] if isinstance(status, str) else "",
        digest=digest[:200] if isinstance(digest, str) else None,
        total=_bytes(told.get("total")),
        completed=_bytes(told.get("completed")),
    )


def _bytes(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
