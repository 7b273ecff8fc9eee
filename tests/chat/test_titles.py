"""Titles of conversations, as texts."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgate.daemon.chat.titles import LONGEST, UNTITLED, cleaned, first_line, shortened

MARKDOWN = st.lists(
    st.sampled_from(
        ["# ", "> ", "- ", "* ", "1. ", "**", "_", "~~", "`", "```", "\n", "[a](b)", "![](c)", "|", " ", ":"]
    )
    | st.text(max_size=8),
    max_size=30,
).map("".join)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("What is a monad?", "What is a monad?"),
        ("\n\n   Hello \t world  \nmore", "Hello world"),
        ("# Hello **world**", "Hello world"),
        ("- [ ] buy `milk`, _now_", "buy milk, now"),
        ("> > 1. quoted ~~away~~", "quoted away"),
        ("See [the docs](https://a.example/b) and ![a cat](c.png)", "See the docs and a cat"),
        ("| a | b |\n|---|---|", "a | b |"),
        ("what is 2*3*4, and 5 * 3?", "what is 2*3*4, and 5 * 3?"),
        ("Explain snake_case_names", "Explain snake_case_names"),
        ("---\n***\nAfter a rule", "After a rule"),
        ("```python\nprint(1)\n```\nWhat does this do?", "What does this do?"),
        ("```python\nprint(1)\n```", "print(1)"),
        ("~~~\nx = 1", "x = 1"),
        ("👍", "👍"),
        ("???", "???"),
        ("", UNTITLED),
        (" \n\t ", UNTITLED),
        ("\u202e\u200b", UNTITLED),
        ("invoice\u202egnp.exe", "invoicegnp.exe"),
        ("a\x1b[31mred\x07", "a [31mred"),
        ("half \ud800 a pair", "half a pair"),
        ("👩\u200d🚀 in space", "👩\u200d🚀 in space"),
        ("word " * 30, "word " * 11 + "word…"),
        ("x" * 61, "x" * 59 + "…"),
        ("你好" * 60, "你好" * 29 + "你…"),
    ],
)
def test_the_first_line_with_words_is_the_title(text: str, title: str) -> None:
    assert first_line(text) == title


@given(st.text(max_size=300) | MARKDOWN)
def test_a_title_is_one_short_visible_line(text: str) -> None:
    for title in (first_line(text), cleaned(text) or "x"):
        assert 0 < len(title) <= LONGEST
        assert title == title.strip()
        for character in title:
            visible = unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
            assert visible or character in "\u200c\u200d"


@given(st.text(min_size=1, max_size=200))
def test_what_is_short_enough_stays_and_what_is_not_keeps_its_beginning(text: str) -> None:
    title = shortened(text)
    if len(text) <= LONGEST:
        assert title == text
    else:
        assert text.startswith(title.removesuffix("…"))
        assert title.endswith("…")


def test_a_cut_tears_no_character_apart() -> None:
    family = "👩\u200d👩\u200d👧\u200d👦"
    assert shortened("x" * 54 + family + "y" * 20) == "x" * 54 + "…"
    assert shortened("x" * 58 + "e\u0301" + "y" * 20) == "x" * 58 + "…"


def test_a_huge_question_takes_no_time() -> None:
    for piece in ("[", "*", "_" * 3, "# ", "> ", "![](", "`", "- [ ] ", "\u202e"):
        assert len(first_line(piece * 200_000)) <= LONGEST
        assert len(cleaned(piece * 200_000) or "") <= LONGEST


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ("Sorting in Python", "Sorting in Python"),
        ('  "Sorting in Python."\n', "Sorting in Python"),
        ("**Title:** Sorting in Python", "Sorting in Python"),
        ("# Titre : « Les chats »", "Les chats"),
        ("标题：排序算法。", "排序算法"),  # noqa: RUF001 - as a model writes it
        ("Here is a title:\n\n`Cats and Dogs`", "Cats and Dogs"),
        ("<think>The user wants\na title</think>\n\nCats", "Cats"),
        ("'Cats'", "Cats"),
        ("The dogs' day in the '90s", "The dogs' day in the '90s"),
        ("Wait for it...", "Wait for it..."),
        ("C++", "C++"),
        ("The conversation title: A", "A"),
        ("a " * 12, "a a a a a a a a a a a a"),
        ("verylongword" * 6, ("verylongword" * 6)[:59] + "…"),
        ("", None),
        ("...", None),
        ("<think>still thinking", None),
        ("I'm sorry, I cannot help.", None),
        ("As an AI model", None),
        ("a " * 13, None),
        ("x" * 101, None),
        ("Title:", None),
    ],
)
def test_of_what_a_model_answers_only_a_title_is_taken(answer: str, title: str | None) -> None:
    assert cleaned(answer) == title
