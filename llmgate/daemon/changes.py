"""Changes that administrators and users make: each in one transaction with its entry in the activity log."""

from __future__ import annotations

import asyncio
import os
import pwd
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.events import EventBus
from llmgate.daemon.store import activity
from llmgate.daemon.store.activity import Actor, Note
from llmgate.daemon.store.database import Database
from llmgate.errors import StoreUnavailable

_VOLATILE = {"updated_at", "last_used_at", "last_login_at"}


class Change:
    """One change that is being made in the transaction ``tx``."""

    def __init__(self, tx: AsyncConnection) -> None:
        self.tx = tx
        self.notes: list[Note] = []

    def note(self, action: str, target_id: str, target_name: str = "", **detail: Any) -> None:
        """Say what is done, like ``key.create``. ``detail`` must not hold a secret."""
        self.notes.append(Note(action, target_id, target_name, detail))


class Changes:
    """Begins changes. ``key`` is the server's key of the activity log."""

    def __init__(self, database: Database, key: bytes, bus: EventBus) -> None:
        self.written: tuple[int, str] | None = None
        """Number and hash of the last entry that this daemon has written. Where that entry was gone when the next one
        was written, it stays: else the next change would hide that the end of the log was cut off."""
        self._database = database
        self._key = key
        self._bus = bus
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def begin(self, actor: Actor) -> AsyncIterator[Change]:
        """A transaction whose notes are written with it, or with it undone. One after the other in all daemons, so
        that what is read inside stays as it is.

        Raises RuntimeError when nothing was noted: a change that nobody can see afterwards is a defect. To change
        nothing after all, raise.
        """
        # Whoever waits for the chain holds a connection: one of them is enough, the others are for everybody else.
        await self._take_turn()
        try:
            async with self._database.begin() as tx:
                await activity.lock(tx)
                change = Change(tx)
                yield change
                if not change.notes:
                    raise RuntimeError("a change without a note for the activity log")
                lost = self.written is not None and not await activity.holds(tx, *self.written)
                entries = await activity.append(tx, self._key, actor, change.notes)
            if not lost:
                self.written = entries[-1].seq, entries[-1].hash
            for entry in entries:
                self._bus.publish(entry)
        finally:
            self._turn.release()

    async def _take_turn(self) -> None:
        try:
            async with asyncio.timeout(self._database.timeout):
                await self._turn.acquire()
        except TimeoutError:
            raise StoreUnavailable(retry_after=1) from None


def local_actor() -> Actor:
    """Who runs a command on the daemon's own machine: nobody has asked for a credential there."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may run as a number that has no name
        name = str(uid)
    return Actor("local", f"uid:{uid}", name)


def difference(before: Any, after: Any) -> dict[str, list[Any]]:
    """The fields in which two rows (dataclasses) of the same thing differ: name → [before, after]."""
    pairs = {field.name: [getattr(before, field.name), getattr(after, field.name)] for field in fields(before)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1] and name not in _VOLATILE}
