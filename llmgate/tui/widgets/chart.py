"""Stacked bars over time, as lines of text: each part has its own pattern, so that colours are not needed to tell
them apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from llmgate.tui.widgets.panel import Line, Look, Span

AXIS = 7
"""Cells of the scale on the left, with its line."""
WIDEST = 8
"""Cells of a bar, at most."""
STEPS = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
"""Of a power of ten: where a scale may end."""
UNITS = ("", "k", "M", "G", "T", "P")


@dataclass(frozen=True)
class Series:
    """One part of each bar: its pattern, how it looks, and its figure for each bar."""

    mark: str
    look: Look
    values: tuple[float, ...]


def brief(value: float) -> str:
    """A figure in at most five characters: 950, 1.2k, 34k, 5.6M."""
    size = abs(value)
    for unit in UNITS:
        if size < 999.5 or unit == UNITS[-1]:
            break
        value, size = value / 1000, size / 1000
    written = f"{value:.0f}" if size >= 9.95 else f"{value:.1f}".removesuffix(".0")
    return written + unit if size < 9_999.5 else "huge"


def top_of(highest: float) -> float:
    """The next round figure, whose half is one as well. 1 for nothing."""
    if not 0 < highest < math.inf:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    return next((step * power for step in STEPS if step * power >= highest), highest)


def folded(values: Sequence[float], count: int) -> list[float]:
    """Neighbours summed until there are at most ``count``."""
    each = max(1, -(-len(values) // max(1, count)))
    return [math.fsum(values[at : at + each]) for at in range(0, len(values), each)]


def drawn(series: Sequence[Series], labels: Sequence[str], width: int, height: int) -> list[Line]:
    """Bars on so many columns and lines, with a scale and, below, the labels of the bars that there is room for.

    There are as many labels as each series has values. Where there is too little room for all bars, neighbours are
    put together.
    """
    room, rows = width - AXIS, height - 2
    if room < 1 or rows < 1 or not labels:
        return []
    parts = [Series(one.mark, one.look, tuple(folded(one.values, room))) for one in series]
    each = max(1, -(-len(labels) // room))
    names = labels[::each]
    step = room // len(names)
    bar = min(WIDEST, step - 1 if step > 2 else step)
    totals = [math.fsum(one.values[at] for one in parts) for at in range(len(names))]
    top = top_of(max(totals, default=0.0))
    lines = []
    for row in reversed(range(rows)):
        figure = top if row == rows - 1 else top / 2 if rows > 4 and row == rows // 2 - 1 else None
        spans: list[Span] = [_scale("" if figure is None else brief(figure))]
        for at, total in enumerate(totals):
            mark, look = _cell(parts, at, total, top * (row + 0.5) / rows, lowest=row == 0)
            spans += [(mark * bar, look), (" " * (step - bar), "")]
        lines.append(_joined(spans))
    base: Line = ((f"{'0':>{AXIS - 2}} └", "dim"), ("─" * (step * len(names)), "dim"))
    return [*lines, base, ((" " * AXIS + _named(names, step), "dim"),)]


def _scale(text: str) -> Span:
    return f"{text:>{AXIS - 2}} {'┤' if text else '│'}", "dim"


def _cell(parts: Sequence[Series], at: int, total: float, level: float, *, lowest: bool) -> Span:
    """What stands at this height of a bar. What is more than nothing is seen."""
    reached = 0.0
    for one in parts:
        reached += one.values[at]
        if level < reached:
            return one.mark, one.look
    if lowest and total > 0:
        return "▁", max(parts, key=lambda one: one.values[at]).look
    return " ", ""


def _named(names: Sequence[str], step: int) -> str:
    """Every so manieth label, below the beginning of its bar."""
    longest = max(map(len, names))
    every = max(1, -(-(longest + 1) // step))
    line = ""
    for at in range(0, len(names), every):
        line = line.ljust(at * step) + names[at]
    return line[: len(names) * step + longest]


def _joined(spans: Sequence[Span]) -> Line:
    """Neighbours that look the same, as one."""
    joined: list[Span] = []
    for text, look in spans:
        if joined and joined[-1][1] == look:
            joined[-1] = (joined[-1][0] + text, look)
        elif text:
            joined.append((text, look))
    return tuple(joined)
