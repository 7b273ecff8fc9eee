"""Hostile answers on the page, in a real browser: nothing of them runs, and nothing is asked for.

Each comes from the upstream in the pieces of its case, through the gateway, over the page's own socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final, Literal

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.harness import WAIT_MS, Tab
from tests.browser.hostile import html, links, shapes
from tests.browser.hostile.corpus import CALL, HOST, Case
from tests.browser.hostile.trap import Trap, set_up
from tests.browser.hostile.world import EVIL_CLIENT, EVIL_MODEL, PICTURE, TABS, World, open_world
from tests.browser.stage import PASSWORD
from tests.fakes import Script

pytestmark = pytest.mark.asyncio(loop_scope="module")

PORTIONS: Final = pytest.mark.parametrize(
    "every", [pytest.param(12, id="every twelfth"), pytest.param(1, id="all", marks=pytest.mark.long)]
)
"""Of the corpus. Every second one is drawn by the page's own tests each time, without a browser (web/src/render)."""
MOST_TURNS, MOST_CHARACTERS = 48, 250_000
"""Of one conversation."""
ANSWERED: Final = """
(count) => new Promise((done) => {
  const look = () => {
    const answers = document.querySelectorAll("article.is-answer");
    const isThere = answers.length === count && answers[count - 1].getAttribute("aria-busy") !== "true"
      && document.querySelectorAll("article.is-question").length === count;
    if (!isThere) return;
    observer.disconnect();
    done();
  };
  const observer = new MutationObserver(look);
  observer.observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["aria-busy"] });
  look();
})
"""
FAULTS: Final = """
() => [...document.querySelectorAll("article .answer")].flatMap((answer, at) => {
  const tags = /^(script|i?frame|object|embed|img|link|style|base|meta|form|video|audio|source|template|portal)$/i;
  const attributes = /^on|src|^formaction$|^action$|^xlink|^ping$|^background$|^poster$|^data$|^manifest$/i;
  const faults = [];
  for (const element of answer.querySelectorAll("*")) {
    const isMath = element.closest(".katex") !== null;
    const isDrawing = element instanceof SVGElement && !isMath && !element.closest("button > svg.lucide");
    if (tags.test(element.localName) || isDrawing) faults.push(`<${element.localName}>`);
    for (const { name } of element.attributes)
      if (attributes.test(name) || (name === "style" && !isMath)) faults.push(`${element.localName} ${name}`);
    if (element.localName !== "a") continue;
    const isSafe = ["http:", "https:", "mailto:"].includes(element.protocol) && element.target === "_blank"
      && element.rel === "noopener noreferrer nofollow" && element.origin !== location.origin;
    if (!isSafe) faults.push(element.outerHTML.slice(0, 200));
  }
  return faults.map((fault) => `answer ${at}: ${fault}`);
})
"""
LINKS: Final = "() => [...new Set([...document.querySelectorAll('article .answer a')].map((link) => link.href))]"
BUTTONS: Final[tuple[Literal["left", "middle"], ...]] = ("left", "middle")
LINK: Final = "(href) => [...document.querySelectorAll('article .answer a')].find((link) => link.href === href)"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(tmp_path_factory.mktemp("hostile") / "state") as opened:
        yield opened


# -- answers


def portion(cases: Sequence[Case], every: int) -> list[Case]:
    return [case for case in cases if case.number % every == every - 1]


def conversations(cases: Sequence[Case], most: int = MOST_TURNS) -> Iterator[list[Case]]:
    """The cases, as they are said in one conversation after another."""
    said: list[Case] = []
    for case in cases:
        if len(said) == most or sum(len(one.text) for one in [*said, case]) > MOST_CHARACTERS:
            yield said
            said = []
        said.append(case)
    yield said


async def told(tab: Tab, trap: Trap, cases: Sequence[Case]) -> None:
    """One conversation: each case is asked for and answered, and the next can be asked for."""
    await tab.button("New chat").click()
    await expect(tab.questions).to_have_count(0)
    for number, case in enumerate(cases, 1):
        trap.showing = case.name
        await tab.field.fill(case.name)
        await tab.field.press("Enter")
        await answered(tab, number)
    await looked_at(tab, trap, cases, "told")


async def answered(tab: Tab, count: int) -> None:
    """Wait until there are so many answers, and all have ended."""
    async with asyncio.timeout(WAIT_MS / 1000):
        await tab.page.evaluate(ANSWERED, count)


async def read_again(tab: Tab, trap: Trap, cases: Sequence[Case]) -> None:
    """What was kept of it."""
    await tab.page.reload()
    await answered(tab, len(cases))
    await looked_at(tab, trap, cases, "read again")


async def looked_at(tab: Tab, trap: Trap, cases: Sequence[Case], how: str) -> None:
    trap.showing = f"{cases[0].name} to {cases[-1].name}, {how}"
    await trap.settled(tab.page)
    assert await tab.page.evaluate(FAULTS) == [], trap.showing


@PORTIONS
async def test_nothing_of_an_answer_gets_through(world: World, every: int) -> None:
    todo = conversations(portion([*html.ALL, *shapes.ALL], every))

    async def visit() -> None:
        async with world.visitor() as (tab, trap):
            for cases in todo:
                await told(tab, trap, cases)
                await read_again(tab, trap, cases)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(TABS):
            tasks.create_task(visit())


# -- everything else that others write


QUESTIONS: Final = (
    PICTURE,
    f"<script>{CALL}</script>",
    f"javascript:{CALL}",
    "\u202e<b>\u2066../../etc/passwd\0",
    "%00\"; x='",
)


async def test_a_question_becomes_a_title(world: World) -> None:
    async with world.visitor() as (tab, trap):
        trap.saves = True
        for question in QUESTIONS:
            trap.showing = question
            await tab.ask_anew(question)
            await tab.settled()
            await expect(tab.conversations).to_have_count(1)
            await titled(tab, question)
            await saved(tab)
            await deleted(tab)
            await trap.settled(tab.page)


async def titled(tab: Tab, question: str) -> None:
    [title] = await tab.conversations.all_inner_texts()
    await expect(tab.page.locator(".frame-title")).to_contain_text(title)
    search = tab.page.get_by_role("searchbox")
    await search.fill(f"{PICTURE} nothing")
    await tab.sees(PICTURE, within=tab.page.locator(".conv-frame"))
    await search.fill(question[:10])
    await expect(tab.conversations).to_have_count(1)
    await search.fill("")


async def saved(tab: Tab) -> None:
    await tab.conversations.first.hover()
    for kind in ("Markdown", "JSON"):
        await tab.page.get_by_role("button", name="Options of").first.click()
        async with tab.page.expect_download() as download:
            await tab.page.get_by_role("menuitem", name=f"Export as {kind}").click()
        file = await download.value
        assert file.suggested_filename.startswith("chat-")
        assert not set(file.suggested_filename) & set("<>/\\:\"'\u202e\u2066")
        assert await file.failure() is None


async def deleted(tab: Tab) -> None:
    await tab.conversations.first.press("F2")
    await tab.page.keyboard.press("Escape")
    await tab.conversations.first.press("Delete")
    await tab.page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
    await expect(tab.conversations).to_have_count(0)


FAILURES: Final = (
    Script(status=500, body=f"<html>{PICTURE}<script>{CALL}</script></html>".encode(), content_type="text/html"),
    Script(status=400, body=f'{{"error": "{PICTURE}"}}'.encode()),
    Script(status=404, body=f'{{"error": "model \'{PICTURE}\' not found"}}'.encode()),
    Script(tokens=["Some ", "text"], error_after=(1, f"{PICTURE}<script>{CALL}</script>")),
    Script(raw=f"HTTP/1.1 200 <script>\r\nContent-Type: text/html\r\n\r\n{PICTURE}".encode()),
)


async def test_what_an_upstream_says_of_its_failure_is_text(world: World) -> None:
    async with world.visitor() as (tab, trap):
        for number, failure in enumerate(FAILURES):
            trap.showing = f"failure {number}"
            await tab.button("New chat").click()
            await expect(tab.questions).to_have_count(0)
            world.stage.ollama.script(failure)
            await tab.field.fill("Fail, please.")
            await tab.field.press("Enter")
            await tab.page.get_by_role("alert").first.wait_for()
            await tab.settled()
            world.stage.ollama.forget_scripts()
            await trap.settled(tab.page)
            await tab.page.reload()
            await tab.ready()
        await tab.ask_anew("And now?")
        await tab.answered("Hello, world!")


async def test_names_are_text_wherever_they_are_shown(world: World) -> None:
    async with world.visitor() as (tab, trap):
        await tab.page.locator(".model-button").click()
        await tab.page.get_by_role("option").filter(has_text="onload").click()
        await tab.sees("onload", within=tab.page.locator(".model-button"))
        await tab.ask("Who are you?")
        await tab.answered("Hello, world!")
        assert world.stage.ollama.requests[-1].json["model"] == EVIL_MODEL
        await tab.answers.first.hover()
        await tab.answers.first.get_by_role("button", name="Details", exact=True).click()
        await tab.sees(EVIL_MODEL.removesuffix(":latest"), within=tab.answers.first)
        await tab.answers.first.get_by_role("button", name="Answer again with another model", exact=True).click()
        await tab.page.get_by_role("menuitem").filter(has_text="onload").wait_for()
        await tab.page.keyboard.press("Escape")
        name = (await tab.page.evaluate("fetch('gate/auth/me').then((answer) => answer.json())"))["name"]
        login = {"name": name, "password": PASSWORD}
        headers = {"user-agent": EVIL_CLIENT, "authorization": ""}
        made = await world.stage.gateway.client.post("/gate/auth/login", json=login, headers=headers)
        assert made.status_code == 200
        for part, seen in (("sessions", "This one"), ("settings", "What is kept"), ("usage", "onload")):
            await tab.go(f"#/account/{part}")
            await tab.sees(seen)
            await trap.settled(tab.page)
        await tab.go("#/account/keys")
        await tab.button("Create a key").click()
        form = tab.page.get_by_role("dialog", name="Create an API key")
        await form.get_by_label("Name").fill(PICTURE)
        await form.get_by_role("button", name="Create", exact=True).click()
        await tab.page.get_by_role("dialog", name="The key").wait_for()
        await trap.settled(tab.page)


# -- links: from here on there are connections to other places


async def follow_links(tab: Tab, trap: Trap, known: set[str]) -> None:
    """With the left and the middle button. They open beside the page, which stays as it is."""
    address = tab.page.url
    for href in await tab.page.evaluate(LINKS):
        if href in known:
            continue
        known.add(href)
        link = (await tab.page.evaluate_handle(LINK, href)).as_element()
        assert link is not None
        if href.startswith("mailto:"):
            continue
        trap.showing = f"following {href[:200]}"
        for button in BUTTONS:
            await trap.followed(tab.page, link, button)
    await tab.page.evaluate("document.querySelectorAll('article .footnote-link').forEach((one) => one.click())")
    await trap.settled(tab.page)
    assert tab.page.url == address


@PORTIONS
async def test_links_lead_nowhere_but_beside_the_page(world: World, every: int) -> None:
    cases_of_links = portion(links.ALL, every)
    known: set[str] = set()
    all_told = asyncio.Barrier(TABS)

    async def visit(cases: list[Case]) -> None:
        async with world.visitor() as (tab, trap):
            await told(tab, trap, cases)
            await read_again(tab, trap, cases)
            await all_told.wait()
            assert trap.sprung() == []
            async with trap.links_lead_somewhere():
                await follow_links(tab, trap, known)

    async with asyncio.TaskGroup() as tasks:
        for cases in conversations(cases_of_links, -(-len(cases_of_links) // TABS)):
            tasks.create_task(visit(cases))
    assert len(known) >= 10 / every
    world.witness.connections = 0


# -- the trap itself


@pytest.mark.parametrize(
    ("what", "noticed"),
    [
        (f"{CALL}", "a script ran"),
        (f"document.body.insertAdjacentHTML('beforeend', '<img src=x onerror={CALL}>')", "stopped by the policy only"),
        (f"new Image().src = 'https://{HOST}/x.png'", "stopped by the policy only"),
        ("document.body.append(document.createElement('iframe'))", "a frame"),
        (f"window.open('https://{HOST}/')", "a window"),
        ("alert(1)", "a dialog"),
        ("setTimeout(() => { throw new Error('x') })", "uncaught"),
        (f"location.href = 'https://{HOST}/'", "asked for"),
    ],
)
async def test_the_trap_notices(world: World, what: str, noticed: str) -> None:
    async with world.browser() as context:
        trap = await set_up(context, world.stage.url, world.witness)
        page = await context.new_page()
        trap.watch(page)
        await page.goto(f"{world.stage.url}/#/login")
        await page.get_by_label("Password", exact=True).wait_for()
        assert trap.caught == []
        await page.evaluate(f"() => {{ setTimeout(() => {{ {what} }}) }}")
        await trap.catches(noticed)


async def test_the_witness_sees_connections(world: World) -> None:
    async with world.browser() as context:
        page = await context.new_page()
        await page.evaluate(f"document.head.innerHTML = '<link rel=preconnect href=https://{HOST}>'")
        await world.witness.first()
        await page.close()
    world.witness.connections = 0
