"""Pictures of the chat page: ``python -m tests.browser.pictures DIRECTORY`` draws all of it, on a phone and on a
desktop, light and dark; with ``--docs`` only those of the documentation.

The system's own font is what the page is written in. Here that is Inter, where it is installed (Debian: fonts-inter).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final
from unittest import mock

import structlog
from playwright.async_api import expect

from llmgate.daemon.queue.figures import Figures
from llmgate.daemon.store.chats import conversations
from tests.browser.harness import DESKTOP, PHONE, Scheme, Tab, chromium, person
from tests.browser.picture_world import ANSWER, NAME, QUESTION, furnish
from tests.browser.stage import THINKER, Stage, log_in, open_stage
from tests.fakes import Script
from tests.gateway.harness import CHAT

SIZES: Final = {"desktop": DESKTOP, "phone": PHONE}
SCHEMES: Final[tuple[Scheme, ...]] = ("light", "dark")
Picture = tuple[str, str, Scheme, Path]
"""Scene, size, scheme, and the file."""
FOR_DOCS: Final[Sequence[tuple[str, str, Scheme, str]]] = (
    ("conversation", "desktop", "light", "desktop"),
    ("queue", "phone", "dark", "phone-dark"),
)
PREFERENCES: Final = json.dumps({"lastModel": THINKER})
STILL_SECONDS: Final = 0.15
STILL_TRIES: Final = 12
FONT: Final = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<include ignore_missing="yes">/etc/fonts/fonts.conf</include>
<match target="pattern"><test name="family"><string>system-ui</string></test>
<edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit></match>
<alias binding="strong"><family>sans-serif</family><prefer><family>Inter</family></prefer></alias></fontconfig>
"""

Act = Callable[[Stage, Tab], Awaitable[None]]
_numbers = itertools.count(1)


async def login(stage: Stage, tab: Tab) -> None:
    await tab.page.context.clear_cookies()
    await tab.go("#/login")
    await tab.page.get_by_label("Name").fill(NAME)


async def new_chat(stage: Stage, tab: Tab) -> None:
    await tab.ready()


async def conversation(stage: Stage, tab: Tab) -> None:
    await open_conversation(tab)


async def conversation_end(stage: Stage, tab: Tab) -> None:
    await open_conversation(tab)
    await scroll(tab, 100_000)


async def reasoning(stage: Stage, tab: Tab) -> None:
    await open_conversation(tab)
    await tab.page.locator(".thinking-toggle").first.click()
    await tab.sees("The user wants")


async def queue(stage: Stage, tab: Tab) -> None:
    await tab.ready()
    await tab.ask(QUESTION)
    await tab.sees("Waiting for 3 s", within=tab.queue_card)


async def streaming(stage: Stage, tab: Tab) -> None:
    await tab.ready()
    gate = f"picture-{next(_numbers)}"
    pieces = [ANSWER[start : start + 20] for start in range(0, len(ANSWER), 20)]
    stage.ollama.script(Script(tokens=pieces, token_gates={34: gate}))
    await tab.ask(QUESTION)
    await tab.sees("default_rng", within=tab.answers.last)


async def failed(stage: Stage, tab: Tab) -> None:
    await tab.ready()
    stage.ollama.script(Script(tokens=[ANSWER[:300], "x"], error_after=(1, "model runner has unexpectedly stopped")))
    await tab.ask(QUESTION)
    await tab.page.get_by_role("alert").wait_for()


async def editing(stage: Stage, tab: Tab) -> None:
    await open_conversation(tab)
    await tab.questions.first.hover()
    await tab.button("Edit and send again").click()


async def models(stage: Stage, tab: Tab) -> None:
    await tab.ready()
    await tab.page.locator(".model-button").click()
    await tab.page.get_by_role("option").first.wait_for()


async def options(stage: Stage, tab: Tab) -> None:
    await tab.ready()
    await tab.button("Options").click()
    await tab.page.get_by_role("textbox", name="System prompt", exact=True).fill("You are a patient teacher.")
    await tab.page.get_by_role("textbox", name="Temperature", exact=True).fill("0.4")


async def shortcuts(stage: Stage, tab: Tab) -> None:
    await tab.ready()
    await tab.field.blur()
    await tab.page.keyboard.press("?")
    await tab.page.get_by_role("dialog", name="Keyboard shortcuts").wait_for()


async def drawer(stage: Stage, tab: Tab) -> None:
    await open_conversation(tab)
    await tab.open_side()
    await tab.conversations.first.wait_for()


async def search(stage: Stage, tab: Tab) -> None:
    await tab.ready()
    await tab.open_side()
    await tab.page.get_by_role("searchbox").fill("the")
    await expect(tab.page.locator(".conv-title mark").first).to_be_visible()


async def menu(stage: Stage, tab: Tab) -> None:
    await tab.ready()
    await tab.open_side()
    await tab.page.locator(".frame-user-button").click()
    await tab.page.get_by_role("menuitem", name="Log out").wait_for()


def account(part: str, text: str) -> Act:
    async def act(stage: Stage, tab: Tab) -> None:
        await tab.go(f"#/account/{part}")
        await tab.sees(text)

    return act


async def new_key(stage: Stage, tab: Tab) -> None:
    await tab.go("#/account/keys")
    await tab.button("Create a key").click()
    await tab.page.get_by_role("dialog").get_by_label("Name").fill("Editor plugin")


async def delete_all(stage: Stage, tab: Tab) -> None:
    await tab.go("#/account/settings")
    await tab.button("Delete all conversations…").click()


SCENES: Final[Mapping[str, Act]] = {
    "login": login,
    "new-chat": new_chat,
    "conversation": conversation,
    "conversation-end": conversation_end,
    "reasoning": reasoning,
    "queue": queue,
    "streaming": streaming,
    "failed": failed,
    "editing": editing,
    "models": models,
    "options": options,
    "shortcuts": shortcuts,
    "drawer": drawer,
    "search": search,
    "menu": menu,
    "keys": account("keys", "laptop"),
    "new-key": new_key,
    "usage": account("usage", "By model"),
    "sessions": account("sessions", "This one"),
    "settings": account("settings", "What is kept"),
    "password": account("password", "Current password"),
    "delete-all": delete_all,
}


async def open_conversation(tab: Tab) -> None:
    """The long one, from its beginning on."""
    link = tab.page.locator("a.conv-link").filter(has_text="Monte Carlo").first
    await link.wait_for(state="attached")
    await tab.go(str(await link.get_attribute("href")))
    await expect(tab.answers.last.locator(".katex").first).to_be_visible()
    await expect(tab.answers.last.locator(".hljs-keyword, [class*=hljs]").first).to_be_visible()
    await scroll(tab, 0)


async def scroll(tab: Tab, to: int) -> None:
    turn = "(frame, to) => { frame.dispatchEvent(new WheelEvent('wheel')); frame.scrollTo(0, to); }"
    await tab.page.locator(".transcript-frame").evaluate(turn, to)


@asynccontextmanager
async def crowded(stage: Stage) -> AsyncIterator[None]:
    """Others ask as well: one holds the slot, two stand before us."""
    async with stage.busy(f"crowd-{next(_numbers)}"):
        key = await stage.gateway.new_key(f"others-{next(_numbers)}", level=1)
        headers = {"authorization": f"Bearer {key}"}
        body = {**CHAT, "stream": False}
        waiting = [asyncio.create_task(stage.gateway.post("/api/chat", body, **headers)) for _ in range(2)]
        await stage.gateway.waiting(len(waiting))
        yield
    await asyncio.gather(*waiting)


async def draw(stage: Stage, name: str, size: str, scheme: Scheme, path: Path, *, sharp: bool = False) -> None:
    """One picture. What is asked for it is forgotten."""
    async with AsyncExitStack() as stack:
        stack.enter_context(mock.patch.object(Figures, "estimated_wait", _slow))
        if name == "queue":
            await stack.enter_async_context(crowded(stage))
        context = await stack.enter_async_context(person(stage.browser, size=SIZES[size], scheme=scheme, sharp=sharp))
        await log_in(context, stage.url, NAME)
        await context.add_init_script(f"localStorage.setItem('llmgate.preferences', '{PREFERENCES}')")
        tab = await stack.enter_async_context(stage.tab(context))
        await tab.go()
        await SCENES[name](stage, tab)
        await still(tab)
        await tab.page.screenshot(path=path, caret="hide", animations="disabled")
        await tab.page.evaluate("fetch('gate/auth/logout', {method: 'POST'})")  # or the next ones list this session
        await tab.page.close()
        stage.ollama.forget_scripts()
    async with stage.gateway.services.database.begin() as tx:
        await tx.execute(conversations.delete().where(conversations.c.title.startswith(QUESTION[:20])))


def _slow(_: Figures, ahead: int, slots: int, now: float) -> float:
    """As with a model that takes a quarter of a minute for an answer."""
    return 14.0 * ahead + 8


async def still(tab: Tab) -> None:
    """Wait until two pictures in a row are the same, but for what counts seconds."""
    before = b""
    for _ in range(STILL_TRIES):
        now = await tab.page.screenshot(caret="hide", animations="disabled")
        if now == before:
            return
        before = now
        await asyncio.sleep(STILL_SECONDS)


async def draw_all(directory: Path, wanted: Sequence[Picture], *, sharp: bool) -> None:
    """``directory`` is for what is needed meanwhile. ``sharp``: those of the phone, which are small, for screens with
    more dots than pixels."""
    fonts, state = directory / "fonts.conf", directory / "state"
    async with chromium({"FONTCONFIG_FILE": str(fonts)}) as browser, open_stage(state, browser) as stage:
        await furnish(stage)
        for name, size, scheme, path in wanted:
            await draw(stage, name, size, scheme, path, sharp=sharp and size == "phone")
            sys.stdout.write(f"{path}\n")


def main(arguments: Sequence[str]) -> None:
    """``[--docs] DIRECTORY [SCENE …]``"""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    is_docs = arguments[0] == "--docs"
    target, *names = arguments[is_docs:]
    combined = itertools.product(names or SCENES, SIZES, SCHEMES)
    everything = [(name, size, scheme, f"{name}-{size}-{scheme}") for name, size, scheme in combined]
    scenes = FOR_DOCS if is_docs else everything
    wanted = [(name, size, scheme, Path(target) / f"{file}.png") for name, size, scheme, file in scenes]
    Path(target).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "fonts.conf").write_text(FONT, encoding="utf-8")
        asyncio.run(draw_all(Path(directory), wanted, sharp=is_docs))


if __name__ == "__main__":
    main(sys.argv[1:])
