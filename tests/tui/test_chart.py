"""What the charts of usage count and how they are drawn, without a terminal."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rich.cells import cell_len

from llmgate import schemas
from llmgate.tui.screens.usage import totals
from llmgate.tui.screens.usage_sums import MARKS, MEASURES, OTHERS, account, labels, moments
from llmgate.tui.widgets.chart import Series, brief, drawn, folded, top_of

SINCE = datetime(2026, 11, 24, 14, tzinfo=UTC)
UNTIL = datetime(2026, 11, 25, 14, 30, tzinfo=UTC)
REQUESTS, TOKENS, ERRORS, WAIT = MEASURES


def text_of(lines: Any) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


def row(key: str, then: str | None, requests: int, **more: Any) -> schemas.UsageRow:
    sums = {"errors": 0, "input_tokens": 10 * requests, "output_tokens": requests, "wait_seconds": requests / 2}
    return schemas.UsageRow.model_validate(
        {"key": key, "name": key, "then_key": then, "then_name": then, "requests": requests, **sums, **more}
    )


def report(by: str, rows: list[schemas.UsageRow], then: str | None = "user") -> schemas.UsageReport:
    return schemas.UsageReport.model_validate(
        {"group_by": by, "then_by": then, "since": SINCE, "until": UNTIL, "data": rows}
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (7, "7"), (0.25, "0.2"), (950, "950"), (999.6, "1k"), (1000, "1k"), (1234, "1.2k"), (9960, "10k"),
        (34_000, "34k"), (999_499, "999k"), (999_700, "1M"), (5_600_000, "5.6M"), (2**63, "9223P"), (1e300, "huge"),
    ],
)  # fmt: skip
def test_figures_are_short(value: float, text: str) -> None:
    assert brief(value) == text
    assert len(text) <= 5


@pytest.mark.parametrize(
    ("highest", "top"),
    [(0, 1), (-1, 1), (float("inf"), 1), (0.3, 0.3), (1, 1), (1.1, 1.5), (7, 8), (99, 100), (701, 800), (2e15, 2e15)],
)
def test_the_scale_ends_at_a_round_figure(highest: float, top: float) -> None:
    assert top_of(highest) == pytest.approx(top)


def test_neighbours_are_put_together_where_there_is_no_room() -> None:
    assert folded([1, 2, 3, 4, 5], 3) == [3, 7, 5]
    assert folded([1, 2], 5) == [1, 2]
    assert folded([], 5) == []


def test_bars_are_stacked_and_nothing_is_no_bar() -> None:
    series = [Series("█", "bar", (4.0, 0.0, 0.1)), Series("▓", "good", (4.0, 0.0, 0.0))]
    lines = text_of(drawn(series, ["14:00", "15:00", "16:00"], 7 + 3 * 9, 6))
    assert lines == [
        "    8 ┤▓▓▓▓▓▓▓▓                   ",
        "      │▓▓▓▓▓▓▓▓                   ",
        "      │████████                   ",
        "      │████████          ▁▁▁▁▁▁▁▁ ",
        "    0 └───────────────────────────",
        "       14:00    15:00    16:00",
    ]


@pytest.mark.parametrize("values", [(0.0,) * 25, (1e18,) * 25, tuple(float(number % 7) for number in range(25))])
def test_whatever_is_drawn_fits(values: tuple[float, ...]) -> None:
    names = [f"{number:02}:00" for number in range(25)]
    for width in (1, 7, 8, 12, 20, 40, 76, 200):
        for height in (0, 1, 2, 3, 4, 7, 30):
            lines = text_of(drawn([Series("█", "bar", values), Series(*OTHERS, values)], names, width, height))
            assert len(lines) in (0, height)
            assert all(cell_len(line) <= max(width, 7 + 25 + 5) for line in lines)


def test_without_bars_nothing_is_drawn() -> None:
    assert drawn([], [], 80, 10) == []
    assert text_of(drawn([], ["a"], 20, 4))[0].startswith("    1 ┤")


def test_hours_in_which_nothing_was_used_have_their_place() -> None:
    times = moments("hour", SINCE, UNTIL)
    assert (len(times), times[0], times[-1]) == (25, SINCE, datetime(2026, 11, 25, 14, tzinfo=UTC))
    assert len(moments("hour", SINCE, datetime(2026, 11, 25, 14, tzinfo=UTC))) == 24
    days = moments("day", SINCE - timedelta(days=6), UNTIL)
    assert (len(days), days[0]) == (8, datetime(2026, 11, 18, tzinfo=UTC))


def test_hours_stay_apart_when_clocks_are_turned() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    turned = moments("hour", datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 4, tzinfo=UTC))
    assert labels("hour", turned, berlin) == ["00:00", "01:00", "02:00", "02:00", "03:00", "04:00"]
    spring = moments("hour", datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 3, tzinfo=UTC))
    assert labels("hour", spring, berlin) == ["00:00", "01:00", "03:00", "04:00"]
    assert labels("hour", turned[:1], ZoneInfo("Asia/Kolkata")) == ["03:30"]
    assert labels("day", moments("day", SINCE, UNTIL), berlin) == ["11-24", "11-25"]


def test_groups_are_ranked_by_what_is_counted() -> None:
    hour, later = "2026-11-24T15:00:00+00:00", "2026-11-25T13:00:00Z"
    told = report("hour", [row(hour, "a", 3), row(hour, "b", 4, errors=2), row(later, "a", 5), row(later, "c", 0)])
    found = account(told, None, REQUESTS, "user")
    assert [(group.name, group.requests, group.share) for group in found.groups] == [
        ("a", 8, pytest.approx(2 / 3)), ("b", 4, pytest.approx(1 / 3)), ("c", 0, 0.0),
    ]  # fmt: skip
    assert found.groups[0].values[1] == 3
    assert found.groups[0].values[23] == 5
    assert [one.mark for one in found.series] == ["█", "▓", "▒"]
    assert account(told, None, ERRORS, "user").groups[0].name == "b"
    assert account(told, None, WAIT, "user").groups[0].amount == 4.0
    assert account(told, None, TOKENS, "user").groups[0].amount == 88


def test_many_groups_share_a_pattern_and_lose_nothing() -> None:
    chance = random.Random(5)  # noqa: S311  the same each time
    hour = SINCE.isoformat()
    rows = [row(hour, f"key{number:03}", chance.randrange(1000)) for number in range(300)]
    found = account(report("hour", rows), None, REQUESTS, "key")
    assert len(found.groups) == 300
    assert [one.mark for one in found.series] == [*(mark for mark, _ in MARKS), OTHERS[0]]
    assert sum(one.values[0] for one in found.series) == sum(one.requests for one in rows)
    assert {group.mark for group in found.groups[len(MARKS) :]} == {OTHERS[0]}


def test_sums_alone_have_no_bars_of_their_own() -> None:
    over_time = report(
        "day", [row("2026-11-24", None, 5), row("2026-11-25", None, 7), row("2019-01-01", None, 9)], None
    )
    sums = report("user", [row("u1", None, 8, name="ann"), row("-", None, 4, name="-")], None)
    found = account(over_time, sums, REQUESTS, "user")
    assert [(group.name, group.values) for group in found.groups] == [("ann", ()), ("(no user)", ())]
    assert [one.values for one in found.series] == [(5.0, 7.0)]


def test_nothing_at_all_is_drawn_as_nothing() -> None:
    found = account(report("hour", []), None, REQUESTS, "user")
    assert (found.groups, found.series) == ((), ())
    assert totals(found.groups, 200) == "0 requests, 0 errors, 0 tokens in, 0 out"
    assert text_of(drawn(found.series, labels("hour", found.moments, UTC), 80, 5))[0].startswith("    1 ┤")


def test_totals_say_what_matters_most_first_where_there_is_little_room() -> None:
    told = report("hour", [row(SINCE.isoformat(), "a", 1_234_567, errors=12)])
    groups = account(told, None, REQUESTS, "user").groups
    assert totals(groups, 200) == "1,234,567 requests, 12 errors (0.0 %), 12M tokens in, 1.2M out, 0.5 s wait each"
    assert totals(groups, 45) == "1,234,567 requests, 12 errors (0.0 %)"
    assert totals(groups, 5) == "1,234,567 requests"


def test_levels_are_named() -> None:
    groups = account(report("hour", [row(SINCE.isoformat(), "3", 1)]), None, REQUESTS, "level").groups
    assert groups[0].name == "level 3"
