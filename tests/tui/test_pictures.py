"""Every screen looks as it did when somebody looked at it: at two sizes, dark and light.

What was changed on purpose is kept with ``make pictures``; look at the new pictures before they are committed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tui.pictures import SCENES, SIZES, kept, kept_as, picture

SNAPSHOTS = Path(__file__).parent / "snapshots"


def each() -> list[Any]:
    """Every picture. Each size in one theme and each theme at one size in every run, the rest in the long one."""
    usual = (("llmgate-dark", SIZES[0]), ("llmgate-light", SIZES[1]))
    return [
        pytest.param(*one, marks=() if (one[2], one[1]) in usual else pytest.mark.long, id=kept_as(*one))
        for one in kept()
    ]


@pytest.mark.parametrize(("name", "size", "theme"), each())
async def test_the_screen_looks_as_it_did(name: str, size: tuple[int, int], theme: str, tmp_path: Path) -> None:
    expected = (SNAPSHOTS / kept_as(name, size, theme)).read_text(encoding="utf-8")
    now = await picture(SCENES[name], size, theme)
    seen = tmp_path / kept_as(name, size, theme)
    seen.write_text(now, encoding="utf-8")
    assert now == expected, f"It is drawn differently now: {seen}. If that is as it should be: make pictures"


def test_no_picture_is_left_over() -> None:
    assert {path.name for path in SNAPSHOTS.glob("*.svg")} == {kept_as(*one) for one in kept()}
