"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Column, DateTime, Enum, MetaData, String, Table
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

StringList = JSON(none_as_null=True)
"""A list of strings; None is NULL, not the JSON word null."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime, in and out. A naive one is a mistake and refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a time zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def storable(value: str, longest: int) -> str:
    """The text cut at ``longest`` characters, with what no database takes replaced.

    PostgreSQL refuses NUL, and neither database stores lone surrogates; both can stand in JSON strings.
    """
    text = value[:longest].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


class Text(TypeDecorator[str]):
    """Text that may come from outside, made ``storable``."""

    impl = String
    cache_ok = True

    def __init__(self, longest: int = 200) -> None:
        super().__init__()
        self.longest = longest

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value, self.longest)


def word(choices: type[StrEnum]) -> Enum:
    """A column that holds one of the words of an enumeration, stored as that word."""
    return Enum(choices, native_enum=False, length=32, values_callable=lambda cls: [member.value for member in cls])


def columns_of(table: Table, row: type[Any]) -> Sequence[Column[Any]]:
    """The columns that make up a dataclass, in the order of its fields, so that ``row(*values)`` builds it."""
    return [table.c[field.name] for field in fields(row)]


def utc_now() -> datetime:
    return datetime.now(UTC)
