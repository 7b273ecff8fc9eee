"""The panes of what comes and goes: who waits by level and for how long, and what passes through."""

from __future__ import annotations

from dataclasses import dataclass

from llmgate.tui.overview.sight import LEVELS, Sight, longest
from llmgate.tui.overview.words import lasting, number, rate
from llmgate.tui.picture import SECONDS, Picture
from llmgate.tui.widgets.panel import Line, Look, Pane, line, span
from llmgate.tui.widgets.spark import buckets, spark

NARROW = 50
"""Columns below which a pane says less."""
SPANS = (60, 120, SECONDS)
"""How far back the lines may go, in seconds: no further than there is something to show."""


COUNTED = "counted when answered"
"""Of requests and of tokens."""


@dataclass(frozen=True, slots=True)
class Series:
    """A figure over time as it stands in a row: its name here and in the picture, and what else is said of it."""

    label: str
    history: str
    now: str
    top: str
    more: tuple[str, ...] = ()
    look: Look = ""
    """Of the line and the figure, while there is anything."""


@dataclass(frozen=True, slots=True)
class Widths:
    """Of the columns: the label, the line, now and the highest, and each of what more is said."""

    label: int
    line: int
    figure: int
    more: int


def depth(sight: Sight, width: int, height: int) -> Pane:
    """How many wait in each level, and how long it took lately to get a turn."""
    stats, picture = sight.stats, sight.picture
    if stats is None:
        return Pane("Waiting", "", (_awaited(width),))
    p50, p95 = [pool.wait_p50 for pool in stats.pools], [pool.wait_p95 for pool in stats.pools]
    series = []
    for level in LEVELS:
        waits = lasting(longest(p50, level)), lasting(longest(p95, level))
        waiting = sum(pool.waiting_by_level.get(level, 0) for pool in stats.pools)
        series.append(Series(f"level {level}", f"level{level}", number(waiting), _top(picture, f"level{level}"), waits))
    aged = sum(pool.aged_waiting for pool in stats.pools)
    series.append(Series("aged", "aged", number(aged), _top(picture, "aged"), ("", ""), "accent"))
    series.append(Series("all", "waiting", number(stats.waiting), _top(picture, "waiting"), ("", ""), "bold"))
    narrow = width < NARROW
    figure = 5 if narrow else 6
    more = ("p95",) if narrow else ("p50", "p95")
    if narrow:
        series = [Series(one.label, one.history, one.now, one.top, one.more[1:], one.look) for one in series]
    left = width - 8 - 2 * (figure + 1) - len(more) * 7
    widths = Widths(7, left, figure, 6)
    oldest = max((pool.oldest_wait for pool in stats.pools if pool.waiting), default=None)
    remark = "nobody waits" if not stats.waiting else f"oldest waits {lasting(oldest)}"
    return Pane("Waiting", remark, _table(picture, series, widths, ("level", *more), height))


def traffic(sight: Sight, width: int, height: int) -> Pane:
    """What passes through in a second, and how long it takes until an answer begins."""
    stats, picture = sight.stats, sight.picture
    if stats is None:
        return Pane("Traffic", "", (_awaited(width),))
    names = ("requests/s", "errors/s", "refused/s", "tokens in/s", "tokens out/s")
    histories = ("requests", "errors", "refused", "input_tokens", "output_tokens")
    values = (
        stats.requests_per_second,
        stats.errors_per_second,
        stats.refused_per_second,
        stats.input_tokens_per_second,
        stats.output_tokens_per_second,
    )
    looks: tuple[Look, ...] = ("", "bad", "warn", "", "")
    series = [
        Series(name, history, rate(value), rate(_highest(picture, history)), (), look)
        for name, history, value, look in zip(names, histories, values, looks, strict=True)
    ]
    for name, history, taken in (
        ("1st token p50", "first_token", stats.first_token_p50),
        ("1st token p95", "first_token_p95", stats.first_token_p95),
    ):
        series.append(Series(name, history, lasting(taken), lasting(_highest(picture, history) or None)))
    figure = 6
    widths = Widths(13, width - 14 - 2 * (figure + 1), figure, 0)
    quiet = not any(picture.history("requests")) and not any(picture.history("refused"))
    before = sight.usage is not None and any(row.requests for row in sight.usage.data)
    # A figure of nothing while an answer is written would look wrong without a word.
    remark = COUNTED if stats.running or not quiet else "no requests lately" if before else "no requests yet"
    return Pane("Traffic", remark, _table(picture, series, widths, ("",), height))


def _table(
    picture: Picture, series: list[Series], widths: Widths, titles: tuple[str, ...], height: int
) -> tuple[Line, ...]:
    """A row for each; where there is room, the lines are two rows or more high."""
    rows = max(1, min(4, (height - 1) // len(series)))
    head = line(
        span(titles[0].upper(), widths.label, "dim"),
        span(f"LAST {reach(picture) // 60} MIN", widths.line, "dim"),
        span("NOW", widths.figure, "dim", right=True),
        span("MAX", widths.figure, "dim", right=True),
        *(span(title.upper(), widths.more, "dim", right=True) for title in titles[1:]),
    )
    lines = [head]
    for one in series:
        lines += _row(picture, one, widths, rows)
    return tuple(lines)


def _row(picture: Picture, one: Series, widths: Widths, rows: int) -> list[Line]:
    values = picture.history(one.history)
    top = _highest(picture, one.history)
    drawn = spark(buckets(values, picture.count, widths.line, reach(picture)), top, rows)
    look: Look = "dim" if top <= 0 else one.look if one.look in ("bad", "warn", "accent") else "bar"
    now: Look = "dim" if one.now in ("0", "-") else one.look or "bold"
    above = [line(span("", widths.label), span(part, widths.line, look)) for part in drawn[:-1]]
    return [
        *above,
        line(
            span(one.label, widths.label, "" if now != "dim" else "dim"),
            span(drawn[-1], widths.line, look),
            span(one.now, widths.figure, now, right=True),
            span(one.top, widths.figure, "dim", right=True),
            *(span(more, widths.more, "dim" if more == "-" else "", right=True) for more in one.more),
        ),
    ]


def reach(picture: Picture) -> int:
    """How many seconds the lines go back."""
    return next((span for span in SPANS if picture.count <= span), SECONDS)


def _top(picture: Picture, name: str) -> str:
    return number(_highest(picture, name))


def _highest(picture: Picture, name: str) -> float:
    return max((value for value in picture.history(name) if value is not None), default=0.0)


def _awaited(width: int) -> Line:
    return (span("Waiting for the first figures …", width, "dim"),)
