"""A gateway whose upstream is hostile, a browser, and visitors in whose tabs nothing gets through unnoticed."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from playwright.async_api import BrowserContext

from tests.browser.harness import Tab, chromium, resident
from tests.browser.hostile.corpus import CALL, CORPUS, HOST
from tests.browser.hostile.trap import Trap, Witness, set_up, witness
from tests.browser.stage import Stage, log_in, open_stage
from tests.fakes import FakeOllama, Script, Seen
from tests.fakes.dialects import Answer

TABS: Final = 3
"""How many conversations go on at the same time."""
INTERVAL: Final = 0.004
"""Seconds between the pieces of an answer, so that the page draws it while it comes."""
PICTURE: Final = f"<img src=https://{HOST}/x onerror={CALL}>"
EVIL_MODEL: Final = f'"><svg onload={CALL}>{PICTURE}:latest'
EVIL_CLIENT: Final = f"</p><script>{CALL}</script>{PICTURE}"
_TEXTS: Final = {case.name: case for case in CORPUS}


class HostileOllama(FakeOllama):
    """Whoever asks for a case by its name gets it."""

    def answer(self, seen: Seen, script: Script) -> Answer | None:
        if seen.path == "/api/chat":
            case = _TEXTS.get(str(seen.json["messages"][-1]["content"]))
            script = replace(script, tokens=case.chunks()) if case else script
        return super().answer(seen, script)


@dataclass
class World:
    stage: Stage
    witness: Witness
    profiles: Path

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[BrowserContext]:
        """A browser that finds the witness in the place of all hosts of the corpus."""
        profile = Path(tempfile.mkdtemp(dir=self.profiles))
        async with resident(self.stage.browser, profile, self.witness.argument) as context:
            yield context

    @asynccontextmanager
    async def visitor(self, *tolerated: str) -> AsyncIterator[tuple[Tab, Trap]]:
        """Somebody new, whose tab is watched. In the end nothing may have got through."""
        name = await self.stage.new_user()
        async with self.browser() as context:
            trap = await set_up(context, self.stage.url, self.witness)
            await log_in(context, self.stage.url, name)
            tab = Tab(await context.new_page(), self.stage.url, tolerated=[*tolerated])
            trap.watch(tab.page)
            tab.watch()
            await tab.go()
            await tab.ready()
            yield tab, trap
            trouble = [*trap.sprung(), *tab.trouble]
            assert not trouble, "\n".join(trouble)


@asynccontextmanager
async def open_world(state: Path) -> AsyncIterator[World]:
    fake = HostileOllama(models=("llama3.2:latest", EVIL_MODEL))
    fake.default = Script(interval=INTERVAL)
    async with (
        witness() as seen,
        chromium() as browser,
        open_stage(state, browser, fake=fake, slots=TABS) as stage,
    ):
        profiles = state.parent / "profiles"
        profiles.mkdir()
        yield World(stage, seen, profiles)
