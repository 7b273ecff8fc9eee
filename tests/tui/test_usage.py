"""Usage and finished requests, from the keyboard to the daemon."""

from __future__ import annotations

import pytest

from llmgate.daemon.admin import usage as api
from llmgate.daemon.queue.ticket import Outcome
from llmgate.tui.filters import Filter
from llmgate.tui.screens import usage
from llmgate.tui.screens.requests import OUTCOMES, Requests
from llmgate.tui.screens.usage import Chart
from tests.admin.test_usage import HOUR, NOW, finished, log, some
from tests.tui.harness import Hand, parses

SPREADSHEET = "For a spreadsheet: $ "


async def opened(hand: Hand) -> Chart:
    await hand.go("usage")
    return await hand.filled(Chart)


def named(listing: Chart) -> list[tuple[str, int]]:
    return [(row.name, row.requests) for row in listing.table.rows]


def twin(hand: Hand) -> str:
    """What would write the same for a spreadsheet."""
    return next(line for line in hand.lines if SPREADSHEET in line).strip().removeprefix(SPREADSHEET)


async def test_the_chart_is_counted_grouped_and_stretched_with_single_keys(hand: Hand) -> None:
    await some(hand.site)
    listing = await opened(hand)
    await hand.until(lambda: named(listing) == [("ada", 3), ("(no user)", 1)], "sums by user")
    await hand.seen("Requests by user, per hour, last 24 h")
    await hand.seen("4 requests, 1 errors (25.0 %)")
    assert twin(hand) == "llmgate usage --by hour --then-by user --since 24h --csv"
    assert parses(twin(hand)) == "usage"
    await hand.press("m")
    await hand.seen("Tokens, in and out, by user")
    await hand.press("m")
    await hand.seen("[errors]")
    await hand.until(lambda: [row.share for row in listing.table.rows] == [1.0, 0.0], "ada's is the only error")
    await hand.press("m", "m", "b")
    await hand.seen("by key (of API keys only)")
    await hand.press("b")
    await hand.until(lambda: named(listing) == [("llama3:latest", 2), ("qwen", 2)], "sums by model")
    await hand.press("b")
    await hand.until(lambda: named(listing) == [("level 2", 3), ("level 5", 1)], "sums by level")
    await hand.press("plus")
    await hand.seen("per UTC day, last 7 d")
    await hand.press("plus", "plus")
    await hand.seen("last 30 d")
    assert twin(hand) == "llmgate usage --by day --then-by level --since 30d --csv"
    await hand.press("minus", "t", "t")
    await hand.seen("last 24 h")


async def test_the_chart_is_narrowed_and_its_groups_are_told_in_full(hand: Hand) -> None:
    made = await some(hand.site)
    listing = await opened(hand)
    await hand.press("slash")
    await hand.write("model:qwen key:laptop")
    await hand.until(lambda: named(listing) == [("ada", 2)], "what is left")
    await hand.until(lambda: "--model qwen" in twin(hand), "the filter in the twin")
    assert parses(twin(hand)) == "usage"
    await hand.press("enter", "enter")
    await hand.seen(made["ada"])
    await hand.seen("100.0 %")
    await hand.press("escape", "slash", "ctrl+u")
    await hand.write("level:9")
    await hand.seen("level is one of")
    await hand.press("escape")
    await hand.until(lambda: len(named(listing)) == 2, "everything again")


async def test_of_too_many_groups_the_bars_are_drawn_together(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    await some(hand.site)
    monkeypatch.setattr(usage, "MOST_SUMS", 3)
    listing = await opened(hand)
    await hand.until(lambda: named(listing) == [("ada", 3), ("(no user)", 1)], "sums by user all the same")
    await hand.seen("Requests of all together: too many to draw by user")
    monkeypatch.setattr(api, "MOST_GROUPS", 0)
    await hand.press("r")
    await hand.seen("These are more than 0 groups.")


async def test_nothing_used_is_said(hand: Hand) -> None:
    await opened(hand)
    await hand.seen("Nothing was used in this time.")
    await hand.seen("0 requests, 0 errors")


async def test_finished_requests_come_by_themselves_and_are_told_in_full(hand: Hand) -> None:
    await log(hand.site, finished(1, finished_at=NOW - HOUR))
    await hand.go("usage")
    await hand.press("v")
    listing = await hand.filled(Requests)
    await hand.until(lambda: len(listing.table.rows) == 1, "the request")
    key = (await hand.site.made("keys", name="robot"))["key"]
    answer = await hand.site.nobody.post(
        "/v1/chat/completions",
        json={"model": "llama3.2", "messages": [{"role": "user", "content": "hi"}]},
        headers={"authorization": f"Bearer {key}"},
    )
    assert answer.status_code == 200, answer.text
    await hand.until(lambda: listing.table.rows[0].principal_name == "robot", "the new request, on top")
    await hand.press("g", "enter")
    await hand.seen("tokens out")
    await hand.seen("/v1/chat/completions (openai)")
    assert parses(hand.twin) == listing.lists


async def test_finished_requests_are_filtered_at_the_daemon(hand: Hand) -> None:
    await some(hand.site)
    await hand.go("usage")
    await hand.press("v")
    listing = await hand.filled(Requests)
    for line, expected in (
        ("outcome:upstream_failed", ["r3"]),
        ("ada level:5", ["r2"]),
        ("upstream:gpu-2 key:laptop", ["r3"]),
        ("until:90m", ["r4"]),
        ("since:30m model:qwen", ["r3"]),
    ):
        await hand.press("slash", "ctrl+u")
        await hand.write(line)
        await hand.until(lambda: sorted(row.request_id for row in listing.table.rows) == expected, line)  # noqa: B023
    await hand.press("ctrl+u")
    await hand.write("outcome:lost")
    await hand.seen("outcome is one of")


def test_every_outcome_is_known_and_every_filter_is_an_option_of_the_twin() -> None:
    assert set(OUTCOMES) == {outcome.value for outcome in Outcome}
    for listing in (Chart, Requests):
        for item in listing.filters:
            assert isinstance(item, Filter)
            assert parses(f"llmgate {listing.lists} --{item.name} {example(item)}") == listing.lists


def example(item: Filter) -> str:
    return item.choices[0] if item.choices else "1h" if item.name in ("since", "until") else "x"
