"""How far a pull has come, and what is told of a model: figures and lines, without a terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from llmgate import schemas
from llmgate.tui.progress import LAYERS, Pull, Share, amount, bar, percent, speed
from llmgate.tui.pulls import _same
from llmgate.tui.screens.model_facts import CELLS, ENTRIES, LINES, TITLE, flattened


def event(digest: str | None = "a", completed: int | None = None, total: int | None = 1000, **more: Any) -> Any:
    return schemas.PullEvent(upstream="gpu", status="pulling", digest=digest, total=total, completed=completed, **more)


def test_layers_are_added_up_and_the_rate_is_that_of_what_was_loaded_here() -> None:
    share = Share("gpu")
    share.take(event("a", 600), 0.0)  # was there before
    assert share.rate(0.0) is None
    share.take(event("a", 800), 1.0)
    share.take(event("b", None, 3000), 2.0)
    assert (share.completed, share.total, share.part) == (800, 4000, 0.2)
    assert share.rate(2.0) == 100.0
    assert share.rate(60.0) == 0.0
    share.take(event(None, done=True), 61.0)
    assert (share.part, share.rate(61.0)) == (1.0, None)


def test_an_upstream_cannot_fill_the_memory_nor_the_bar() -> None:
    share = Share("gpu")
    for number in range(2 * LAYERS):
        share.take(event(str(number), 10**40, -(10**40)), number / 1000)
        share.take(event("one", 10**40, 5), number / 1000)
    assert len(share._layers) == LAYERS
    assert len(share._points) < 100
    assert (share.completed, share.total, share.part) == (5, 5, 1.0)


def test_a_pull_is_as_far_as_its_upstreams_are_on_average() -> None:
    pull = Pull(schemas.ModelPull(model="new", pool="main"), "http://here", datetime(2026, 1, 1, tzinfo=UTC))
    assert (pull.part, pull.state, pull.rate(0.0), pull.status) == (0.0, "running", None, "running")
    pull.take(event("a", 500), 0.0)
    pull.take(event("a", 0).model_copy(update={"upstream": "other", "status": "slow"}), 0.0)
    assert (pull.part, pull.completed, pull.total, pull.status) == (0.25, 500, 2000, "slow")
    pull.take(event(None, done=True, error="no space").model_copy(update={"upstream": "other"}), 1.0)
    pull.running = False
    assert (pull.state, pull.status) == ("failed", "other: no space")
    assert pull.twin == "llmgate models pull --pool main new"


def test_figures_are_told_as_people_say_them() -> None:
    assert (percent(0.999), percent(1.0)) == (" 99%", "100%")
    assert (bar(0.5, 4), bar(1.0, 2), bar(0.0, 1)) == ("━━╌╌", "━━", "╌")
    assert (amount(0, 0), amount(900_000_000, 2_000_000_000)) == ("", "900 MB of 2.0 GB")
    assert (amount(1_000_000_000, 2_000_000_000), speed(None), speed(2e6)) == ("1.0 of 2.0 GB", "", "2.0 MB/s")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("llama3.2", "LLAMA3.2:latest", True),
        ("llama3.2:1b", "llama3.2", False),
        ("localhost:5000/a", "localhost:5000/a:latest", True),
    ],
)
def test_names_of_one_model_are_known(one: str, other: str, same: bool) -> None:
    assert _same(one, other) is same


def test_what_an_upstream_tells_is_a_line_for_each_entry() -> None:
    lines = flattened(
        {
            "template": "first\n\tsecond",
            "capabilities": ["completion", "tools"],
            "model_info": {"general.architecture": "llama", "nested": {"a": [1, 2]}},
            "n": None,
        }
    )
    assert lines[1:] == [
        ("capabilities", "completion, tools"),
        ("model_info:", "2 entries"),
        ("  general.architecture", "llama"),
        ("  nested", '{"a": [1, 2]}'),
        ("n", "null"),
        ("template", "first"),
        ("", "    second"),
    ]
    assert flattened({}) == []


def test_what_is_long_is_cut_and_what_is_hostile_is_written_out() -> None:
    lines = flattened(
        {
            "\x1b]0;evil": "x" * 5000,
            "license": "\n".join(str(number) for number in range(100)),
            "model_info": {f"key{number}": number for number in range(1000)},
        }
        | {f"more{number}": number for number in range(1000)}
    )
    assert all(len(str(value)) < CELLS + 40 and len(title) <= TITLE for title, value in lines)
    assert all("\x1b" not in title for title, _ in lines)
    assert len(lines) < 2 * ENTRIES + LINES + 10
    assert ("", "… and 88 more lines") in lines
