"""What can be done in a chat, and what becomes of it."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import struct
import zlib
from pathlib import Path

import pytest
from playwright.async_api import Browser, Download, Locator, expect
from sqlalchemy import text

from llmgate.config import ChatSettings, QueueSettings
from tests.browser.harness import PHONE, Tab
from tests.browser.stage import THINKER, VISION, Stage, open_stage
from tests.fakes import Script
from tests.gateway.harness import CHAT

pytestmark = pytest.mark.asyncio(loop_scope="module")


def png(width: int = 8, height: int = 8) -> bytes:
    """A small picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\x20\x90\x60" * width for _ in range(height))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


async def count(stage: Stage, table: str) -> int:
    async with stage.gateway.services.database.read() as tx:
        return int((await tx.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())  # noqa: S608 - a constant


def says(stage: Stage, *answers: str) -> None:
    """What the next answers are."""
    for answer in answers:
        stage.ollama.script(Script(tokens=[answer]))


async def choose_model(tab: Tab, name: str) -> None:
    await tab.page.get_by_role("button", name=re.compile("^Model:")).click()
    await tab.page.get_by_role("option", name=name).click()


async def content_of(download: Download) -> str:
    return await asyncio.to_thread(Path(await download.path()).read_text)


def tool(item: Locator, name: str) -> Locator:
    return item.get_by_role("button", name=name, exact=True)


# -- kinds of asking


async def test_what_is_temporary_is_kept_nowhere(stage: Stage) -> None:
    async with stage.visitor() as tab:
        before = [await count(stage, table) for table in ("conversations", "messages")]
        await tab.button("Temporary chat").first.click()
        await tab.sees("This is a temporary chat.")
        await tab.ask("Between us.")
        await tab.answered("Hello, world!")
        await tab.ask("And this as well.")
        await tab.answered("Hello, world!")
        said = stage.ollama.requests[-1].json["messages"]
        assert [message["content"] for message in said] == ["Between us.", "Hello, world!", "And this as well."]
        assert [await count(stage, table) for table in ("conversations", "messages")] == before
        await expect(tab.conversations).to_have_count(0)
        await tab.page.reload()
        await tab.ready()
        await expect(tab.questions).to_have_count(0)


async def test_a_question_that_is_edited_makes_a_branch(stage: Stage) -> None:
    async with stage.visitor() as tab:
        says(stage, "Blue.", "Green.")
        await tab.ask("Which color has the sky?")
        await tab.answered("Blue.")
        await tool(tab.questions.first, "Edit and send again").click()
        field = tab.page.get_by_role("textbox", name="Your question, changed")
        await field.fill("Which color has grass?")
        await field.press("Control+Enter")
        await tab.answered("Green.")
        said = stage.ollama.requests[-1].json["messages"]
        assert [message["content"] for message in said] == ["Which color has grass?"]
        await tab.sees("Version 2 of 2", within=tab.questions.first)
        await tab.button("Previous version of the question").click()
        await tab.answered("Blue.")
        await tab.page.reload()
        await tab.answered("Blue.")
        await tab.button("Next version of the question").click()
        await tab.answered("Green.")


async def test_an_answer_that_was_stopped_can_be_gone_on_with(stage: Stage) -> None:
    async with stage.visitor() as tab:
        stage.ollama.script(Script(tokens=["Once ", "upon ", "a time."], token_gates={2: "never-comes"}))
        await tab.ask("A story, please.")
        await tab.sees("Once upon", within=tab.answers.last)
        await tab.button("Stop").click()
        await tab.settled()
        says(stage, "a hill.")
        await tool(tab.answers.last, "Continue").click()
        await tab.answered("Once upon a hill.")
        said = stage.ollama.requests[-1].json["messages"]
        assert said[-1] == {"role": "assistant", "content": "Once upon "}
        await tab.sees("Version 2 of 2", within=tab.answers.last)


async def test_an_answer_can_be_corrected(stage: Stage) -> None:
    async with stage.visitor() as tab:
        says(stage, "Two and two is five.", "Yes.")
        await tab.ask("What is 2 + 2?")
        await tab.answered("Two and two is five.")
        await tool(tab.answers.last, "Correct the answer").click()
        await tab.page.get_by_role("textbox", name="The answer, corrected").fill("Two and two is four.")
        await tab.button("Save").click()
        await tab.answered("Two and two is four.")
        await tab.ask("Really?")
        await tab.answered("Yes.")
        assert stage.ollama.requests[-1].json["messages"][1]["content"] == "Two and two is four."


async def test_another_model_answers_and_its_reasoning_is_shown_apart(stage: Stage) -> None:
    async with stage.visitor() as tab:
        await choose_model(tab, THINKER)
        stage.ollama.script(Script(thinking=["Let me think.\n\n"] * 60, tokens=["Done."]))
        await tab.ask("Think first.")
        await tab.answered("Done.")
        assert stage.ollama.requests[-1].json["model"] == THINKER
        reasoning = tab.page.get_by_role("button", name=re.compile("^Thought")).first
        await reasoning.click()
        await tab.sees("Let me think.", within=tab.answers.last)
        await expect(reasoning).to_be_in_viewport()  # what was opened is there to be read
        await tab.page.reload()
        await tab.sees(THINKER, within=tab.page.get_by_role("button", name=re.compile("^Model:")))


async def test_the_options_reach_the_upstream(stage: Stage) -> None:
    async with stage.visitor() as tab:
        await tab.button("Options").click()
        dialog = tab.page.get_by_role("dialog", name="Options of this chat")
        fields = {"System prompt": "Answer like a pirate.", "Temperature": "0.3", "Seed": "7", "Top K": "no number"}
        for name, value in fields.items():
            await dialog.get_by_role("textbox", name=name, exact=True).fill(value)
        top = dialog.get_by_role("textbox", name="Top K", exact=True)
        await dialog.get_by_role("button", name="Save", exact=True).click()
        await expect(top).to_be_focused()
        await top.fill("20")
        await dialog.get_by_role("button", name="Save", exact=True).click()
        await tab.ask("Hello?")
        await tab.answered("Hello, world!")
        asked = stage.ollama.requests[-1].json
        assert asked["messages"][0] == {"role": "system", "content": "Answer like a pirate."}
        assert asked["options"] == {"temperature": 0.3, "seed": 7, "top_k": 20}
        await tab.page.reload()
        await tab.button("Options: 4 changed").click()
        await expect(dialog.get_by_role("textbox", name="Temperature", exact=True)).to_have_value("0.3")


async def test_a_picture_reaches_a_model_that_can_see(stage: Stage) -> None:
    picture = png()
    async with stage.visitor() as tab:
        await expect(tab.button("This model cannot see pictures")).to_be_disabled()
        await choose_model(tab, VISION)
        await tab.button("Attach pictures").wait_for()
        file = {"name": "green.png", "mimeType": "image/png", "buffer": picture}
        await tab.page.locator("input[type=file]").set_input_files(file)  # type: ignore[arg-type]
        await tab.page.get_by_role("img", name="Attached, number 1").wait_for()
        await tab.ask("What is this?")
        await tab.answered("Hello, world!")
        [sent] = stage.ollama.requests[-1].json["messages"][-1]["images"]
        head = base64.b64decode(sent)[:24]  # drawn anew by the page: where it was taken is nobody's business
        assert (head[:8], struct.unpack(">II", head[16:])) == (picture[:8], (8, 8))
        await tab.page.reload()
        shown = tab.questions.first.locator("img")
        await expect(shown).to_be_visible()
        await expect(shown).to_have_js_property("naturalWidth", 8)


# -- what is not sent, and what is refused


async def test_a_draft_outlives_a_reload(stage: Stage) -> None:
    async with stage.visitor() as tab:
        await tab.ask("First.")
        await tab.answered("Hello, world!")
        await tab.field.fill("Not sent yet")
        await tab.page.reload()
        await expect(tab.field).to_have_value("Not sent yet")
        await tab.button("New chat").click()
        await expect(tab.field).to_have_value("")
        await tab.page.go_back()
        await expect(tab.field).to_have_value("Not sent yet")


async def test_what_is_refused_comes_back_into_the_field(stage: Stage) -> None:
    async with stage.visitor() as tab:
        stage.ollama.models.remove(VISION)
        try:
            await choose_model(tab, VISION)
            await stage.gateway.services.upstreams.refresh(["fake"])
            await tab.field.fill("Is anybody there?")
            await tab.field.press("Enter")
            await tab.sees("not", within=tab.page.get_by_role("alert"))
            await expect(tab.field).to_have_value("Is anybody there?")
            await expect(tab.questions).to_have_count(0)
        finally:
            stage.ollama.models.insert(1, VISION)
            await stage.gateway.services.upstreams.refresh(["fake"])


async def test_a_full_line_is_told_and_can_be_tried_again(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    state = tmp_path_factory.mktemp("full") / "state"
    queue = QueueSettings(settle_ms=0, max_waiting=1)
    async with open_stage(state, browser, queue=queue) as stage, stage.visitor() as tab:
        async with stage.busy("quick"):
            stage.ollama.release("quick")  # from this one it is known how soon there may be room again
        async with stage.busy("full"):
            other = asyncio.create_task(stage.gateway.post("/api/chat", {**CHAT, "stream": False}))
            await stage.gateway.waiting(1)
            await tab.ask("Is there room?")
            await tab.sees("Try again", within=tab.page.get_by_role("alert"))
            await tab.sees("Is there room?", within=tab.questions.last)
        await other
        await tab.page.get_by_role("button", name="Retry", exact=True).click(timeout=30_000)
        await tab.answered("Hello, world!")
        await expect(tab.questions).to_have_count(1)


# -- what is kept


async def test_conversations_can_be_taken_away_and_deleted(stage: Stage) -> None:
    async with stage.visitor() as tab:
        await tab.ask("First question?")
        await tab.answered("Hello, world!")
        await tab.ask_anew("Second question?")
        await tab.answered("Hello, world!")
        await expect(tab.conversations).to_have_count(2)
        await tab.page.get_by_role("button", name="Options of “Second question?”").click()
        async with tab.page.expect_download() as download:
            await tab.page.get_by_role("menuitem", name="Export as Markdown").click()
        assert "Second question?" in await content_of(await download.value)
        await tab.account("Settings")
        async with tab.page.expect_download() as download:
            await tab.button("Export all conversations").click()
        exported = json.loads(await content_of(await download.value))
        assert {"First question?", "Second question?"} <= set(re.findall(r"\w+ question\?", json.dumps(exported)))
        await tab.button("Delete all conversations…").click()
        await tab.page.get_by_label("Type DELETE to confirm").fill("DELETE")
        await tab.button("Delete all").click()
        await tab.sees("2 conversations deleted")
        await expect(tab.conversations).to_have_count(0)


async def test_one_conversation_is_deleted_after_a_question(stage: Stage) -> None:
    async with stage.visitor() as tab:
        await tab.ask("Delete me.")
        await tab.answered("Hello, world!")
        await tab.conversations.first.press("Delete")
        await tab.page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
        await tab.sees("Conversation deleted")
        await expect(tab.conversations).to_have_count(0)
        await expect(tab.questions).to_have_count(0)


async def test_the_off_switch_keeps_nothing(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    state = tmp_path_factory.mktemp("off") / "state"
    async with open_stage(state, browser, chat=ChatSettings(conversation_days=0)) as stage, stage.visitor() as tab:
        await tab.sees("This gateway keeps no conversations.")
        await tab.sees("Nothing is kept here.")
        await tab.ask("Forget this.")
        await tab.answered("Hello, world!")
        assert [await count(stage, table) for table in ("conversations", "messages")] == [0, 0]
        await tab.account("Settings")
        await tab.sees("has chosen not to keep conversations")


# -- other hands


async def test_all_of_it_without_a_mouse(stage: Stage) -> None:
    name = await stage.new_user()
    async with stage.visitor(name) as tab:
        press, write = tab.page.keyboard.press, tab.page.keyboard.type
        await expect(tab.field).to_be_focused()
        await write("By keys alone?")
        await press("Shift+Enter")
        await write("In two lines.")
        await press("Enter")
        await tab.answered("Hello, world!")
        assert stage.ollama.requests[-1].json["messages"][-1]["content"] == "By keys alone?\nIn two lines."
        await press("Control+Shift+O")
        await expect(tab.questions).to_have_count(0)
        await expect(tab.field).to_be_focused()
        await write("Another one.")
        await press("Enter")
        await tab.answered("Hello, world!")
        await press("Control+k")
        await write("alone")
        await expect(tab.conversations).to_have_count(1)
        await press("ArrowDown")
        await expect(tab.conversations.first).to_be_focused()
        await press("Enter")
        await tab.sees("In two lines.", within=tab.questions.first)
        await expect(tab.field).to_be_focused()
        await press("Control+k")
        await press("ArrowDown")
        await press("F2")
        await write("Keys")
        await press("Enter")
        await expect(tab.conversations.first).to_have_text(re.compile("Keys"))
        await press("Control+k")
        await press("Escape")
        await expect(tab.conversations).to_have_count(2)
        await press("Control+/")
        await expect(tab.field).to_be_focused()
        stage.ollama.script(Script(token_gates={1: "keys"}))
        await write("Stop this.")
        await press("Enter")
        await tab.sees("Hello", within=tab.answers.nth(1))
        await press("Escape")
        await tab.sees("Stopped", within=tab.answers.nth(1))
        await expect(tab.conversations.first).to_have_text("Keys")
        await press("Alt+ArrowDown")
        await tab.sees("Another one.", within=tab.questions.first)


async def test_a_phone_has_a_drawer(stage: Stage) -> None:
    async with stage.visitor(size=PHONE) as tab:
        await tab.ask("On the way.")
        await tab.answered("Hello, world!")
        await expect(tab.conversations.first).not_to_be_visible()
        await tab.button("Open the menu").click()
        await expect(tab.conversations.first).to_be_visible()
        await tab.page.get_by_role("dialog").get_by_role("button", name="New chat").click()
        await expect(tab.conversations.first).not_to_be_visible()
        await expect(tab.questions).to_have_count(0)
        wide = await tab.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0
