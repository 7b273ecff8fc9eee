"""What the commands print: data to standard output, messages to standard error.

Whatever comes from a daemon is hostile to a terminal until it has been through ``clean``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

from llmgate.errors import InvalidRequest, LLMGateError
from llmgate.text import as_json, clean

if TYPE_CHECKING:  # neither is needed to show the help
    from pydantic import BaseModel
    from rich.console import Console
    from rich.table import Table

Row: TypeAlias = "BaseModel | dict[str, Any]"
WIDE, WIDEST = 100, 130
"""Columns of a terminal from which on tables show what is ``wide``, and everything."""

colorless: ContextVar[bool] = ContextVar("colorless", default=False)
"""Set where the user wants no colours, whatever the terminal can do."""


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


class Output:
    """Where a command's results go, in the form that was asked for.

    A row is a wire type of the API or, for what is only known here, a dict. ``fields`` are the names, as in JSON,
    of what is wanted of each; none stand for all. Raises InvalidRequest for a name that rows do not have.
    """

    def __init__(self, form: Format, quiet: bool, fields: Sequence[str] = ()) -> None:
        self.form = form
        self.quiet = quiet
        self.fields = tuple(fields)

    def rows(self, rows: Sequence[Row], columns: Iterable[Column], name: str = "id") -> None:
        """A list. With ``-q`` only the field ``name`` of each row."""
        if self.form is Format.JSON:
            self.data(as_json([self.fields_of(row) for row in rows]))
        elif self.streams:
            for row in rows:
                self.line(row, name)
        elif not rows:
            self.message("Nothing to list.")
        else:
            target = console(sys.stdout)
            target.print(table(rows, self.columns(rows[0], columns), target.width))

    @property
    def streams(self) -> bool:
        """Whether each row of a list is a line of its own, which can be written before the next is known."""
        return self.form is Format.JSONL or (self.form is Format.TABLE and self.quiet)

    def line(self, row: Row, name: str = "id") -> None:
        """One row of a list that ``streams``."""
        if self.form is Format.JSONL:
            self.data(as_json(self.fields_of(row)))
        else:
            self.data(clean(str(plain(row)[name])))

    def record(self, row: Row, columns: Iterable[Column], name: str = "id") -> None:
        """One thing. With ``-q`` only its field ``name``."""
        if self.form is not Format.TABLE:
            self.data(as_json(self.fields_of(row)))
        elif self.quiet:
            self.data(clean(str(plain(row)[name])))
        else:
            console(sys.stdout).print(grid(row, self.columns(row, columns)))

    def secret(self, row: BaseModel, secret: str) -> None:
        """Something new with its secret. JSON holds all of it; otherwise the secret is the only line of data.

        It is shown this once: a field that is not there must not cost the caller the secret.
        """
        unknown = set(self.fields) - set(plain(row))
        if unknown:
            self.message(f"There is no field {min(unknown)!r} here; this is all of it.")
            self.fields = ()
        if self.form is Format.TABLE and not self.fields:
            self.data(clean(secret))
        else:
            self.record(row, ())

    def data(self, line: str) -> None:
        """One line of data, already harmless."""
        sys.stdout.write(line + "\n")

    def message(self, text: str) -> None:
        """Tell the user something that is not data."""
        if not self.quiet:
            sys.stderr.write(clean(text, keep="\n") + "\n")

    def fields_of(self, row: Row) -> dict[str, Any]:
        """What is wanted of a row, as JSON has it."""
        values = plain(row)
        return {name: values[name] for name in self._known(values)} if self.fields else values

    def columns(self, row: Row, columns: Iterable[Column]) -> list[Column]:
        """``columns``, or those of the fields that are wanted of rows like this one."""
        if not self.fields:
            return list(columns)
        return [_column_of(name) for name in self._known(plain(row))]

    def _known(self, values: dict[str, Any]) -> Sequence[str]:
        for name in self.fields:
            if name not in values:
                raise InvalidRequest(f"There is no field {name!r} here.", hint=f"Known are: {', '.join(values)}.")
        return self.fields


def _column_of(name: str) -> Column:
    def value(row: Row) -> object:
        found = row[name] if isinstance(row, dict) else getattr(row, name)
        return json.dumps(plain(row)[name], ensure_ascii=False) if isinstance(found, dict) else found

    return Column(name, value, whole=name == "id" or name.endswith("_id"))


def table(rows: Sequence[Row], columns: Iterable[Column], width: int, *, cut: bool = False) -> Table:
    """Rows as a table for a terminal of so many columns. With ``cut`` each row is one line, whatever it costs."""
    from llmgate.cli import drawing

    return drawing.table(rows, columns, width, cut=cut)


def grid(row: Row, columns: Iterable[Column]) -> Table:
    """One thing as lines of a title and a value."""
    from llmgate.cli import drawing

    return drawing.grid(row, columns)


def console(stream: TextIO, width: int | None = None) -> Console:
    """A console on ``stream``. Where that is no terminal, lines are never broken: programs read them.

    With ``width`` it writes what a terminal of so many columns is to show.
    """
    from llmgate.cli import drawing

    return drawing.console(stream, width)


def colors(stream: TextIO, terminal: bool = False) -> bool:
    """Whether to write colours there: NO_COLOR and ``--no-color`` forbid them, CLICOLOR_FORCE demands them."""
    if colorless.get() or os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    return (terminal or stream.isatty()) and os.environ.get("TERM") != "dumb"


def plain(row: Row) -> dict[str, Any]:
    """A row as JSON has it."""
    return row if isinstance(row, dict) else row.model_dump(mode="json")


def error_body(error: LLMGateError) -> dict[str, str | None]:
    """An error as JSON has it."""
    return {"code": error.code, "message": error.message, "hint": error.hint, "request_id": error.request_id}


def report(error: LLMGateError, as_json_text: bool, stream: TextIO, *, debug: bool = False) -> None:
    """Print an error: a sentence and what to do about it, or JSON.

    The daemon's id of the request is for whoever looks into its log: told of what is the gateway's own failure, and
    always with ``debug``.
    """
    if as_json_text:
        stream.write(as_json({"error": error_body(error)}) + "\n")
        return
    begin, end = ("\x1b[1;31m", "\x1b[0m") if colors(stream) else ("", "")
    stream.write(f"{begin}Error: {end}" + "\n".join(_told(error, debug)) + "\n")


def _told(error: LLMGateError, debug: bool) -> Iterator[str]:
    yield clean(error.message, keep="\n")
    if error.hint:
        yield clean(error.hint, keep="\n")
    if error.request_id and (debug or type(error) is LLMGateError):
        yield f"Request: {clean(error.request_id)}"
