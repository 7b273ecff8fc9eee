"""The page in a real Chromium: how smoothly it draws while an answer comes, and how it opens a long conversation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page

from bench import processes
from bench.chat_text import TOKEN
from tests.browser.harness import DESKTOP

LENGTH = 30_000
"""Characters of the answer that is watched."""
PAUSE_MS = 10
"""Between two tokens: 100 tokens a second."""
MESSAGES = 300
"""Of the conversation that is opened."""
LOOK = 0.5
"""Seconds between two looks at the page: more would be load of its own."""
WAIT = 240.0
RECORDER = Path(__file__).with_suffix(".js")
ENDED = "!document.querySelector('.composer-stop')"
WRITES = "document.querySelector('article:last-of-type .answer-text')?.textContent.length > 0"
LAST = "[data-index='%d'] .answer:not([aria-busy]) .answer-text > p:last-child"
SCROLLER = "document.querySelector('.transcript-frame')"


@dataclass(slots=True)
class Drawn:
    """Milliseconds: between two frames, of each task of more than 50 ms, from each key to what it has drawn."""

    what: str
    frames: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    """The frames of the last quarter of the time: then the answer is long."""
    long: list[float] = field(default_factory=list)
    keys: list[float] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)


async def since(page: Page, what: str, begun: float) -> Drawn:
    """All that was noticed since this moment of the page's clock."""
    found: dict[str, Any] = await page.evaluate("({ ...bench, now: performance.now() })")
    frames = [(at, length) for at, length in found["frames"] if at - length >= begun]
    last_quarter = found["now"] - (found["now"] - begun) / 4
    return Drawn(
        what,
        [length for _, length in frames],
        [length for at, length in frames if at >= last_quarter],
        [length for at, length in found["long"] if at >= begun],
        [length for at, length in found["keys"] if at >= begun],
        found["seen"],
    )


async def until(page: Page, condition: str, every: float = LOOK) -> None:
    """Until it is true in the page. Raises TimeoutError."""
    async with asyncio.timeout(WAIT):
        while not await page.evaluate(condition):
            await asyncio.sleep(every)


async def moment(page: Page) -> float:
    now: float = await page.evaluate("performance.now()")
    return now


@asynccontextmanager
async def opened(
    browser: Browser, url: str, name: str, slower: int, path: str = "", wanted: Mapping[str, str] | None = None
) -> AsyncIterator[Page]:
    """The page of somebody who is logged in, on a processor that is so many times slower. ``wanted``: selectors of
    elements whose first frame is noted."""
    context = await browser.new_context(viewport={"width": DESKTOP[0], "height": DESKTOP[1]}, locale="en-US")
    try:
        body = {"name": name, "password": processes.PASSWORD, "cookie": True}
        answer = await context.request.post(f"{url}/gate/auth/login", data=body)
        if not answer.ok:
            raise RuntimeError(await answer.text())
        await context.add_init_script(path=RECORDER)
        await context.add_init_script(f"bench.wanted = {json.dumps(wanted or {})}")
        page = await context.new_page()
        page.set_default_timeout(1000 * WAIT)
        devtools = await context.new_cdp_session(page)
        await devtools.send("Emulation.setCPUThrottlingRate", {"rate": slower})
        await page.goto(f"{url}/{path}")
        await page.locator(".composer-field").wait_for()
        yield page
    finally:
        await context.close()


async def streaming(browser: Browser, url: str, name: str, slower: int) -> Drawn:
    """A long answer comes, while somebody types the next question."""
    async with opened(browser, url, name, slower) as page:
        await page.locator(".model-button .model-dot").wait_for()
        await page.locator(".composer-field").fill(f"markdown-{LENGTH}-{PAUSE_MS}")
        await page.locator(".composer-field").press("Enter")
        await until(page, WRITES, 0.05)
        begun = await moment(page)
        loop = asyncio.get_running_loop()
        start = loop.time()
        while not await page.evaluate(ENDED):
            await page.keyboard.type("x")
            await asyncio.sleep(LOOK)
        found = await since(page, what(slower), begun)
        came = LENGTH / TOKEN / (loop.time() - start)
        if came < 0.9 * 1000 / PAUSE_MS:
            raise RuntimeError(f"only {came:.0f} tokens came in a second")
        return found


async def reading(browser: Browser, url: str, name: str, conversation: str, slower: int) -> Sequence[Drawn]:
    """A long conversation is opened, and scrolled from its end to its beginning."""
    last = LAST % (MESSAGES - 1)
    wanted = {"composer": ".composer-field", "answer": last}
    async with opened(browser, url, name, slower, f"#/c/{conversation}", wanted) as page:
        await page.locator(last).wait_for(state="attached")
        await until(page, "!document.querySelector('.answer[aria-busy]')")
        opening = await since(page, f"opened, {what(slower)}", 0.0)
        await page.mouse.move(DESKTOP[0] / 2, DESKTOP[1] / 2)
        begun = await moment(page)
        async with asyncio.timeout(WAIT):
            while await page.evaluate(f"{SCROLLER}.scrollTop") > 0:
                await page.mouse.wheel(0, -800)
                await asyncio.sleep(0.03)
        return opening, await since(page, f"scrolled, {what(slower)}", begun)


def what(slower: int) -> str:
    return "as it is" if slower == 1 else f"{slower} times slower"
