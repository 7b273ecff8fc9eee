"""Coming in, and everything about oneself: password, sessions, keys, usage."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect

from tests.browser.harness import Tab, person
from tests.browser.stage import PASSWORD, Stage, log_in
from tests.gateway.harness import CHAT
from tests.gateway.ready_made import client_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def stranger(stage: Stage) -> AsyncIterator[Tab]:
    """A tab of somebody who has not logged in."""
    async with person(stage.browser) as context, stage.tab(context) as tab:
        yield tab


async def enter(tab: Tab, name: str, password: str = PASSWORD) -> None:
    await tab.page.get_by_label("Name").fill(name)
    await tab.page.get_by_label("Password", exact=True).fill(password)
    await tab.button("Log in").click()


def alert(tab: Tab) -> Locator:
    return tab.page.get_by_role("alert")


# -- coming in


async def test_a_wrong_password_is_told_in_words(stage: Stage, stranger: Tab) -> None:
    name = await stage.new_user()
    await stranger.go()
    await enter(stranger, name, "not the password")
    await stranger.sees("password", within=alert(stranger))
    await expect(stranger.page.get_by_label("Name")).to_have_value(name)
    await enter(stranger, name)
    await stranger.sees(f"Hello, {name}")


async def test_who_guesses_has_to_wait_and_is_told_how_long(stage: Stage, stranger: Tab) -> None:
    name = await stage.new_user()
    await stranger.go()
    wait = stranger.page.get_by_role("button", name=re.compile(r"Try again in \d+ s"))
    log_in = stranger.button("Log in")
    for attempt in range(6):
        await enter(stranger, name, f"guess number {attempt}")
        await alert(stranger).or_(wait).first.wait_for()
        if await wait.count():
            break
        await expect(log_in).to_be_enabled()
    await expect(wait).to_be_disabled()
    await stranger.sees("too many failed attempts", within=alert(stranger))
    await expect(log_in).to_be_enabled()  # as soon as it may be tried again
    await enter(stranger, name)
    await stranger.sees(f"Hello, {name}")


async def test_the_way_leads_where_one_wanted_to_go(stage: Stage, stranger: Tab) -> None:
    name = await stage.new_user()
    await stranger.go("#/account/keys")
    await enter(stranger, name)
    await stranger.page.get_by_role("heading", name="API keys", level=1).wait_for()


async def test_a_token_that_is_none_is_refused_in_words(stranger: Tab) -> None:
    await stranger.go("#/register?token=llmr_nonsense")
    await stranger.page.get_by_label("Name").fill("somebody")
    await stranger.page.get_by_label("Password", exact=True).fill(PASSWORD)
    await stranger.button("Create account").click()
    await stranger.sees("token", within=alert(stranger))
    await expect(stranger.page.get_by_label("Name")).to_have_value("somebody")


# -- about oneself


async def test_a_new_password_is_the_one_that_counts(stage: Stage, stranger: Tab) -> None:
    name = await stage.new_user()
    async with stage.visitor(name) as tab:
        await tab.go("#/account/password")
        current = tab.page.get_by_label("Current password")
        await current.fill("something else")
        await tab.page.get_by_label("New password").fill("a quite new password")
        await tab.button("Change password").click()
        await tab.sees("wrong", within=alert(tab).first)
        await current.fill(PASSWORD)
        await tab.button("Change password").click()
        await tab.sees("Your password is changed.")
        await tab.ask_anew("Am I still here?")
        await tab.answered("Hello, world!")
    await stranger.go()
    await enter(stranger, name, PASSWORD)
    await stranger.sees("password", within=alert(stranger))
    await enter(stranger, name, "a quite new password")
    await stranger.sees(f"Hello, {name}")


async def test_a_session_that_is_ended_shows_the_login_within_seconds(stage: Stage) -> None:
    name = await stage.new_user()
    async with stage.visitor(name) as tab, person(stage.browser) as elsewhere:
        await log_in(elsewhere, stage.url, name)
        async with stage.tab(elsewhere) as other:
            await other.go()
            await other.ready()
            await tab.go("#/account/sessions")
            await expect(tab.page.get_by_text("This one")).to_have_count(1)
            await tab.page.get_by_role("button", name=re.compile("End the session of")).click()
            await tab.page.get_by_role("alertdialog").get_by_role("button", name="End").click()
            await expect(other.page.get_by_text("Your session has ended.")).to_be_visible(timeout=5_000)
            await tab.sees("The session is ended.")
            await enter(other, name)
            await other.ready()


async def test_logging_out_empties_every_tab(stage: Stage) -> None:
    async with stage.visitor() as tab, stage.tab(tab.page.context) as other:
        await tab.ask("A secret question?")
        await tab.answered("Hello, world!")
        await other.page.goto(tab.page.url)
        await other.answered("Hello, world!")
        await other.account("Log out")
        for each in (tab, other):
            await each.page.get_by_label("Password", exact=True).wait_for()
            await expect(each.page.locator("body")).not_to_contain_text("secret question")
        await tab.page.go_back()
        await expect(tab.page.locator("body")).not_to_contain_text("secret question")


async def test_a_key_is_made_shown_once_used_and_revoked(stage: Stage) -> None:
    async with stage.visitor() as tab, client_of(stage.url) as program:
        await tab.go("#/account/keys")
        await tab.button("Create a key").click()
        form = tab.page.get_by_role("dialog", name="Create an API key")
        await form.get_by_label("Name").fill("My Laptop")
        await form.get_by_role("button", name="Create", exact=True).click()
        shown = tab.page.get_by_role("dialog", name=re.compile("The key my-laptop-"))
        key = await shown.locator("code").first.inner_text()
        await tab.sees(f"{stage.url}/v1/chat/completions", within=shown)
        await shown.get_by_role("button", name="I have stored it").click()
        program.headers["authorization"] = f"Bearer {key}"
        assert (await program.post("/api/chat", json={**CHAT, "stream": False})).status_code == 200
        await tab.page.reload()
        await tab.sees(key[-4:])
        await expect(tab.page.locator("body")).not_to_contain_text(key)
        await tab.page.get_by_role("button", name=re.compile("Revoke my-laptop-")).click()
        await tab.page.get_by_role("alertdialog").get_by_role("button", name="Revoke").click()
        await tab.sees("Revoked and expired (1)")
        assert (await program.post("/api/chat", json={**CHAT, "stream": False})).status_code == 401


async def test_usage_shows_what_was_asked(stage: Stage) -> None:
    async with stage.visitor() as tab:
        for question in ("One?", "Two?"):
            await tab.ask(question)
            await tab.answered("Hello, world!")
        await stage.gateway.services.usage.flush()
        await tab.account("Usage")
        for name, value in (("Requests", "2"), ("Tokens read", "14"), ("Tokens written", "8")):
            row = tab.page.locator(".usage-sums > div").filter(has_text=name)
            await expect(row.locator("dd")).to_have_text(value)
        await expect(tab.page.get_by_role("row", name=re.compile("llama3.2"))).to_contain_text("14")
        await expect(tab.page.get_by_role("row", name=re.compile("Logged in, without a key"))).to_contain_text("8")
