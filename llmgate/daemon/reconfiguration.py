"""Changes of the settings while the daemon runs: by an administrator, in the database; by an operator, in the file.

What is in the database holds for all daemons that share it. Each change makes the *settings version* there greater.
Who made it tells the others through the queue's control plane; and every daemon looks itself every two seconds, for
whoever could not be told. The file is each daemon's own, and read again only when it is asked to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from llmgate.config import LoadedSettings, Settings
from llmgate.config_keys import changed, keys
from llmgate.daemon.changes import Changes
from llmgate.daemon.live import LiveSettings
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.daemon.store import settings as stored
from llmgate.daemon.store.activity import Actor
from llmgate.daemon.store.database import Database
from llmgate.errors import LLMGateError, StoreUnavailable

POLL_SECONDS = 2.0
TOPIC = "settings"
SIGNAL = Actor("local", "signal", "SIGHUP")

Judge = Callable[[Settings, Settings], None]
"""Looks at the settings before and after, and raises what speaks against the change."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of reading the file again. ``changed``: key → value before and after, as JSON has them."""

    path: Path | None
    changed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    needs_restart: list[str] = field(default_factory=list)
    has_sources: bool = True


class Reconfiguration:
    """See the module. ``settle`` acts on settings, and on upstreams of the database, that may have changed."""

    def __init__(
        self,
        live: LiveSettings,
        version: int,
        database: Database,
        changes: Changes,
        queue: QueueManagerInterface,
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        self.version = version
        """That of the database, as far as it is known here."""
        self.to_siblings: Callable[[], None] = lambda: None
        """Lets the other workers of this machine, which work by the same file, read it as well."""
        self._live = live
        self._database = database
        self._changes = changes
        self._queue = queue
        self._settle = settle
        self._is_settled = True
        self._turn = asyncio.Lock()
        self._look = asyncio.Event()
        self._log = structlog.get_logger("llmgate.settings")
        queue.listen(TOPIC, self._heard)

    def _heard(self, boot: str, version: Any) -> None:
        if int(version) > self.version:
            self._look.set()

    async def run(self) -> None:
        """Look for what others have changed, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._look.wait()
            except TimeoutError:
                pass
            self._look.clear()
            try:
                await self.look()
            except StoreUnavailable:
                continue  # what holds goes on to hold
            except Exception:  # one that cannot be taken over must not keep later ones from it
                self._log.exception("settings_not_taken_over", version=self.version)

    async def look(self) -> None:
        """Take over what the database says, if that is not known here."""
        async with self._turn:
            async with self._database.read() as tx:
                version = await stored.version(tx)
                if version == self.version and self._is_settled:
                    return
                overrides = await stored.all(tx)
            await self._take_over(version, overrides)

    async def spread(self) -> None:
        """Something was changed here with which the version grows: act on it, and tell the others."""
        await self.look()
        self._queue.tell(TOPIC, self.version)

    async def made(self, version: int, overrides: Mapping[str, Any]) -> None:
        """These settings were changed here, and the database has this version now: like ``spread``."""
        self._queue.tell(TOPIC, version)
        async with self._turn:
            if version > self.version:
                with suppress(StoreUnavailable):  # it is written: ``run`` acts on it when the database is back
                    await self._take_over(version, overrides)

    async def _take_over(self, version: int, overrides: Mapping[str, Any]) -> None:
        self.version, self._is_settled = version, False
        self._live.use(self._live.usable(overrides))
        await self._settle()
        self._is_settled = True
        self._log.info("settings_taken_over", version=version)

    # -- the file ----------------------------------------------------------------------------

    async def reload(self, actor: Actor, judge: Judge = lambda before, after: None) -> Reloaded:
        """Read file and environment again, and take over all of it that can be changed at run time, or nothing.

        Raises ConfigError when they are not usable, what ``judge`` raises, or StoreUnavailable.
        """
        reread = self._live.loaded.reread
        if reread is None:
            return Reloaded(None, has_sources=False)
        async with self._turn:
            loaded, needs_restart = merged(self._live.loaded, await asyncio.to_thread(reread))
            before, after = self._live.settings, self._live.composed(self._live.overrides, loaded)
            judge(before, after)
            differences = differing(before, after)
            async with self._changes.begin(actor) as change:
                change.note(
                    "settings.reload",
                    "file",
                    str(loaded.path or ""),
                    changed={key: list(pair) for key, pair in differences.items()},
                    needs_restart=needs_restart,
                )
            self._is_settled = False
            self._live.use(self._live.overrides, loaded)
            with suppress(StoreUnavailable):  # as in ``made``
                await self._settle()
                self._is_settled = True
        return Reloaded(loaded.path, differences, needs_restart)

    async def hang_up(self) -> None:
        """SIGHUP has come: reload, and write in the log what came of it."""
        try:
            found = await self.reload(SIGNAL)
        except LLMGateError as failure:
            self._log.error("settings_not_reloaded", reason=failure.text())
            return
        except Exception:  # nobody waits for the answer: the log is where it is looked for
            self._log.exception("settings_not_reloaded")
            return
        if found.has_sources:
            self._log.info(
                "settings_reloaded",
                file=str(found.path or ""),
                changed=list(found.changed),
                needs_restart=found.needs_restart,
            )
        else:
            self._log.info("settings_not_reloaded", reason="This daemon was started without a configuration to read.")


async def learn(database: Database, live: LiveSettings) -> int:
    """Before anything else is made of them: what the database says. Returns its settings version."""
    async with database.read() as tx:
        version, overrides = await stored.version(tx), await stored.all(tx)
    live.use(live.usable(overrides))
    return version


def merged(running: LoadedSettings, fresh: LoadedSettings) -> tuple[LoadedSettings, list[str]]:
    """``fresh``, but with what cannot be changed at run time as it is; and the keys of those that differ."""
    fixed = [key for key in keys().values() if not key.run_time]
    needs_restart = [key.name for key in fixed if key.raw(fresh.settings) != key.raw(running.settings)]
    settings = changed(fresh.settings, {key.name: key.raw(running.settings) for key in fixed})
    origins = dict(fresh.origins)
    for key in fixed:
        if key.name in running.origins:
            origins[key.name] = running.origins[key.name]
        else:
            origins.pop(key.name, None)
    return replace(fresh, settings=settings, origins=origins), needs_restart


def differing(before: Settings, after: Settings) -> dict[str, tuple[Any, Any]]:
    """Key → value in one and in the other, of those that differ. Of upstreams only the names are told."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in keys().values():
        if key.raw(before) != key.raw(after):
            found[key.name] = (key.of(before), key.of(after))
    if before.upstreams != after.upstreams:
        names = [[upstream.name for upstream in one.upstreams] for one in (before, after)]
        found["upstreams"] = (names[0], names[1])
    return found
