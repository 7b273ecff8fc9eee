"""Every promise that is published names the tests that show it, and there are such tests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROMISE = re.compile(r"^### (.+)$", re.MULTILINE)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
ENOUGH = 14


@dataclass(frozen=True, slots=True)
class Promise:
    """What is promised, and the tests that are said to show it: file, function."""

    words: str
    tests: list[tuple[str, str]]


def promises(document: str) -> list[Promise]:
    """Those in the part of the document that lists them."""
    part = document.partition("## What is promised")[2].partition("\n## ")[0]
    pieces = PROMISE.split(part)[1:]
    return [Promise(words, NAMED.findall(text)) for words, text in zip(pieces[::2], pieces[1::2], strict=True)]


def unknown(promise: Promise) -> list[str]:
    """Tests of a promise that there are not."""
    missing = []
    for file, name in promise.tests:
        path = ROOT / file
        if not path.exists() or not re.search(rf"^(async )?def {name}\(", path.read_text("utf-8"), re.MULTILINE):
            missing.append(f"{file}::{name}")
    return missing


PUBLISHED = promises((ROOT / "docs" / "reliability.md").read_text("utf-8"))


def test_all_promises_are_published() -> None:
    assert len(PUBLISHED) >= ENOUGH


@pytest.mark.parametrize("promise", PUBLISHED, ids=lambda promise: promise.words)
def test_a_promise_is_shown_by_tests_that_there_are(promise: Promise) -> None:
    assert promise.tests, "nothing shows it"
    assert unknown(promise) == []


def test_a_promise_without_a_test_is_found() -> None:
    bare, wrong = promises(
        "## What is promised\n\n### No test\n\nWords.\n\n### Wrong ones\n\n"
        "`tests/test_promises.py::test_not_there` `tests/nowhere.py::test_x`\n\n## Else\n\n### Not a promise\n"
    )
    assert not bare.tests
    assert unknown(wrong) == ["tests/test_promises.py::test_not_there", "tests/nowhere.py::test_x"]
