"""What was changed through another daemon must be known here as well."""

from __future__ import annotations

import asyncio

import structlog

from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.ip_whitelist import Whitelist
from llmgate.daemon.store.database import Database
from llmgate.errors import StoreUnavailable

RETRY_SECONDS = 1.0


class Relearning:
    """Reads anew who may do what, whenever another daemon says that it was changed."""

    def __init__(self, database: Database, whitelist: Whitelist, authenticator: Authenticator) -> None:
        self._database = database
        self._whitelist = whitelist
        self._authenticator = authenticator
        self._told = asyncio.Event()
        self._log = structlog.get_logger("llmgate.revocation")

    def note(self) -> None:
        """Something was changed elsewhere."""
        self._told.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await self._told.wait()
            self._told.clear()
            self._authenticator.invalidate()
            try:
                async with self._database.read() as tx:
                    await self._whitelist.reload(tx)
            except StoreUnavailable:
                self._log.warning("whitelist_not_reloaded")
                await asyncio.sleep(RETRY_SECONDS)
                self._told.set()
            else:
                self._authenticator.invalidate()
