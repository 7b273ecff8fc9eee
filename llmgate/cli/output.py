"""What the commands print: data to standard output, messages to standard error.

Whatever comes from a daemon is hostile to a terminal until it has been through ``clean``.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmgate.errors import LLMGateError

if TYPE_CHECKING:  # pydantic is not needed to show the help
    from pydantic import BaseModel

Row: TypeAlias = "BaseModel | dict[str, Any]"
WIDE, WIDEST = 100, 130
"""Columns of a terminal from which on tables show what is ``wide``, and everything."""

_HOSTILE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufff9-\ufffb]"
)


class Format(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table, or one line of a record: its title and what stands in it.

    ``whole`` is never broken into lines; ``wide`` is left out on a narrow terminal, ``widest`` on most.
    """

    title: str
    value: Callable[[Any], object]
    right: bool = False
    whole: bool = False
    wide: bool = False
    widest: bool = False

    def fits(self, width: int) -> bool:
        """Whether it is shown on a terminal of so many columns."""
        return width >= (WIDEST if self.widest else WIDE if self.wide else 0)


def clean(text: str, keep: str = "") -> str:
    """``text`` with control and direction-changing characters written out, except those in ``keep``."""
    return _HOSTILE.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}"


def as_json(value: object) -> str:
    """JSON on one line, readable and harmless on a terminal."""
    return clean(json.dumps(value, ensure_ascii=False))


def cell(value: object) -> str:
    """A value as people read it."""
    if isinstance(value, list | tuple):
        return ", ".join(cell(item) for item in value) or "-"
    match value:
        case None | "":
            text = "-"
        case bool():
            text = "yes" if value else "no"
        case datetime():
            text = value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case float():
            text = f"{value:.1f}".removesuffix(".0")
        case _:
            text = clean(str(value))
    return text


def moment(value: datetime, now: datetime) -> str:
    """A time as short as it can be told, on the clock of ``now``: of today, of this year, or of another."""
    local = value.astimezone(now.tzinfo)
    if local.date() == now.date():
        return local.strftime("%H:%M:%S")
    return local.strftime("%m-%d %H:%M:%S" if local.year == now.year else "%Y-%m-%d")


def _short(value: object) -> str:
    return moment(value, datetime.now().astimezone()) if isinstance(value, datetime) else cell(value)


class Output:
    """Where a command's results go, in the form that was asked for.

    A row is a wire type of the API or, for what is only known here, a dict.
    """

    def __init__(self, form: Format, quiet: bool) -> None:
        self.form = form
        self.quiet = quiet

    def rows(self, rows: Sequence[Row], columns: Iterable[Column], name: str = "id") -> None:
        """A list. With ``-q`` only the field ``name`` of each row."""
        if self.form is Format.JSON:
            self.data(as_json([plain(row) for row in rows]))
        elif self.form is Format.JSONL:
            for row in rows:
                self.data(as_json(plain(row)))
        elif self.quiet:
            for row in rows:
                self.data(clean(str(plain(row)[name])))
        else:
            self._table(rows, list(columns))

    def record(self, row: Row, columns: Iterable[Column], name: str = "id") -> None:
        """One thing. With ``-q`` only its field ``name``."""
        if self.form is not Format.TABLE:
            self.data(as_json(plain(row)))
        elif self.quiet:
            self.data(clean(str(plain(row)[name])))
        else:
            grid = Table.grid(padding=(0, 2))
            for column in columns:
                grid.add_row(Text(column.title, style="dim"), Text(cell(column.value(row))))
            console(sys.stdout).print(grid)

    def secret(self, row: BaseModel, secret: str) -> None:
        """Something new with its secret. JSON holds all of it; otherwise the secret is the only line of data."""
        self.data(clean(secret) if self.form is Format.TABLE else as_json(plain(row)))

    def data(self, line: str) -> None:
        """One line of data, already harmless."""
        sys.stdout.write(line + "\n")

    def message(self, text: str) -> None:
        """Tell the user something that is not data."""
        if not self.quiet:
            sys.stderr.write(clean(text, keep="\n") + "\n")

    def _table(self, rows: Sequence[Row], columns: Sequence[Column]) -> None:
        if not rows:
            self.message("Nothing to list.")
            return
        target = console(sys.stdout)
        target.print(table(rows, columns, target.width))


def table(rows: Sequence[Row], columns: Iterable[Column], width: int, *, cut: bool = False) -> Table:
    """Rows as a table for a terminal of so many columns. With ``cut`` each row is one line, whatever it costs."""
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


def plain(row: Row) -> dict[str, Any]:
    """A row as JSON has it."""
    return row if isinstance(row, dict) else row.model_dump(mode="json")


def console(stream: TextIO, width: int | None = None) -> Console:
    """A console on ``stream``. Where that is no terminal, lines are never broken: programs read them.

    With ``width`` it writes what a terminal of so many columns is to show.
    """
    terminal = None if width is None else True
    if width is None and not stream.isatty():
        width = 10_000
    colors: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Console(
        file=stream,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
        width=width,
        color_system=colors,
        force_terminal=terminal,
    )


def error_body(error: LLMGateError) -> dict[str, str | None]:
    """An error as JSON has it."""
    return {"code": error.code, "message": error.message, "hint": error.hint, "request_id": error.request_id}


def report(error: LLMGateError, as_json_text: bool, stream: TextIO) -> None:
    """Print an error: a sentence and what to do about it, or JSON."""
    if as_json_text:
        stream.write(as_json({"error": error_body(error)}) + "\n")
        return
    target = console(stream)
    target.print(Text.assemble(("Error: ", "bold red"), clean(error.message, keep="\n")))
    if error.hint:
        target.print(Text(clean(error.hint, keep="\n")))
