"""axe-core finds nothing serious on any screen of the page: on a desktop and on a phone, light and dark."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from llmgate.daemon.store.chats import conversations
from tests.browser.harness import DESKTOP, PHONE, Tab, person
from tests.browser.picture_world import NAME, QUESTION, furnish
from tests.browser.pictures import PREFERENCES, SCENES, Act, crowded, open_conversation
from tests.browser.stage import Stage, log_in

pytestmark = pytest.mark.asyncio(loop_scope="module")

AXE: Final = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
SERIOUS: Final = ("serious", "critical")
TAGS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LOOK: Final = """
async (rules) => {
  // The end of one color's transition begins that of what inherits the color.
  const running = () => document.getAnimations().filter((one) => one instanceof CSSTransition);
  for (let open = running(); open.length > 0; open = running()) {
    for (const one of open) one.finish();
    await new Promise(requestAnimationFrame);
  }
  const { violations } = await axe.run(document, { runOnly: rules, resultTypes: ["violations"] });
  return violations.map(({ id, impact, help, tags, nodes }) => ({
    id, impact, help, tags, nodes: nodes.slice(0, 5).map(({ html, target, failureSummary }) =>
      `${target.join(" ")}: ${html.slice(0, 200)} ${failureSummary.split("\\n").slice(1, 3).join(" ")}`),
  }));
}
"""
Violations = list[dict[str, Any]]


# -- screens that are on no picture


async def login(stage: Stage, tab: Tab) -> None:
    await leave(tab)
    await tab.go("#/login")
    await tab.page.get_by_label("Name").fill(NAME)


async def queue(stage: Stage, tab: Tab) -> None:
    await tab.ask(QUESTION)
    await tab.sees("in line", within=tab.queue_card)


async def register(stage: Stage, tab: Tab) -> None:
    await leave(tab)
    await tab.go("#/register?token=llmr_nonsense")
    await tab.page.get_by_label("Name").fill("somebody")
    await tab.page.get_by_label("Password", exact=True).fill("correct horse battery")
    await tab.button("Create account").click()
    await tab.page.get_by_role("alert").wait_for()


async def wrong_password(stage: Stage, tab: Tab) -> None:
    await leave(tab)
    await tab.go("#/login")
    await tab.page.get_by_label("Name").fill("nobody")
    await tab.page.get_by_label("Password", exact=True).fill("something else")
    await tab.button("Log in").click()
    await tab.page.get_by_role("alert").wait_for()


async def leave(tab: Tab) -> None:
    await tab.page.context.clear_cookies()
    await tab.page.goto("about:blank")


async def secret(stage: Stage, tab: Tab) -> None:
    await tab.go("#/account/keys")
    await tab.button("Create a key").click()
    form = tab.page.get_by_role("dialog", name="Create an API key")
    size = "phone" if tab.is_phone else "desktop"
    await form.get_by_label("Name").fill(f"Looked at on {size}")
    await form.get_by_role("button", name="Create", exact=True).click()
    await tab.page.get_by_role("dialog", name=re.compile("The key looked-at-on-")).wait_for()


async def details(stage: Stage, tab: Tab) -> None:
    await open_conversation(tab)
    await tab.answers.first.hover()
    await tab.answers.first.get_by_role("button", name="Details", exact=True).click()
    await tab.answers.first.get_by_role("button", name="Answer again with another model", exact=True).click()
    await tab.page.get_by_role("menuitem").first.wait_for()


async def correcting(stage: Stage, tab: Tab) -> None:
    await open_conversation(tab)
    await tab.answers.first.hover()
    await tab.answers.first.get_by_role("button", name="Correct the answer", exact=True).click()
    await tab.page.get_by_role("textbox", name="The answer, corrected").wait_for()


async def nowhere(stage: Stage, tab: Tab) -> None:
    await tab.go("#/no/such/page")
    await tab.sees("There is no such page")


async def temporary(stage: Stage, tab: Tab) -> None:
    await tab.open_side()
    await tab.page.get_by_role("button", name="Temporary chat").first.click()
    await tab.sees("This is a temporary chat.")


async def deleting(stage: Stage, tab: Tab) -> None:
    await tab.open_side()
    await tab.conversations.first.press("Delete")
    await tab.page.get_by_role("alertdialog").wait_for()


MORE: Final[Mapping[str, Act]] = {
    "login": login,
    "queue": queue,
    "register": register,
    "wrong-password": wrong_password,
    "secret": secret,
    "details": details,
    "correcting": correcting,
    "nowhere": nowhere,
    "temporary": temporary,
    "deleting": deleting,
}
SAME: Final = {"conversation-end"}
"""Pictures of what is on another one, further down."""
ALIKE: Final = {
    "correcting", "delete-all", "deleting", "details", "editing", "failed", "keys", "menu", "new-chat", "new-key",
    "nowhere", "password", "reasoning", "register", "search", "secret", "sessions", "settings", "shortcuts",
    "streaming", "temporary", "usage", "wrong-password",
}  # fmt: skip
"""Screens that are built of the same on a phone, only narrower: those are looked at in the long tests."""
SCREENS: Final[Mapping[str, Act]] = {name: act for name, act in {**SCENES, **MORE}.items() if name not in SAME}


# -- looking


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def furnished(stage: Stage) -> Stage:
    await furnish(stage)
    return stage


@asynccontextmanager
async def opened(stage: Stage, size: tuple[int, int]) -> AsyncIterator[Tab]:
    async with person(stage.browser, size=size) as context:
        await context.add_init_script(f"localStorage.setItem('llmgate.preferences', '{PREFERENCES}')")
        await context.add_init_script(path=AXE)
        yield Tab(await context.new_page(), stage.url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desktop(furnished: Stage) -> AsyncIterator[Tab]:
    async with opened(furnished, DESKTOP) as tab:
        yield tab


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def phone(furnished: Stage) -> AsyncIterator[Tab]:
    async with opened(furnished, PHONE) as tab:
        yield tab


async def begin(stage: Stage, tab: Tab) -> None:
    """A new chat of somebody who is logged in, whatever was there before."""
    await tab.page.goto("about:blank")
    await tab.page.emulate_media(color_scheme="light")
    cookies = await tab.page.context.cookies(stage.url)
    if not cookies:
        await log_in(tab.page.context, stage.url, NAME)
    await tab.go()


async def look(tab: Tab) -> Violations:
    """All rules in the light; in the dark only the colors are others."""
    found: Violations = await tab.page.evaluate(LOOK, {"type": "tag", "values": TAGS})
    await tab.page.emulate_media(color_scheme="dark")
    dark: Violations = await tab.page.evaluate(LOOK, {"type": "rule", "values": ["color-contrast"]})
    return [*found, *({**one, "id": f"{one['id']}, in the dark"} for one in dark)]


async def forget(stage: Stage) -> None:
    """What a test has asked: "the conversation" is the one that was furnished."""
    stage.ollama.forget_scripts()
    async with stage.gateway.services.database.begin() as tx:
        await tx.execute(conversations.delete().where(conversations.c.title.startswith(QUESTION[:20])))


def told(violations: Violations) -> str:
    return json.dumps(violations, indent=1)


SIZES: Final = [
    pytest.param(name, size, id=f"{name}-{size}", marks=[pytest.mark.long] if size == "phone" and name in ALIKE else [])
    for name in SCREENS
    for size in ("desktop", "phone")
]


@pytest.mark.parametrize(("screen", "size"), SIZES)
async def test_nothing_serious(furnished: Stage, desktop: Tab, phone: Tab, screen: str, size: str) -> None:
    tab = desktop if size == "desktop" else phone
    async with AsyncExitStack() as stack:
        stack.push_async_callback(forget, furnished)
        if screen == "queue":
            await stack.enter_async_context(crowded(furnished))
        stack.push_async_callback(tab.page.goto, "about:blank")
        await begin(furnished, tab)
        await SCREENS[screen](furnished, tab)
        found = await look(tab)
    lesser = [one for one in found if one["impact"] not in SERIOUS]
    if lesser:
        print(f"{screen}, {size}: {told(lesser)}")  # noqa: T201 - shown beside a failure, or with -s
    assert [one for one in found if one["impact"] in SERIOUS] == [], told(found)
