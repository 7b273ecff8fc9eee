"""Usage and finished requests, from the keyboard to the daemon."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from llmgate import schemas
from llmgate.client.usage import Usage as UsageClient
from llmgate.daemon.admin import usage as api
from llmgate.daemon.queue.ticket import Outcome
from llmgate.tui.filters import Filter
from llmgate.tui.screens import usage
from llmgate.tui.screens.requests import OUTCOMES, Requests
from llmgate.tui.screens.usage import Chart
from llmgate.tui.screens.usage_sums import MEASURES, MOST_MOMENTS, account, labels, moments
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


def test_a_time_that_no_calendar_holds_does_not_hold_up_the_screen() -> None:
    for since, until in (((1, 1), (2026, 11)), ((1000, 1), (2026, 11)), ((9999, 1), (9999, 12)), ((2026, 11), (1, 1))):
        for by in ("hour", "day"):
            found = moments(by, datetime(*since, 2, tzinfo=UTC), datetime(*until, 2, tzinfo=UTC))
            assert 1 <= len(found) <= MOST_MOMENTS
            assert len(labels("hour", found, timezone(timedelta(hours=14)))) == len(found)
    days = moments("day", datetime(1000, 1, 1, tzinfo=UTC), datetime(2026, 11, 25, 14, tzinfo=UTC))
    assert days[-1] == datetime(2026, 11, 25, tzinfo=UTC)


@pytest.mark.parametrize("key", ["bad", "2026-W48-9", "", "9999-12-31T23:59:59-14:00"])
def test_a_sum_of_no_time_is_counted_and_not_drawn(key: str) -> None:
    row = {"key": key, "name": "x", "requests": 2, "errors": 0, "input_tokens": 1, "output_tokens": 1}
    row |= {"wait_seconds": 0.0, "refused": 0, "then_key": "a", "then_name": "a"}
    told = {"since": "2026-11-24T14:00Z", "until": "2026-11-25T14:00Z", "group_by": "hour", "data": [row]}
    found = account(schemas.UsageReport.model_validate(told), None, MEASURES[0], "user")
    assert [group.requests for group in found.groups] == [2]
    assert sum(map(sum, (one.values for one in found.series))) == 0


async def test_what_is_frozen_stands_still_altogether(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = await opened(hand)
    await hand.seen("0 requests, 0 errors")
    begun, may_end, ask = asyncio.Event(), asyncio.Event(), UsageClient.report

    async def slow(self: UsageClient, **given: Any) -> schemas.UsageReport:
        begun.set()
        await may_end.wait()
        return await ask(self, **given)

    monkeypatch.setattr(UsageClient, "report", slow)
    await some(hand.site)
    listing.mark()
    await hand.until(begun.is_set, "the question")
    await hand.press("space")
    may_end.set()
    await hand.until(lambda: listing._dirty, "the answer, which is not shown")
    await hand.pilot.pause()
    assert "0 requests, 0 errors" in hand.text
    await hand.press("space")
    await hand.seen("4 requests, 1 errors")


def test_every_outcome_is_known_and_every_filter_is_an_option_of_the_twin() -> None:
    assert set(OUTCOMES) == {outcome.value for outcome in Outcome}
    for listing in (Chart, Requests):
        for item in listing.filters:
            assert isinstance(item, Filter)
            assert parses(f"llmgate {listing.lists} --{item.name} {example(item)}") == listing.lists


def example(item: Filter) -> str:
    return item.choices[0] if item.choices else "1h" if item.name in ("since", "until") else "x"
