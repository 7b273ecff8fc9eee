"""What the charts of usage count, over which time and by what: decisions without a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from llmgate import schemas
from llmgate.tui.columns import Tone
from llmgate.tui.widgets.chart import Series, brief

UsageRow = schemas.UsageRow
MARKS: tuple[tuple[str, Tone], ...] = (("█", "bar"), ("▓", "good"), ("▒", "accent"), ("░", ""))
OTHERS: tuple[str, Tone] = ("·", "dim")
"""The pattern, and the look, of all groups for which there is none of their own."""
Unit = Literal["hour", "day"]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MOST_MOMENTS = 1000
"""Bars, at most: of a time that is longer, as no daemon tells that was asked for one of these, its end."""
EARLIEST, LATEST = datetime(10, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC)
"""Within them every time can be told in every zone."""


@dataclass(frozen=True)
class Measure:
    """One thing that is counted. ``of`` takes it out of a sum; ``written`` is a figure of it."""

    name: str
    title: str
    of: Callable[[UsageRow], float]
    written: Callable[[float], str] = brief


@dataclass(frozen=True)
class Span:
    """How far back, and how finely."""

    label: str
    since: str
    """As the CLI takes it."""
    length: timedelta
    by: Unit


MEASURES = (
    Measure("requests", "Requests", lambda row: row.requests),
    Measure("tokens", "Tokens, in and out,", lambda row: row.input_tokens + row.output_tokens),
    Measure("errors", "Errors", lambda row: row.errors),
    Measure("wait", "Seconds waited", lambda row: row.wait_seconds),
)
SPANS = (
    Span("24 h", "24h", DAY, "hour"),
    Span("7 d", "7d", 7 * DAY, "day"),
    Span("30 d", "30d", 30 * DAY, "day"),
)
DIMENSIONS = ("user", "key", "model", "level")


@dataclass(frozen=True)
class Group:
    """The sums of one user, key, model or level, its figure for each hour or day, and how it is drawn."""

    key: str
    name: str
    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    wait_seconds: float
    amount: float
    """Of what is counted."""
    share: float
    values: tuple[float, ...]
    mark: str
    look: Tone


@dataclass(frozen=True)
class Account:
    """Everything that the screen shows: the groups, those with most first, and the bars over time."""

    groups: tuple[Group, ...]
    series: tuple[Series, ...]
    by: Unit
    moments: tuple[datetime, ...]
    together: bool = False
    """The bars are of all groups: there are too many of them."""


def moments(by: Unit, since: datetime, until: datetime) -> tuple[datetime, ...]:
    """The beginning of every hour, or UTC day, of a report: also of those in which nothing was used."""
    step = HOUR if by == "hour" else DAY
    end = _utc(until)
    begin = max(_utc(since), end - (MOST_MOMENTS - 1) * step).replace(minute=0, second=0, microsecond=0)
    if by == "day":
        begin = begin.replace(hour=0)
    count = max(1, math.ceil((end - begin) / step))
    return tuple(begin + number * step for number in range(count))


def moment_of(key: str) -> datetime | None:
    """The hour or the day that a sum is of; None where that is not told."""
    try:
        return _utc(datetime.fromisoformat(key))
    except ValueError:
        return None


def _utc(moment: datetime) -> datetime:
    """What has no zone is in UTC already. What would be outside of all calendars is at their edge."""
    try:
        found = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        found = moment.replace(tzinfo=UTC)
    return min(max(found, EARLIEST), LATEST)


def labels(by: Unit, times: Sequence[datetime], zone: tzinfo | None) -> list[str]:
    """Hours on the clock of the wall; days are those of UTC, as they are summed."""
    if by == "day":
        return [f"{moment:%m-%d}" for moment in times]
    return [f"{moment.astimezone(zone):%H:%M}" for moment in times]


def account(over_time: schemas.UsageReport, sums: schemas.UsageReport | None, measure: Measure, by: str) -> Account:
    """``over_time`` is by hour or day and then by group; with ``sums`` by group it is by hour or day alone, since
    together they would be too many."""
    unit: Unit = "hour" if over_time.group_by == "hour" else "day"
    times = moments(unit, over_time.since, over_time.until)
    places = {moment: number for number, moment in enumerate(times)}
    rows: dict[str, list[UsageRow]] = {}
    values: dict[str, list[float]] = {}
    for row in over_time.data:
        key = row.then_key if sums is None and row.then_key is not None else ""
        rows.setdefault(key, []).append(row)
        moment = moment_of(row.key)
        place = places.get(moment) if moment is not None else None
        if place is not None:
            values.setdefault(key, [0.0] * len(times))[place] += measure.of(row)
    if sums is not None:
        rows = {row.key: [row] for row in sums.data}
    groups = _ranked(rows, values, measure, by, named_by_then=sums is None)
    if sums is not None:
        series: tuple[Series, ...] = (Series("█", "bar", tuple(values.get("", [0.0] * len(times)))),)
    else:
        series = _series(groups, len(times))
    return Account(groups, series, unit, times, sums is not None)


def _ranked(
    rows: dict[str, list[UsageRow]], values: dict[str, list[float]], measure: Measure, by: str, *, named_by_then: bool
) -> tuple[Group, ...]:
    amounts = {key: math.fsum(map(measure.of, found)) for key, found in rows.items()}
    whole = math.fsum(amounts.values())
    # Of as many of this, that with more requests goes first: so everything has its place when nothing has failed.
    order = sorted(rows, key=lambda key: (-amounts[key], -sum(row.requests for row in rows[key]), key))
    groups = []
    for rank, key in enumerate(order):
        found = rows[key]
        mark, look = MARKS[rank] if rank < len(MARKS) else OTHERS
        groups.append(
            Group(
                key=key,
                name=_name((found[-1].then_name if named_by_then else found[-1].name) or key, key, by),
                requests=sum(row.requests for row in found),
                errors=sum(row.errors for row in found),
                input_tokens=sum(row.input_tokens for row in found),
                output_tokens=sum(row.output_tokens for row in found),
                wait_seconds=math.fsum(row.wait_seconds for row in found),
                amount=amounts[key],
                share=amounts[key] / whole if whole else 0.0,
                values=tuple(values.get(key, ())),
                mark=mark,
                look=look,
            )
        )
    return tuple(groups)


def _name(name: str, key: str, by: str) -> str:
    if by == "level":
        return f"level {name}"
    return "(no user)" if by == "user" and key == "-" else name


def _series(groups: Sequence[Group], count: int) -> tuple[Series, ...]:
    own = [Series(group.mark, group.look, group.values or (0.0,) * count) for group in groups[: len(MARKS)]]
    rest = groups[len(MARKS) :]
    if rest:
        summed = tuple(math.fsum(group.values[at] for group in rest if group.values) for at in range(count))
        own.append(Series(*OTHERS, summed))
    return tuple(own)
