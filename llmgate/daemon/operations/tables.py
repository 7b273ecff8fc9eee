"""Every table of the store, whichever module declares it, and what of them a database has."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Table, func, inspect, select

from llmgate.daemon import store
from llmgate.daemon.store.types import metadata
from llmgate.errors import StartupError


@dataclass(frozen=True, slots=True)
class Found:
    """A table as a database has it: one of an older revision lacks columns."""

    table: Table
    columns: Sequence[Column[object]]
    rows: int


def every_table() -> Sequence[Table]:
    """All of them; one that refers to another comes behind it."""
    for module in pkgutil.iter_modules(store.__path__):
        if not module.ispkg:
            importlib.import_module(f"{store.__name__}.{module.name}")
    return metadata.sorted_tables


def found_in(connection: Connection) -> list[Found]:
    """The tables of the store that a database has, in the order of ``every_table``.

    Raises StartupError for a column that this program does not know: its values would be lost.
    """
    inspector = inspect(connection)
    names = set(inspector.get_table_names())
    found = []
    for table in every_table():
        if table.name in names:
            columns = {column["name"] for column in inspector.get_columns(table.name)}
            if unknown := columns.difference(column.name for column in table.columns):
                raise StartupError(
                    f"The table {table.name} has a column that this version of llmgate does not know: {min(unknown)}.",
                    hint="Use the version of llmgate that made it.",
                )
            rows = connection.execute(select(func.count()).select_from(table)).scalar_one()
            found.append(Found(table, [column for column in table.columns if column.name in columns], rows))
    return found
