"""What was changed through another daemon must be known here as well, within 5 seconds.

Who changes something tells the other daemons through the queue's control plane. And every daemon looks itself every two
seconds, into the activity log, where each change stands: for what nobody could tell it, because there is no broker, or
because the daemon that made the change did not live to tell of it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.ip_whitelist import Whitelist
from llmgate.daemon.store import activity
from llmgate.daemon.store.database import Database
from llmgate.errors import StoreUnavailable

POLL_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 1.0
_NOUNS: Final = frozenset({"key", "user", "session", "whitelist"})
_TAKES_NOTHING: Final = frozenset({"key.create", "user.create", "user.register", "user.setup", "session.login"})
"""What takes nothing away from anybody."""


class Relearning:
    """Reads anew who may do what, whenever that was changed elsewhere."""

    def __init__(self, database: Database, whitelist: Whitelist, authenticator: Authenticator) -> None:
        self._database = database
        self._whitelist = whitelist
        self._authenticator = authenticator
        self._told = asyncio.Event()
        self._seen: int | None = None
        """The last entry of the activity log that is taken into account."""
        self._log = structlog.get_logger("llmgate.revocation")

    def note(self) -> None:
        """Another daemon says that something was changed."""
        # At once, also when the database is away: then nobody is served here who may be the one that was revoked.
        self._authenticator.invalidate()
        self._told.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._told.wait()
            try:
                await self.look()
            except StoreUnavailable:
                if self._told.is_set():
                    self._log.warning("whitelist_not_reloaded")
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:  # one look that fails must not be the last
                self._log.exception("rights_not_read_anew")
                await asyncio.sleep(RETRY_SECONDS)

    async def look(self) -> None:
        """Take over what was changed since the last time. Raises StoreUnavailable; then nothing is taken for seen."""
        told = self._told.is_set()
        self._told.clear()
        try:
            async with self._database.read() as tx:
                newest = await activity.newest(tx)
                if not told and newest == self._seen:
                    return
                # Lower than before: a backup was restored, or everything was pruned.
                lost = self._seen is None or newest < self._seen
                done = set() if lost or told else await activity.actions(tx, after=self._seen or 0)
                is_concerned = lost or told or any(map(takes_something, done))
                if is_concerned:
                    await self._whitelist.reload(tx)
        except BaseException:
            if told:
                self._told.set()
            raise
        self._seen = newest
        if is_concerned:
            self._authenticator.invalidate()


def takes_something(action: str) -> bool:
    """Whether somebody may have less rights after such an entry of the activity log (``key.revoke``)."""
    return action.partition(".")[0] in _NOUNS and action not in _TAKES_NOTHING
