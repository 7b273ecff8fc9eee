"""Figures as characters: a line of blocks for a figure over time, a bar for how much of something is used."""

from __future__ import annotations

import math
from collections.abc import Sequence

BLOCKS = " ▁▂▃▄▅▆▇█"
USED, FREE = "━", "─"
SMALLEST = 2
"""Eighths of a line that anything more than nothing is high: nothing is a line of one eighth."""


def buckets(values: Sequence[float | None], count: int, width: int, span: int) -> list[float | None]:
    """The last ``span`` values as ``width`` figures, oldest first, each the highest of its time; None: nothing known,
    which is so where none of its values is.

    ``count`` is how many values there have ever been: a figure that is shown stands for the same time from look to
    look, so that the line moves on by whole cells and not by a shimmer.
    """
    if width < 1:
        return []
    each = max(1, -(-span // width))
    first = count - len(values)
    found: dict[int, float] = {}
    for number, value in enumerate(values, first):
        if value is not None:
            bucket = number // each
            found[bucket] = max(value, found.get(bucket, value))
    newest = max(0, count - 1) // each
    return [found.get(bucket) for bucket in range(newest - width + 1, newest + 1)]


def spark(figures: Sequence[float | None], top: float, rows: int = 1) -> list[str]:
    """Figures as lines of blocks, so many ``rows`` high, the highest row first. ``top`` reaches an eighth less than
    to the very top: lines that stand one below the other are kept apart."""
    heights = [
        None if figure is None or math.isnan(figure) else _height(figure, top, 8 * rows - 1) for figure in figures
    ]
    return ["".join(_block(height, row) for height in heights) for row in reversed(range(rows))]


def _height(figure: float, top: float, whole: int) -> int:
    if figure <= 0 or not top > 0:
        return 1
    if figure >= top:  # also where there is no number for how much it is
        return whole
    return min(whole, max(SMALLEST, round(whole * (figure / top))))


def _block(height: int | None, row: int) -> str:
    return " " if height is None else BLOCKS[max(0, min(8, height - 8 * row))]


def bar(used: int, whole: int, width: int) -> tuple[str, str]:
    """``used`` of ``whole`` as a bar of so many cells: the part that is used, and the rest.

    What is used at all is seen, and what is not full does not look full.
    """
    if whole <= 0 or width <= 0:
        return "", FREE * max(0, width)
    full = min(width, round(width * used / whole))
    if used > 0:
        full = max(1, full)
    if used < whole and width > 1:
        full = min(width - 1, full)
    return USED * full, FREE * (width - full)
