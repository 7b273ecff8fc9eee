"""What notices that something of a hostile text got through: that it ran, asked for something, or led the page away."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from playwright.async_api import (
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Download,
    ElementHandle,
    Frame,
    Page,
    Request,
    Route,
    WebError,
    WebSocket,
)
from playwright.async_api import TimeoutError as PlaywrightTimeout

from tests.browser.hostile.case import HOST

_LISTEN: Final = """
document.addEventListener("securitypolicyviolation", (event) => {
  noticed(`stopped by the policy only: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
}, true);
"""
_POLICY: Final = re.compile("Content.Security.Policy|violates the following")
_WAIT: Final = 10.0
"""Seconds."""
_ELSEWHERE: Final = re.compile(r"^(?!https?://127\.0\.0\.1:)")
_HTML: Final = "<!doctype html><title>elsewhere</title><p>elsewhere"
"""What is told at the other places: the scripts of tests run there as well, and nothing else."""


class Witness:
    """A server in the place of all hosts of the corpus. It sees what no page tells of: that a connection was made, only
    to be ready for a request."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0
        self._seen = asyncio.Event()

    async def first(self) -> None:
        """Wait for a connection. Raises TimeoutError."""
        async with asyncio.timeout(_WAIT):
            await self._seen.wait()

    @property
    def argument(self) -> str:
        """For Chromium, which asks its maker's hosts by itself: those it does not find."""
        traps = ", ".join(f"MAP *.{end} 127.0.0.1:{self.port}" for end in ("invalid", "example"))
        return f"--host-resolver-rules={traps}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"

    def _connected(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._seen.set()
        writer.close()


@asynccontextmanager
async def witness() -> AsyncIterator[Witness]:
    seen = Witness()
    server = await asyncio.start_server(seen._connected, "127.0.0.1", 0)
    seen.port = server.sockets[0].getsockname()[1]
    async with server:
        yield seen


@dataclass
class Trap:
    """Everything that was noticed in the tabs of somebody. ``showing`` says what they show now.

    ``url`` is where the page is; ``tabs`` is how many there are, unless a text opens more.
    """

    context: BrowserContext
    url: str
    witness: Witness
    tabs: int = 1
    caught: list[str] = field(default_factory=list)
    showing: str = "nothing"
    saves: bool = False
    """Whether files are saved because the test wants it."""
    following: bool = False
    has_followed: bool = False
    _sprung: asyncio.Event = field(default_factory=asyncio.Event)

    def catch(self, what: str) -> None:
        self.caught.append(f"{self.showing}: {what}")
        self._sprung.set()

    async def catches(self, what: str) -> None:
        """Wait until this is caught. Raises TimeoutError."""
        async with asyncio.timeout(_WAIT):
            while not any(what in one for one in self.caught):
                self._sprung.clear()
                await self._sprung.wait()

    def _ran(self, *_: object) -> None:
        self.catch("a script ran")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and (HOST in message.text or _POLICY.search(message.text)):
            self.catch(f"on the console: {message.text}")

    def _error(self, error: WebError) -> None:
        self.catch(f"uncaught: {error.error}")

    async def _dialog(self, dialog: Dialog) -> None:
        self.catch(f"a dialog: {dialog.message}")
        await dialog.dismiss()

    def _is_ours(self, url: str) -> bool:
        return url.startswith((f"{self.url}/", f"{self.url.replace('http', 'ws', 1)}/", "data:image/", "blob:"))

    def _asked(self, request: Request) -> None:
        if not self._is_ours(request.url) and not (self.following and request.is_navigation_request()):
            self.catch(f"asked for {request.url[:200]}")

    def _opened(self, page: Page) -> None:
        if not self.following and len(self.context.pages) > self.tabs:
            self.catch(f"a window: {page.url[:200]}")

    async def _answer(self, route: Route) -> None:
        """For all other places."""
        if "referer" in await route.request.all_headers():
            self.catch(f"told {route.request.url[:200]} where it was linked")
        await route.fulfill(content_type="text/html", body=_HTML)

    async def followed(self, page: Page, link: ElementHandle, button: Literal["left", "middle"]) -> None:
        """Follow a link of this page: what it opens stands beside the page and knows nothing of it."""
        try:
            opened = await self._opened_by(page, link, button)
        except PlaywrightTimeout:  # one click in hundreds opens nothing in a browser with a profile; no harm is done
            opened = await self._opened_by(page, link, button)
        await opened.wait_for_load_state()
        if not await opened.evaluate("opener === null && document.referrer === ''"):
            self.catch(f"{opened.url[:200]} knows who opened it")
        await opened.close()

    async def _opened_by(self, page: Page, link: ElementHandle, button: Literal["left", "middle"]) -> Page:
        await page.bring_to_front()  # when the last one was closed, another tab may have come to the front
        async with self.context.expect_page(timeout=_WAIT * 1000) as opening:
            await link.click(button=button)
        return await opening.value

    @asynccontextmanager
    async def links_lead_somewhere(self) -> AsyncIterator[None]:
        """Meanwhile other places can be opened, and answer."""
        self.following = self.has_followed = True
        await self.context.route(_ELSEWHERE, self._answer)
        yield
        await self.context.unroute(_ELSEWHERE)
        self.following = False

    def _navigated(self, frame: Frame) -> None:
        if frame.parent_frame is not None or not frame.url.startswith((f"{self.url}/", "about:blank")):
            self.catch(f"led to {frame.url[:200]}")

    def _downloaded(self, download: Download) -> None:
        if not self.saves:
            self.catch(f"a download: {download.url[:200]}")

    def _connected(self, socket: WebSocket) -> None:
        if not self._is_ours(socket.url):
            self.catch(f"a socket to {socket.url[:200]}")

    def watch(self, page: Page) -> None:
        """For tabs of the page, not for what its links open."""
        page.on("framenavigated", self._navigated)
        page.on("frameattached", lambda frame: self.catch(f"a frame: {frame.url[:200]}"))
        page.on("download", self._downloaded)
        page.on("worker", lambda worker: self.catch(f"a worker: {worker.url[:200]}"))
        page.on("websocket", self._connected)
        page.on("crash", lambda _: self.catch("the page crashed"))

    async def settled(self, page: Page) -> None:
        """Wait until the page does nothing any more: what waits for an idle browser has happened."""
        await page.evaluate(_SETTLED)

    def sprung(self) -> list[str]:
        """All of it, with what only the witness saw, unless there were links to follow."""
        if self.witness.connections and not self.has_followed:
            return [*self.caught, f"{self.witness.connections} connections to other hosts"]
        return self.caught


_SETTLED: Final = """
() => new Promise((done) => {
  let quiet = 0;
  const observer = new MutationObserver(() => { quiet = 0; });
  observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  const look = () => {
    quiet += 1;
    if (quiet < 4) return requestIdleCallback(look, { timeout: 500 });
    observer.disconnect();
    done();
  };
  look();
})
"""


async def set_up(context: BrowserContext, url: str, seen: Witness) -> Trap:
    """Before the first page of this context."""
    trap = Trap(context, url, seen, tabs=len(context.pages) + 1)
    await context.expose_function("trapped", trap._ran)
    await context.expose_function("noticed", trap.catch)
    await context.add_init_script(_LISTEN)
    context.on("request", trap._asked)
    context.on("console", trap._console)
    context.on("weberror", trap._error)
    context.on("dialog", trap._dialog)
    context.on("page", trap._opened)
    return trap
