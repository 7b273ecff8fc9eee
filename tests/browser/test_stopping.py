"""An answer that nobody waits for any more is not generated any more: the fake upstream is the witness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from unittest import mock

import pytest
from playwright.async_api import Browser, expect

from llmgate.daemon.chat.turns import GRACE_SECONDS
from llmgate.daemon.websocket import PING_SECONDS
from tests.browser.harness import Tab, person
from tests.browser.stage import Stage, log_in, open_stage
from tests.fakes import Script, Seen
from tests.services.proxy import FaultProxy

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.alone]

AT_ONCE = 1.0
"""Seconds."""
SHORT_GRACE = 1.5
PING = 0.5
WORDS = ["One ", "two ", "three ", "four."]
BROKEN = r"WebSocket connection to .* failed|net::ERR_"

Leave = Callable[[Tab], Awaitable[float]]
"""Goes away. Returns when that began."""


@asynccontextmanager
async def grace(stage: Stage, seconds: float) -> AsyncIterator[None]:
    turns = stage.gateway.services.chat.turns
    with mock.patch.object(turns, "grace", seconds):
        yield


async def streaming(stage: Stage, tab: Tab, gate: str, after: int = 2) -> Seen:
    """An answer in its middle: so many words of it have come."""
    number = len(stage.ollama.requests)
    stage.ollama.script(Script(tokens=WORDS, token_gates={after: gate}))
    await tab.ask("Count.")
    await tab.sees("".join(WORDS[:after]).strip(), within=tab.answers.last)
    return await stage.ollama.request(number)


async def ended(seen: Seen, since: float, within: float = AT_ONCE) -> None:
    """The upstream was hung up on in time. ``since`` is on the clock of the event loop."""
    async with asyncio.timeout(within + 5):
        await seen.disconnected.wait()
    assert seen.disconnected_at is not None
    assert seen.disconnected_at - since < within


def now() -> float:
    return asyncio.get_running_loop().time()


async def out_of_line(stage: Stage, since: float) -> None:
    await stage.gateway.waiting(0)
    assert now() - since < AT_ONCE


# -- by its button


async def test_stop_ends_the_generation_and_keeps_what_there_is(stage: Stage) -> None:
    async with stage.visitor() as tab:
        seen = await streaming(stage, tab, "stop")
        since = now()
        await tab.button("Stop").click()
        await ended(seen, since)
        await tab.answered("One two")
        await expect(tab.answers.last).to_contain_text("Stopped")
        await tab.page.reload()
        await tab.answered("One two")


async def test_escape_stops_as_well(stage: Stage) -> None:
    async with stage.visitor() as tab:
        seen = await streaming(stage, tab, "escape")
        since = now()
        await tab.page.keyboard.press("Escape")
        await ended(seen, since)
        await tab.answered("One two")


@pytest.mark.parametrize("place", [".queue", ".composer"])
async def test_who_leaves_the_line_never_reaches_the_upstream(stage: Stage, place: str) -> None:
    async with stage.visitor() as tab:
        async with stage.busy(f"leave-{place}"):
            number = len(stage.ollama.requests)
            await tab.ask("Never answered.")
            await tab.sees("You are next", within=tab.queue_card)
            since = now()
            await tab.page.locator(place).get_by_role("button", name="Leave the line").click()
            await out_of_line(stage, since)
            await tab.settled()
        await tab.sees("This question has no answer.")
        assert len(stage.ollama.requests) == number


# -- by going away


async def close_page(tab: Tab) -> float:
    since = now()
    await tab.page.close()
    return since


async def close_page_as_people_do(tab: Tab) -> float:
    since = now()
    await tab.page.close(run_before_unload=True)
    return since


async def close_window(tab: Tab) -> float:
    since = now()
    await tab.page.context.close()
    return since


async def go_elsewhere(tab: Tab) -> float:
    since = now()
    await tab.page.goto("about:blank")
    return since


async def log_out(tab: Tab) -> float:
    await tab.account("Log out")
    since = now()
    # Chromium may never close a window in the middle of the reload that follows.
    await tab.page.get_by_role("heading", name="Log in").wait_for()
    return since


LEAVING = [close_page, close_page_as_people_do, close_window, go_elsewhere, log_out]


@pytest.mark.parametrize("leave", LEAVING)
async def test_who_goes_away_ends_the_generation(stage: Stage, leave: Leave) -> None:
    async with stage.visitor() as tab:
        seen = await streaming(stage, tab, f"away-{leave.__name__}")
        await ended(seen, await leave(tab))


@pytest.mark.parametrize("leave", LEAVING)
async def test_who_goes_away_leaves_the_line(stage: Stage, leave: Leave) -> None:
    async with stage.visitor() as tab, stage.busy(f"line-{leave.__name__}"):
        number = len(stage.ollama.requests)
        await tab.ask("Never answered.")
        await tab.queue_card.wait_for()
        await out_of_line(stage, await leave(tab))
        assert len(stage.ollama.requests) == number


async def test_of_two_tabs_the_last_one_ends_it(stage: Stage) -> None:
    async with stage.visitor() as tab:
        seen = await streaming(stage, tab, "two-tabs")
        async with stage.tab(tab.page.context) as other:
            await other.page.goto(tab.page.url)
            await other.sees("One two", within=other.answers.last)
            await tab.page.close()
            assert not seen.disconnected.is_set()
            since = now()
            await other.page.close()
            await ended(seen, since)


async def test_the_other_tab_gets_the_rest(stage: Stage) -> None:
    async with stage.visitor() as tab:
        await streaming(stage, tab, "the-rest")
        async with stage.tab(tab.page.context) as other:
            await other.page.goto(tab.page.url)
            await other.sees("One two", within=other.answers.last)
            await tab.page.close()
            stage.ollama.release("the-rest")
            await other.answered("".join(WORDS))


# -- not by these


async def test_other_parts_of_the_page_do_not_end_it(stage: Stage) -> None:
    async with stage.visitor() as tab:
        seen = await streaming(stage, tab, "elsewhere")
        address = tab.page.url
        await tab.account("Usage")
        await tab.page.get_by_role("heading", name="Usage").wait_for()
        await tab.button("New chat").click()
        await tab.page.get_by_role("heading", name="Hello").wait_for()
        await tab.sees("being answered", within=tab.page.get_by_role("navigation"))
        stage.ollama.release("elsewhere")
        await seen.ended.wait()
        assert not seen.disconnected.is_set()
        await tab.page.goto(address)
        await tab.answered("".join(WORDS))


async def test_a_reload_ends_a_temporary_chat(stage: Stage) -> None:
    async with stage.visitor() as tab:
        await tab.button("Temporary chat").first.click()
        seen = await streaming(stage, tab, "temporary")
        since = now()
        await tab.page.reload()
        await ended(seen, since, AT_ONCE)


async def test_a_reload_does_not_end_it(stage: Stage) -> None:
    async with stage.visitor() as tab:
        seen = await streaming(stage, tab, "reload")
        await tab.page.reload()
        await tab.sees("One two", within=tab.answers.last)
        await tab.button("Stop").wait_for()
        stage.ollama.release("reload")
        await tab.answered("".join(WORDS))
        assert not seen.disconnected.is_set()


# -- the network


@asynccontextmanager
async def behind_a_proxy(stage: Stage) -> AsyncIterator[tuple[Tab, FaultProxy]]:
    proxy = FaultProxy(int(stage.url.rsplit(":", 1)[1]))
    async with proxy, stage.visitor(None, BROKEN, url=f"http://127.0.0.1:{proxy.port}") as tab:
        yield tab, proxy


async def test_who_comes_back_in_time_loses_nothing_and_gets_nothing_twice(stage: Stage) -> None:
    words = [f"word{number} " for number in range(400)]
    number = len(stage.ollama.requests)
    async with behind_a_proxy(stage) as (tab, proxy):
        stage.ollama.script(Script(tokens=words, token_gates={20: "cut", 200: "back"}))
        await tab.ask("Many words, please.")
        await tab.sees("word19", within=tab.answers.last)
        await proxy.refuse()
        stage.ollama.release("cut")
        seen = await stage.ollama.request(number)
        await stage.ollama.wait_for(lambda: seen.tokens_sent == 200)
        await tab.sees("The connection is lost")
        await proxy.heal()
        await tab.sees("word199", within=tab.answers.last)
        stage.ollama.release("back")
        await tab.answered("".join(words).strip())
        assert not seen.disconnected.is_set()


async def test_who_was_away_at_the_end_finds_the_answer(stage: Stage) -> None:
    async with behind_a_proxy(stage) as (tab, proxy):
        seen = await streaming(stage, tab, "end-unseen")
        await proxy.refuse()
        stage.ollama.release("end-unseen")
        await seen.ended.wait()
        await tab.sees("The connection is lost")
        await proxy.heal()
        await tab.answered("".join(WORDS))


async def test_a_question_without_a_connection_is_asked_when_it_is_back(stage: Stage) -> None:
    number = len(stage.ollama.requests)
    async with behind_a_proxy(stage) as (tab, proxy):
        await proxy.refuse()
        await tab.ask("Is anybody there?")
        await tab.sees("There is no connection")
        await proxy.heal()
        await tab.answered("Hello, world!")
        assert len(stage.ollama.requests) == number + 1


async def test_who_is_lost_for_good_ends_it_after_the_grace(stage: Stage) -> None:
    async with grace(stage, SHORT_GRACE), behind_a_proxy(stage) as (tab, proxy):
        seen = await streaming(stage, tab, "lost")
        since = now()
        await proxy.refuse()
        await ended(seen, since, SHORT_GRACE + AT_ONCE)
        assert seen.disconnected_at is not None
        assert seen.disconnected_at - since > SHORT_GRACE * 0.9


async def test_a_network_that_goes_silent_is_noticed(browser: Browser, tmp_path: Path) -> None:
    with mock.patch("llmgate.daemon.websocket.PING_SECONDS", PING):
        async with open_stage(tmp_path / "state", browser) as stage:
            await silence(stage, SHORT_GRACE, PING)


@pytest.mark.long
@pytest.mark.slow
async def test_a_network_that_goes_silent_is_noticed_in_the_real_times(browser: Browser, tmp_path: Path) -> None:
    async with open_stage(tmp_path / "state", browser) as stage:
        await silence(stage, GRACE_SECONDS, PING_SECONDS)


async def silence(stage: Stage, seconds: float, ping: float) -> None:
    """The network goes silent: two pings later that is known, and after the grace the answer ends."""
    async with grace(stage, seconds), behind_a_proxy(stage) as (tab, proxy):
        seen = await streaming(stage, tab, "silent")
        since = now()
        await proxy.blackhole()
        await ended(seen, since, seconds + 2 * ping + AT_ONCE)
        assert seen.disconnected_at is not None
        assert seen.disconnected_at - since > seconds
        await proxy.refuse()


async def test_two_people_do_not_end_each_others(stage: Stage) -> None:
    async with stage.visitor() as tab, person(stage.browser) as context:
        seen = await streaming(stage, tab, "each-other")
        await log_in(context, stage.url, await stage.new_user())
        async with stage.tab(context) as other:
            other.tolerated.append("status of 404")
            await other.page.goto(tab.page.url)
            await other.sees("This conversation is not there any more")
            await other.page.close()
        stage.ollama.release("each-other")
        await tab.answered("".join(WORDS))
        assert not seen.disconnected.is_set()
