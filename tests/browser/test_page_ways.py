"""The ways on which browsers come: below a path of another site, and without WebSockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from llmgate.config import ServerSettings
from tests.browser.harness import Tab
from tests.browser.reverse_proxy import ReverseProxy
from tests.browser.stage import Stage, open_stage
from tests.fakes import Script

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_SOCKET = "WebSocket connection to .* failed"
WORDS = ["One ", "two ", "three ", "four."]


@asynccontextmanager
async def below(browser: Browser, state: Path, *, strips: bool, upgrades: bool = True) -> AsyncIterator[Stage]:
    """A gateway whose browsers come through a proxy, at ``/ai``."""
    async with ReverseProxy(prefix="/ai", strips=strips, upgrades=upgrades) as proxy:
        server = ServerSettings(port=0, drain_seconds=5, public_url=proxy.url)
        async with open_stage(state, browser, server=server) as stage:
            proxy.target = int(stage.gateway.url.rsplit(":", 1)[1])
            stage.public_url = proxy.url
            yield stage


@asynccontextmanager
async def without_sockets(stage: Stage) -> AsyncIterator[Tab]:
    """A tab whose network lets no WebSocket pass."""
    async with ReverseProxy(upgrades=False) as proxy:
        proxy.target = int(stage.gateway.url.rsplit(":", 1)[1])
        async with stage.visitor(None, NO_SOCKET, url=proxy.url) as tab:
            yield tab
        assert proxy.refused


@pytest.mark.parametrize("strips", [True, False], ids=["path taken away", "path left"])
async def test_all_of_it_below_a_path(browser: Browser, tmp_path_factory: pytest.TempPathFactory, strips: bool) -> None:
    async with below(browser, tmp_path_factory.mktemp("below") / "state", strips=strips) as stage:
        name = await stage.new_user()
        async with stage.visitor(name) as tab:
            async with stage.busy("below"):
                await tab.ask("Below a path?")
                await tab.sees("You are next", within=tab.queue_card)
            await tab.answered("Hello, world!")
            assert tab.page.url.startswith(f"{stage.public_url}/#/c/")
            await tab.page.reload()
            await tab.answered("Hello, world!")
            [cookie, *_] = await tab.page.context.cookies(stage.public_url)
            assert cookie["httpOnly"]
            await tab.account("Log out")
            await tab.page.get_by_label("Name").fill(name)
            await tab.page.get_by_label("Password", exact=True).fill("correct horse battery")
            await tab.button("Log in").click()
            await expect(tab.conversations).to_have_count(1)


async def test_without_websockets_it_is_the_same(stage: Stage) -> None:
    async with without_sockets(stage) as tab:
        async with stage.busy("plain-line"):
            await tab.ask("Over plain HTTP?")
            await tab.sees("You are next", within=tab.queue_card)
        await tab.answered("Hello, world!")
        stage.ollama.script(Script(tokens=WORDS, token_gates={2: "plain"}))
        await tab.ask("Count.")
        await tab.sees("One two", within=tab.answers.last)
        await tab.page.reload()
        await tab.sees("One two", within=tab.answers.last)
        await tab.button("Stop").wait_for()
        stage.ollama.release("plain")
        await tab.answered("".join(WORDS))


async def test_without_websockets_stop_ends_the_generation(stage: Stage) -> None:
    async with without_sockets(stage) as tab:
        number = len(stage.ollama.requests)
        stage.ollama.script(Script(tokens=WORDS, token_gates={2: "plain-stop"}))
        await tab.ask("Count.")
        await tab.sees("One two", within=tab.answers.last)
        await tab.button("Stop").click()
        async with asyncio.timeout(5):
            await stage.ollama.requests[number].disconnected.wait()
        await tab.answered("One two")


async def test_without_websockets_closing_ends_the_generation(stage: Stage) -> None:
    async with without_sockets(stage) as tab:
        number = len(stage.ollama.requests)
        stage.ollama.script(Script(tokens=WORDS, token_gates={2: "plain-close"}))
        await tab.ask("Count.")
        await tab.sees("One two", within=tab.answers.last)
        await tab.page.close(run_before_unload=True)
        async with asyncio.timeout(5):  # far less than the grace
            await stage.ollama.requests[number].disconnected.wait()
