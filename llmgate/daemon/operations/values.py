"""A row as JSON, and back: what the value of a column is, is told by the column's kind.

    text, integer, float, boolean, json   as JSON has them; integers of any size
    time                                  "2026-01-31T12:00:00.000000+00:00", always UTC
    date                                  "2026-01-31"
    bytes                                 base64

NULL is null, in every kind.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from sqlalchemy import JSON, Boolean, Column, Date, DateTime, Float, Integer, LargeBinary, String
from sqlalchemy.types import TypeDecorator

Convert = Callable[[Any], Any]

_TYPES: Final = {
    Boolean: "boolean",
    Integer: "integer",
    Float: "float",
    DateTime: "time",
    Date: "date",
    JSON: "json",
    LargeBinary: "bytes",
    String: "text",  # enumerations of words are strings, too
}
_PYTHON: Final[dict[str, tuple[type, ...]]] = {
    "boolean": (bool,),
    "integer": (int,),
    "float": (float, int),
    "text": (str,),
    "time": (str,),
    "date": (str,),
    "bytes": (str,),
}


def kind_of(column: Column[Any]) -> str:
    """The kind of a column. Raises TypeError for a type that nobody has thought of."""
    kind = column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
    for known, name in _TYPES.items():
        if isinstance(kind, known):
            return name
    raise TypeError(f"{column.table.name}.{column.name} has a type that a backup cannot hold: {column.type!r}")


def encoder(kinds: Sequence[str]) -> Callable[[Sequence[Any]], list[Any]]:
    """A function from a row, as SQLAlchemy gives it, to JSON values."""
    convert = [_ENCODE.get(kind) for kind in kinds]

    def encode(row: Sequence[Any]) -> list[Any]:
        return [
            value if value is None or change is None else change(value)
            for value, change in zip(row, convert, strict=True)
        ]

    return encode


def decoder(kinds: Sequence[str]) -> Callable[[Sequence[Any]], list[Any]]:
    """A function from JSON values to a row. It raises ValueError for values that are not of these kinds."""
    convert = [_decode(kind) for kind in kinds]

    def decode(row: Sequence[Any]) -> list[Any]:
        return [None if value is None else change(value) for value, change in zip(row, convert, strict=True)]

    return decode


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(UTC)


def _same(value: Any) -> Any:
    return value


_ENCODE: Final[dict[str, Convert]] = {
    "time": lambda value: value.astimezone(UTC).isoformat(timespec="microseconds"),
    "date": lambda value: value.isoformat(),
    "bytes": lambda value: base64.b64encode(value).decode(),
    "text": str,  # of an enumeration only the word
}
_DECODE: Final[dict[str, Convert]] = {
    "time": _time,
    "date": date.fromisoformat,
    "bytes": lambda value: base64.b64decode(value, validate=True),
    "float": float,
}


def _decode(kind: str) -> Convert:
    change = _DECODE.get(kind, _same)
    if kind == "json":
        return change
    if kind not in _PYTHON:
        raise ValueError(f"the kind {kind[:40]!r} is not known")
    types = _PYTHON[kind]

    def checked(value: Any) -> Any:
        if not isinstance(value, types) or (isinstance(value, bool) and kind != "boolean"):
            raise ValueError(f"{kind} expected")
        return change(value)

    return checked
