"""A real Chromium that looks at the real page of a real gateway, and notices everything that goes wrong in it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    async_playwright,
    expect,
)

ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE: Final = (390, 844)
DESKTOP: Final = (1280, 860)
NARROW: Final = 600
"""Windows that are not so wide are those of phones: with a finger, whose Enter makes a new line."""
WAIT_MS: Final = 30_000
"""Longest wait for anything on the page: two cores are shared with everything else."""
VISIT_SECONDS: Final = 300.0
"""Longest visit: some of the browser's own calls have no deadline, and a test must not hang."""

_EXPECTED: Final = re.compile(r"Failed to load resource: the server responded with a status of (401|403|409|429|503)")
"""What Chromium says of an answer that the page deals with by itself."""

Scheme = Literal["light", "dark"]


@dataclass
class Tab:
    """One page, and what went wrong in it: errors on its console, defects, requests to other places."""

    page: Page
    url: str
    trouble: list[str] = field(default_factory=list)
    tolerated: list[str] = field(default_factory=list)
    """Patterns of what Chromium says of a network that the test breaks."""

    def _console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning") or _EXPECTED.match(message.text):
            return
        if not any(re.search(pattern, message.text) for pattern in self.tolerated):
            self.trouble.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:", self.url.replace("http", "ws", 1))):
            self.trouble.append(f"request to {request.url}")

    def watch(self) -> None:
        """Begin to notice."""
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.trouble.append(f"uncaught: {error}"))
        self.page.on("request", self._request)

    async def go(self, path: str = "") -> None:
        """Open the page at this path (``#/login``)."""
        await self.page.goto(f"{self.url}/{path}")

    # -- what people see, and do

    def button(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("button", name=name, exact=isinstance(name, str))

    @property
    def field(self) -> Locator:
        """Where questions are written."""
        return self.page.get_by_role("textbox", name="Message", exact=True)

    @property
    def questions(self) -> Locator:
        """Those of the branch that is shown, with what belongs to them."""
        return self.page.locator("article.is-question")

    @property
    def answers(self) -> Locator:
        return self.page.locator("article.is-answer")

    @property
    def queue_card(self) -> Locator:
        return self.page.get_by_role("region", name="Your place in the line")

    @property
    def conversations(self) -> Locator:
        """The list at the side."""
        return self.page.get_by_role("navigation", name="Conversations").locator("a.conv-link")

    @property
    def is_phone(self) -> bool:
        window = self.page.viewport_size
        return window is not None and window["width"] < NARROW

    async def open_side(self) -> None:
        """Show the list of conversations, which is always there where the window is wide."""
        if self.is_phone:
            await self.button("Open the menu").click()

    async def ask(self, text: str) -> None:
        """Ask, and wait until the question is shown."""
        count = await self.questions.count()
        await self.field.fill(text)
        if self.is_phone:
            await self.button("Send").tap()
        else:
            await self.field.press("Enter")
        await expect(self.questions).to_have_count(count + 1)

    async def ask_anew(self, text: str) -> None:
        """In a new chat."""
        await self.button("New chat").click()
        await expect(self.questions).to_have_count(0)
        await self.ask(text)

    async def account(self, item: str) -> None:
        """Choose this in the menu of who is logged in."""
        await self.page.get_by_role("button", name=re.compile("account and theme")).click()
        await self.page.get_by_role("menuitem", name=item).click()

    async def sees(self, text: str | re.Pattern[str], *, within: Locator | None = None) -> None:
        """Wait until this text is shown."""
        place = within if within is not None else self.page.locator("body")
        await expect(place).to_contain_text(text, use_inner_text=True, timeout=WAIT_MS)

    async def answered(self, text: str) -> None:
        """Wait until the last answer is this text, and has ended."""
        await expect(self.answers.last.locator(".answer > .answer-text")).to_have_text(text, timeout=WAIT_MS)
        await self.settled()

    async def ready(self) -> None:
        """Wait until a question can be asked."""
        await self.field.wait_for()
        await self.page.locator(".model-button .model-dot").wait_for()

    async def settled(self, timeout: int = WAIT_MS) -> None:
        """Wait until nothing is answered."""
        await self.button("Send").wait_for(timeout=timeout)


def _program() -> str:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program is not None, "Chromium is missing. Install it with: make services"
    return program


@asynccontextmanager
async def chromium(environment: Mapping[str, str] | None = None) -> AsyncIterator[Browser]:
    """The browser of this machine. ``environment``: more variables for it."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=_program(), args=ARGUMENTS, env={**os.environ, **(environment or {})}
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def person(
    browser: Browser, *, size: tuple[int, int] = DESKTOP, scheme: Scheme = "light", sharp: bool = False
) -> AsyncIterator[BrowserContext]:
    """Somebody with cookies of their own. ``size`` is the window's width and height; a narrow one is a phone's.
    ``sharp``: two dots for each pixel."""
    is_phone = size[0] < NARROW
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        device_scale_factor=2 if sharp else 1,
        is_mobile=is_phone,
        has_touch=is_phone,
        color_scheme=scheme,
        reduced_motion="reduce",
        locale="en-US",
    )
    async with _visit(context):
        yield context


@asynccontextmanager
async def resident(browser: Browser, profile: Path, *arguments: str) -> AsyncIterator[BrowserContext]:
    """Somebody with a browser and a profile of their own, as most people have. A ``person`` is a guest: for guests
    Chromium makes no connections ahead (since version 156)."""
    context = await browser.browser_type.launch_persistent_context(
        profile,
        executable_path=_program(),
        args=[*ARGUMENTS, *arguments],
        viewport={"width": DESKTOP[0], "height": DESKTOP[1]},
        reduced_motion="reduce",
        locale="en-US",
    )
    async with _visit(context):
        yield context


@asynccontextmanager
async def _visit(context: BrowserContext) -> AsyncIterator[None]:
    context.set_default_timeout(WAIT_MS)
    try:
        async with asyncio.timeout(VISIT_SECONDS):
            yield
    finally:
        async with asyncio.timeout(WAIT_MS / 1000):
            await context.close()


@asynccontextmanager
async def tab(context: BrowserContext, url: str, *tolerated: str) -> AsyncIterator[Tab]:
    """A new tab. At its end nothing may have gone wrong in it but what is tolerated."""
    opened = Tab(await context.new_page(), url, tolerated=[*tolerated])
    opened.watch()
    yield opened
    assert not opened.trouble, "\n".join(opened.trouble)
