"""Hostile answers on the page, in a real browser: nothing of them runs, and nothing is asked for.

Each comes from the upstream in the pieces of its case, through the gateway, over the page's own socket.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.browser.harness import Tab, chromium, person
from tests.browser.hostile.corpus import CALL, CORPUS, HOST, Case
from tests.browser.hostile.trap import Trap, Witness, set_up, witness
from tests.browser.stage import Stage, log_in, open_stage
from tests.fakes import FakeOllama, Script, Seen
from tests.fakes.dialects import Answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABS: Final = 3
"""How many conversations go on at the same time."""
MOST_TURNS, MOST_CHARACTERS = 24, 60_000
"""Of one conversation."""
INTERVAL: Final = 0.004
"""Seconds between the pieces of an answer, so that the page draws it while it comes."""
TEXTS: Final = {case.name: case for case in CORPUS}


class HostileOllama(FakeOllama):
    """Whoever asks for a case by its name gets it."""

    def answer(self, seen: Seen, script: Script) -> Answer | None:
        said = seen.json.get("messages") or [{}]
        case = TEXTS.get(str(said[-1].get("content")))
        return super().answer(seen, replace(script, tokens=case.chunks()) if case else script)


@dataclass
class World:
    stage: Stage
    witness: Witness

    @asynccontextmanager
    async def visitor(self) -> AsyncIterator[tuple[Tab, Trap]]:
        """Somebody new, whose tab is watched."""
        name = await self.stage.new_user()
        async with person(self.stage.browser) as context:
            trap = await set_up(context, self.stage.url, self.witness)
            await log_in(context, self.stage.url, name)
            tab = Tab(await context.new_page(), self.stage.url)
            trap.watch(tab.page)
            tab.watch()
            await tab.go()
            await tab.ready()
            yield tab, trap
            assert tab.trouble == []
            assert trap.sprung() == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    fake = HostileOllama()
    fake.default = Script(interval=INTERVAL)
    state = tmp_path_factory.mktemp("hostile") / "state"
    async with witness() as seen, chromium(None, seen.argument) as browser:
        async with open_stage(state, browser, fake=fake, slots=TABS) as stage:
            yield World(stage, seen)


def conversations() -> Iterator[list[Case]]:
    """All cases, as they are said in one conversation."""
    said: list[Case] = []
    for case in CORPUS:
        if len(said) == MOST_TURNS or sum(len(one.text) for one in [*said, case]) > MOST_CHARACTERS:
            yield said
            said = []
        said.append(case)
    yield said


ANSWERED = """
(count) => {
  const answers = document.querySelectorAll("article.is-answer");
  return answers.length === count && answers[count - 1].getAttribute("aria-busy") !== "true"
    && document.querySelectorAll("article.is-question").length === count;
}
"""
FAULTS = """
() => [...document.querySelectorAll("article.is-answer, article.is-question")].flatMap((article, at) => {
  const faults = [];
  for (const element of article.querySelectorAll("*")) {
    const math = element.closest(".katex") !== null;
    const icon = element.closest("button > svg") !== null;
    if (/^(script|iframe|object|embed|img|link|style|base|meta|form|video|audio|source|template|frame)$/i.test(element.localName))
      faults.push(`<${element.localName}>`);
    if (element instanceof SVGElement && !math && !icon) faults.push(`<${element.localName}>`);
    for (const { name } of element.attributes) {
      if (/^on|^src|^srcset$|^formaction$|^xlink/i.test(name) || (name === "style" && !math)) faults.push(`${element.localName} ${name}`);
    }
    if (element.localName === "a") {
      const safe = ["http:", "https:", "mailto:"].includes(element.protocol) && element.target === "_blank"
        && element.rel === "noopener noreferrer nofollow";
      if (!safe) faults.push(element.outerHTML.slice(0, 200));
    }
  }
  return faults.map((fault) => `answer ${at}: ${fault}`);
})
"""


async def told(tab: Tab, trap: Trap, cases: Sequence[Case]) -> None:
    """One conversation: each case is asked for and answered."""
    await tab.page.evaluate("location.hash = '#/'")
    await tab.page.wait_for_function("document.querySelectorAll('article').length === 0")
    for number, case in enumerate(cases, 1):
        trap.showing = case.name
        await tab.field.fill(case.name)
        await tab.field.press("Enter")
        await tab.page.wait_for_function(ANSWERED, arg=number)
    trap.showing = f"{cases[0].name} to {cases[-1].name}"
    await trap.settled(tab.page)
    assert await tab.page.evaluate(FAULTS) == []


async def read_again(tab: Tab, trap: Trap, cases: Sequence[Case]) -> None:
    """What was kept of it."""
    trap.showing = f"{cases[0].name} to {cases[-1].name}, read again"
    await tab.page.reload()
    await tab.page.wait_for_function(ANSWERED, arg=len(cases))
    await trap.settled(tab.page)
    assert await tab.page.evaluate(FAULTS) == []


async def test_nothing_of_an_answer_gets_through(world: World) -> None:
    todo = conversations()

    async def visit() -> None:
        async with world.visitor() as (tab, trap):
            for cases in todo:
                await told(tab, trap, cases)
                await read_again(tab, trap, cases)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(TABS):
            tasks.create_task(visit())
