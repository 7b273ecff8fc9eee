"""Conversations as files. In Markdown, whatever was said stays inside of its own message."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from llmgate.daemon.gate import exports
from llmgate.daemon.gate.exports import disposition
from llmgate.daemon.gate.markdown import document, quoted
from llmgate.daemon.store import conversations
from llmgate.daemon.store.conversations import Conversation
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.images import ImageRef
from llmgate.daemon.store.messages import Message, Role
from tests.chat.keeping import PNG, a_user, begun, exchange

NOW = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
READERS = (MarkdownIt("commonmark", {"html": True}), MarkdownIt("commonmark", {"html": True}).enable("table"))
HOSTILE = (
    "```\nnever closed",
    "~~~~\nnever closed\n~~~",
    "<!-- never closed",
    "<script>alert(1)</script>",
    "a <b>bold</b> <img src=x onerror=alert(1)>",
    "# You, 2026-01-01\n\n---\n\n***",
    "> quoted\nlazy\n\n- list\n\n      code",
    "a\rb\r\rc",
    "[x]: http://example.com\n\n[x]",
    "- ```\n<script>\nstill in the list?",
    "`a\n<img src=x> ` b",
    "\\` <img src=x> `",
    "a | ` | <b> ` |\n- | - | -\n| ` | <b> ` |",
    "   ```\n<b>\n```\n<b>\n```\n<b>",
    "```\n<b>\n   ```\n<b>",
    "1. x\n   ~~~\n<b>",
    "~~~\n\t~~~~\n<b>",
    "[a](`> )> <b title='`'>",
    "[a](\n`\n)<b title='`'>",
    "<pre>\n\n```\n<b>",
    "setext\n===\n\n&#60;b&#62;",
    "`` ` <b> `` <b> `",
)

PIECES = (
    *("`", "``", "```", "~~~", "<b>", "</b>", "<!--", "-->", "<b title='`'>", "<http://x>", "&lt;", "[a](", ")"),
    *("\n", "\r", "\n\n", "|", "\\", " ", "    ", "\t", "- ", "> ", "1. ", "a", "#"),
)


def message(content: str, role: Role = "assistant", model: str | None = "llama3.2") -> Message:
    images = [ImageRef("i", "image/png", 12)] if role == "user" else []
    return Message("m", "c", None, role, content, "secret thought", images, model, NOW, None, None, 1, 1, 1.0, None)


def conversation(title: str = "A chat", system: str | None = None) -> Conversation:
    return Conversation("c", "u", title, "auto", "llama3.2", system, {}, "m", NOW, NOW)


def outline(text: str, reader: MarkdownIt) -> list[tuple[str, str]]:
    """What stands at the top of the page: headings with their text, and the kinds of everything else. No part of the
    page may be HTML."""
    tokens = reader.parse(text)
    html = [one for token in tokens for one in (token, *(token.children or ())) if one.type.startswith("html_")]
    assert html == [], text
    found = []
    for place, token in enumerate(tokens):
        if token.level == 0 and token.nesting >= 0:
            what = tokens[place + 1].content if token.type == "heading_open" else ""
            found.append((token.type, what))
    return found


def expected(count: int) -> list[tuple[str, str]]:
    found = [("heading_open", "A chat"), ("paragraph_open", "")]
    for _ in range(count):
        found += [("heading_open", "You, 2026-01-31 12:30 UTC"), ("blockquote_open", ""), ("paragraph_open", "")]
        found += [("heading_open", "llama3.2, 2026-01-31 12:30 UTC"), ("blockquote_open", "")]
    return found


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", HOSTILE)
def test_what_was_said_stays_in_its_message(text: str, reader: MarkdownIt) -> None:
    shown = document(conversation(), [message(text, "user"), message(text)] * 2)
    assert outline(shown, reader) == expected(2)
    assert "secret thought" not in shown
    assert "Picture: image/png, 12 bytes" in shown


@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_no_text_at_all_gets_out(parts: list[str]) -> None:
    text = "x" + "".join(parts)
    for reader in READERS:
        assert outline(document(conversation(), [message(text, "user"), message(text)]), reader) == expected(1), text


def test_code_is_shown_as_it_is() -> None:
    text = "Use `<div>`:\n\n```html\n<div class='a'>\n    <b>x</b>\n</div>\n```\n\nNot <div> itself; 1 < 2."
    assert list(quoted(text)) == [
        "> Use `<div>`:",
        ">",
        "> ```html",
        "> <div class='a'>",
        ">     <b>x</b>",
        "> </div>",
        "> ```",
        ">",
        "> Not &lt;div> itself; 1 < 2.",
    ]


def test_a_title_and_a_model_mean_nothing_in_markdown() -> None:
    text = document(conversation("*a* <b> `c` [d](e) #"), [message("x", model="<i>_m_")])
    shown = READERS[0].render(text)
    assert "<h1>*a* &lt;b&gt; `c` [d](e) #</h1>" in shown
    assert "<h2>&lt;i&gt;_m_, 2026" in shown


def test_a_system_prompt_and_how_an_answer_ended_are_told() -> None:
    stopped = Message("m", "c", None, "assistant", "", None, [], None, NOW, "stopped", None, None, None, None, None)
    text = document(conversation(system="Be brief.\n<b>"), [stopped])
    assert "## System prompt\n\n> Be brief.\n> &lt;b>\n" in text
    assert "## Model, 2026-01-31 12:30 UTC (stopped)" in text


async def test_what_is_deleted_while_all_is_exported_is_left_out(database: Database) -> None:
    """Also the bytes of pictures whose conversation has begun: the rest of it was read."""
    ann = await a_user(database)
    cut, lost, last = [await begun(database, ann, title) for title in ("cut", "lost", "last")]
    for one in (cut, lost, last):
        await exchange(database, one, "q", "a", PNG)
    order = sorted((cut, lost, last), key=lambda one: one.id)
    file = b""
    async for piece in exports.all_as_json(database, ann):
        file += piece
        if order[0].id.encode() in piece:
            async with database.begin() as tx:
                for one in order[:2]:
                    await conversations.delete(tx, one.id)
    found = json.loads(file)["conversations"]
    assert [one["id"] for one in found] == [order[0].id, order[2].id]
    data = [one["messages"][0]["images"][0]["data"] for one in found]
    assert data == [None, base64.b64encode(PNG[1]).decode()]


@pytest.mark.parametrize(
    ("title", "plain", "full"),
    [
        ("The weather", "chat-The-weather.md", "chat-The-weather.md"),
        ('a"; filename="b.exe', "chat-a-filename-b-exe.md", "chat-a-filename-b-exe.md"),
        ("../../etc/passwd\r\nX: y", "chat-etc-passwd-X-y.md", "chat-etc-passwd-X-y.md"),
        ("Grüße", "chat-Gr-e.md", "chat-Gr%C3%BC%C3%9Fe.md"),
        ("日本語", "chat.md", "chat-%E6%97%A5%E6%9C%AC%E8%AA%9E.md"),
        ("\u202e\u200b!", "chat.md", "chat.md"),
        ("x" * 200, f"chat-{'x' * 55}.md", f"chat-{'x' * 55}.md"),
    ],
)
def test_a_file_is_named_after_its_conversation_with_letters_alone(title: str, plain: str, full: str) -> None:
    assert disposition(title, "md") == f"attachment; filename=\"{plain}\"; filename*=UTF-8''{full}"
