"""The corpus itself; what the page makes of it is tested in the browser and in web/src/render."""

from __future__ import annotations

import json
from collections import Counter

from tests.browser.hostile.corpus import CORPUS, FILE, Case, document


def test_the_file_for_typescript_is_current() -> None:
    assert FILE.read_text(encoding="ascii") == document()


def test_every_case_has_its_own_name() -> None:
    assert len(CORPUS) >= 220
    assert {name: count for name, count in Counter(case.name for case in CORPUS).items() if count > 1} == {}


def test_cases_arrive_in_every_way() -> None:
    ways = Counter(case.cuts if isinstance(case.cuts, str) else "cut" for case in CORPUS)
    assert min(ways["whole"], ways["characters"], ways["cut"]) >= 50


def test_chunks_make_the_text() -> None:
    assert all("".join(case.chunks()) == case.text for case in CORPUS)
    assert Case("x", (("ab", 2),), (1, 3)).chunks() == ["a", "ba", "b"]
    assert json.loads(document())[0]["name"] == "script-1"
