"""The pulls that were begun in this dashboard. They run on while something else is looked at, even another daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from textual.worker import Worker

from llmgate import schemas
from llmgate.errors import Conflict, LLMGateError
from llmgate.tui.errors import told, understood
from llmgate.tui.progress import Pull
from llmgate.tui.twin import shown_twin

if TYPE_CHECKING:  # the application knows its pulls
    from llmgate.tui.app import Dashboard

REFUSAL_SECONDS = 2.0
"""A daemon that will not do it says so sooner; an upstream may be silent for long."""
KEPT = 50
"""Pulls that have ended and are shown still."""


class Pulls:
    """Each has a connection of its own: it does not end when the dashboard goes to another daemon, or logs in anew."""

    def __init__(self, app: Dashboard) -> None:
        self._app = app
        self._pulls: list[Pull] = []
        self._workers: dict[Pull, Worker[None]] = {}
        self.asking = False
        """The daemon is being asked where it can be pulled: there is a form soon, and one is enough."""

    @property
    def all(self) -> Sequence[Pull]:
        """Those that run and those that ran last, the latest first."""
        return self._pulls

    @property
    def running(self) -> list[Pull]:
        return [pull for pull in self._pulls if pull.running]

    @property
    def clock(self) -> Callable[[], float]:
        """The one that rates are measured on."""
        return self._app.clock

    async def begin(self, body: schemas.ModelPull) -> Pull:
        """Begin one at the daemon that is shown. Raises what that daemon refuses it for, and Conflict while the same
        model is being pulled there."""
        at = self._app.link.client.url
        if any(pull.at == at and _same(pull.model, body.model) for pull in self.running):
            raise Conflict(f"{body.model} is being pulled already.")
        pull = Pull(body, at, self._app.wall())
        self._pulls.insert(0, pull)
        self._workers[pull] = self._app.run_worker(self._run(pull), group="pulls")
        try:
            async with asyncio.timeout(REFUSAL_SECONDS):
                await pull.answered.wait()
        except TimeoutError:
            pass  # it runs, silently
        if pull.failure is not None and not pull.shares:
            self._pulls.remove(pull)
            raise pull.failure
        pull.stood = True
        if not pull.running:
            self._tell(pull)
        return pull

    def stop(self, pull: Pull) -> None:
        """Hang up: the daemon ends it then."""
        if pull.running:
            pull.stopped = True
            self._workers[pull].cancel()

    async def _run(self, pull: Pull) -> None:
        try:
            async with self._app.another_client() as client, aclosing(client.models.pull(pull.body)) as events:
                async for event in events:
                    with understood():
                        pull.take(event, self._app.clock())
                    pull.answered.set()
        except LLMGateError as failure:
            pull.failure = failure
        finally:
            pull.running = False
            pull.answered.set()
            del self._workers[pull]
            self._trim()
            if pull.stood and self._app.is_running:
                self._tell(pull)

    def _tell(self, pull: Pull) -> None:
        """Say, once, how it ended."""
        if pull.stopped:
            words = f"The pull of {pull.model} is stopped. Pulled again, it goes on where it was."
        elif pull.failed:
            reasons = [*pull.failures, *([told(pull.failure)] if pull.failure else [])]
            there = [share.upstream for share in pull.shares.values() if share.done and not share.error]
            words = f"{pull.model} could not be pulled. {'; '.join(reasons).rstrip('.')}."
            words += f" It is on {', '.join(there)}." if there else ""
        else:
            words = f"Pulled {pull.model} onto {', '.join(pull.shares)}."
        command = "" if pull.failed else shown_twin(self._app, pull.twin, pull.at)
        self._app.desk.say(words, command, error=pull.failed and not pull.stopped)
        if self._app.frozen_for is None:  # nobody has pressed a key for it just now
            self._app.changed()

    def _trim(self) -> None:
        ended = [pull for pull in self._pulls if not pull.running]
        for pull in ended[KEPT:]:
            self._pulls.remove(pull)


def _same(one: str, other: str) -> bool:
    """Whether two names are of one model: without a tag it is the latest."""
    return _whole(one) == _whole(other)


def _whole(name: str) -> str:
    last = name.rpartition("/")[2]
    return (name if ":" in last else f"{name}:latest").casefold()
