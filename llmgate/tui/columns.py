"""What the tables of the dashboard show, and how wide: decisions without a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from rich.cells import cell_len, set_cell_size

from llmgate.text import cell, moment

Row = TypeVar("Row")
Tone = Literal["", "good", "warn", "bad", "dim", "accent", "bar"]
GAP = 2
"""Cells between two columns."""


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column: its title and what stands in it.

    ``width`` is in cells and does not follow the content: live tables must stand still. What is left of the line goes
    to the columns that ``grow``, in that proportion. On a line shorter than ``wide`` cells it is left out. ``by`` is
    what rows are sorted by, where that is not the value; ``tone`` how the value looks.
    """

    title: str
    value: Callable[[Row], object]
    width: int
    right: bool = False
    grow: int = 0
    wide: int = 0
    by: Callable[[Row], Any] | None = None
    tone: Callable[[Row], Tone] | None = None


@dataclass(frozen=True)
class Fact(Generic[Row]):
    """One line of everything that is known about a row."""

    title: str
    value: Callable[[Row], object]


def laid_out(columns: Sequence[Column[Row]], width: int) -> list[tuple[Column[Row], int]]:
    """The columns that are shown on a line of so many cells, each with its width.

    What does not fit even at its least width is cut off at the end of the line.
    """
    shown = [column for column in columns if width >= column.wide]
    left = width - sum(column.width for column in shown) - GAP * (len(shown) - 1)
    growing = sum(column.grow for column in shown)
    layout = []
    for column in shown:
        extra = left * column.grow // growing if growing and left > 0 else 0
        layout.append((column, column.width + extra))
    return layout


def written(value: object, now: datetime) -> str:
    """A value as it stands in a table; harmless on a terminal, whatever it holds."""
    return moment(value, now) if isinstance(value, datetime) else cell(value)


def fitted(text: str, width: int, *, right: bool = False) -> str:
    """``text`` in exactly so many cells, with an ellipsis where it is too long."""
    size = cell_len(text)
    if size > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    return " " * (width - size) + text if right else text + " " * (width - size)


def ordered(rows: Sequence[Row], column: Column[Row] | None, *, down: bool) -> list[Row]:
    """Rows by a column, what has no value last whichever way; in the order in which they came where it is None."""
    if column is None:
        return list(rows)
    by = column.by or column.value

    def rank(row: Row) -> tuple[Any, ...]:
        value = by(row)
        if isinstance(value, str):
            return (0, value.casefold())
        if isinstance(value, datetime):
            return (1, value.timestamp())
        return (1, value) if isinstance(value, int | float) else (2, cell(value))

    present = [row for row in rows if by(row) not in (None, "")]
    absent = [row for row in rows if by(row) in (None, "")]
    return sorted(present, key=rank, reverse=down) + absent
