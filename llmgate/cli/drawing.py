"""Tables and records as rich draws them. Nothing else of the command line needs rich: importing it takes time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmgate.cli.output import Column, Row, colors
from llmgate.text import cell, moment


def table(rows: Sequence[Row], columns: Iterable[Column], width: int, *, cut: bool = False) -> Table:
    """See ``output.table``."""
    shown = [column for column in columns if column.fits(width)]
    values = [[column.value(row) for column in shown] for row in rows]
    drawn = Table(box=None, header_style="dim", pad_edge=False)
    overflow: Literal["ellipsis", "fold"] = "ellipsis" if cut else "fold"
    for position, column in enumerate(shown):
        whole = column.whole or column.right or any(isinstance(row[position], datetime) for row in values)
        justify: Literal["left", "right"] = "right" if column.right else "left"
        title = Text(column.title.upper(), no_wrap=cut or None)
        drawn.add_column(title, justify=justify, overflow=overflow, no_wrap=whole)
    for row in values:
        drawn.add_row(*(Text(_short(value), overflow=overflow, no_wrap=cut or None) for value in row))
    return drawn


def grid(row: Row, columns: Iterable[Column]) -> Table:
    """See ``output.grid``."""
    drawn = Table.grid(padding=(0, 2))
    for column in columns:
        drawn.add_row(Text(column.title, style="dim"), Text(cell(column.value(row))))
    return drawn


def console(stream: TextIO, width: int | None = None) -> Console:
    """See ``output.console``."""
    on_terminal = width is not None or stream.isatty()
    if not on_terminal:
        width = 10_000
    colored = colors(stream, terminal=on_terminal)
    return Console(
        file=stream,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
        width=width,
        color_system="auto" if colored else None,
        no_color=not colored,
        force_terminal=True if on_terminal or colored else None,
    )


def _short(value: object) -> str:
    return moment(value, datetime.now().astimezone()) if isinstance(value, datetime) else cell(value)
