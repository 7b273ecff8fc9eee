"""The whole way of somebody who was invited, with the real model: one slot, and somebody else in it at first."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import expect

from llmgate.daemon.auth.principals import Role
from llmgate.daemon.upstreams.demo import MODEL, DemoModel
from tests.browser.harness import Tab, chromium, person, tab
from tests.browser.stage import ADMIN, PASSWORD, new_user
from tests.gateway.harness import Running, run_gateway, settings_for

pytestmark = pytest.mark.slow

MODEL_MS = 60_000
"""Longest wait for the model: it computes on the processor that everything else needs too."""
LONG = "Write a very long story about a lighthouse keeper, with many chapters."


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    model = DemoModel(slots=1)
    upstream = await model.start()
    try:
        async with run_gateway(settings_for(tmp_path / "state", [upstream])) as running:
            yield running
    finally:
        await model.stop()


@asynccontextmanager
async def busy(gateway: Running) -> AsyncIterator[None]:
    """A program with an API key holds the only slot, until this ends."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": LONG}], "options": {"num_predict": 4000}}
    async with gateway.stream("/api/chat", body) as answer:
        pieces = answer.aiter_bytes()
        await anext(pieces)
        yield
        del pieces  # only now: without it the answer would have ended


async def invitation(gateway: Running) -> str:
    await new_user(gateway, ADMIN, role=Role.ADMIN)
    key = await gateway.new_key("operator", role=Role.ADMIN)
    headers = {"authorization": f"Bearer {key}"}
    made = await gateway.client.post("/admin/v1/tokens", json={"max_uses": 1}, headers=headers)
    return str(made.json()["token"])


async def register(tab: Tab, token: str) -> None:
    await tab.go(f"#/register?token={token}")
    await tab.sees("Taken from your invitation link.")
    assert token not in tab.page.url
    await tab.page.get_by_label("Name").fill("ann")
    await tab.page.get_by_label("Password", exact=True).fill(PASSWORD)
    await tab.button("Create account").click()
    await tab.sees("Hello, ann")
    await tab.ready()


async def ask_in_line(tab: Tab, gateway: Running) -> str:
    """Wait behind somebody, and read the answer."""
    async with busy(gateway):
        await tab.ask("What is the capital of France?")
        await tab.sees("You are next", within=tab.queue_card)
        await tab.sees(re.compile(r"Waiting for \d+ s"), within=tab.queue_card)
    await expect(tab.answers).to_contain_text("Paris", timeout=MODEL_MS)
    await tab.settled(MODEL_MS)
    return await tab.answers.locator(".answer-text").inner_text()


async def ask_and_stop(tab: Tab) -> None:
    """Stop it in the middle: what is written stays."""
    await tab.ask(LONG)
    await expect(tab.answers.last.locator(".answer-text")).to_contain_text(re.compile(r"\w+ \w+ \w+"), timeout=MODEL_MS)
    await tab.button("Stop").click()
    await tab.sees("Stopped", within=tab.answers.last)
    await tab.settled()


async def answer_again(tab: Tab) -> None:
    """Another answer to the last question, beside the first one."""
    first = await tab.answers.last.locator(".answer-text").inner_text()
    await tab.answers.last.get_by_role("button", name="Answer again", exact=True).click()
    await tab.button("Stop").wait_for()
    await expect(tab.answers.last.locator(".answer-text")).to_contain_text(re.compile(r"\w+ \w+ \w+"), timeout=MODEL_MS)
    await tab.button("Stop").click()
    await tab.sees("Version 2 of 2", within=tab.answers.last)
    await tab.button("Previous version of the answer").click()
    await tab.sees("Version 1 of 2", within=tab.answers.last)
    await expect(tab.answers.last.locator(".answer-text")).to_have_text(first)


async def find(tab: Tab, word: str) -> None:
    """Search for the conversation by a word in it."""
    search = tab.page.get_by_role("searchbox", name="Search conversations")
    await search.fill("no such word anywhere")
    await tab.sees("Nothing found")
    await search.fill(word)
    await expect(tab.conversations).to_have_count(1)
    await search.fill("")


async def rename(tab: Tab, title: str) -> None:
    await tab.conversations.first.press("F2")
    await tab.page.get_by_role("textbox", name=re.compile("New title of")).fill(title)
    await tab.page.keyboard.press("Enter")
    await expect(tab.conversations.first).to_have_text(title)
    await expect(tab.page).to_have_title(re.compile(title))


async def leave_and_come_back(tab: Tab, address: str) -> None:
    """Nothing of it can be read without the password."""
    await tab.account("Log out")
    await tab.page.get_by_label("Password", exact=True).wait_for()
    tab.tolerated.append("status of 401")
    await tab.page.goto(address)
    await tab.page.get_by_label("Password", exact=True).wait_for()
    refused = await tab.page.request.get(f"{tab.url}/gate/conversations")
    assert refused.status == 401
    await expect(tab.page.locator("body")).not_to_contain_text("lighthouse")
    await tab.page.get_by_label("Name").fill("ann")
    await tab.page.get_by_label("Password", exact=True).fill(PASSWORD)
    await tab.button("Log in").click()
    await tab.sees("Paris", within=tab.answers.first)


async def test_the_way_of_somebody_who_was_invited(gateway: Running) -> None:
    async with chromium() as browser, person(browser) as context, tab(context, gateway.url) as ann:
        token = await invitation(gateway)
        await register(ann, token)
        answer = await ask_in_line(ann, gateway)
        await ask_and_stop(ann)
        await answer_again(ann)
        await ann.page.reload()
        await expect(ann.answers.first.locator(".answer-text")).to_have_text(answer)
        await ann.sees("Version 1 of 2", within=ann.answers.last)
        await find(ann, "lighthouse")
        await rename(ann, "About France")
        await leave_and_come_back(ann, ann.page.url)
        assert (await gateway.client.post("/gate/auth/register", json={"token": token})).status_code >= 400
