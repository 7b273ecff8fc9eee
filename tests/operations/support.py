"""An installation with rows in every table, whatever the tables are, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, Date, DateTime, Float, Integer, LargeBinary, Table, select
from sqlalchemy.types import Enum, TypeDecorator

from llmgate.daemon.auth.secrets import ServerSecret, of_text
from llmgate.daemon.operations.backup import Summary, back_up
from llmgate.daemon.operations.outfile import new_file
from llmgate.daemon.operations.restore import Source, check, restore
from llmgate.daemon.operations.tables import every_table
from llmgate.daemon.store import activity, instance
from llmgate.daemon.store.activity import Actor, Note
from llmgate.daemon.store.database import Database
from tests.services.fixtures import opened

PASSPHRASE = "correct horse battery staple"
SECRET = of_text("00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210")
START = datetime(2026, 1, 31, 12, 30, 59, 123456, tzinfo=UTC)
ODD_TEXT = ("日本語 🦙", 'a\nb\t"c" \\ \' %s :x {y}', "e\u0301 \u202e", "")


async def fill(database: Database, rows: int = 7) -> None:
    """Rows in every table. Their values are as odd as each column allows."""
    async with database.begin() as tx:
        await instance.check_secret(tx, SECRET.fingerprint)
        for table in every_table():
            if table.name not in ("activity", "activity_checkpoints"):
                await tx.execute(table.insert(), [_row(table, number) for number in range(rows)])
        notes = [Note("key.create", str(number), "日本語", {"n": number}) for number in range(rows)]
        await activity.lock(tx)
        await activity.append(tx, SECRET.derive("activity"), Actor("user", "u", "ada"), notes)
        row = _row(activity.activity_checkpoints, 0)
        await tx.execute(activity.activity_checkpoints.insert(), [row])


def _row(table: Table, number: int) -> dict[str, Any]:
    return {column.name: _value(column, number) for column in table.columns}


def _value(column: Column[Any], number: int) -> Any:
    if column.nullable and number % 3 == 2:
        return None
    kind = column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
    for known, make in _VALUES:
        if isinstance(kind, known):
            return make(number)
    if isinstance(kind, Enum):
        return kind.enums[number % len(kind.enums)]
    if column.foreign_keys:
        return _value(next(iter(column.foreign_keys)).column, number)
    return f"{number} {column.name}" + ODD_TEXT[number % len(ODD_TEXT)]


_VALUES: tuple[tuple[type[Any], Callable[[int], Any]], ...] = (
    (Boolean, lambda number: number % 2 == 0),
    (BigInteger, lambda number: 2**62 + number),
    (Integer, lambda number: number % 5 + 1),
    (Float, lambda number: (0.1, 1e300, -0.0, 3.0, 5e-324)[number % 5]),
    (Date, lambda number: date(2026, 1, 1) + timedelta(days=number)),
    (DateTime, lambda number: START + timedelta(hours=number, microseconds=number)),
    (LargeBinary, lambda number: bytes(range(256)) * (number % 3)),
    (JSON, lambda number: (["a", "日本語"], [], ["\\", '"'])[number % 3]),
)


async def contents(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, without what restoring notes in the activity log."""
    found = {}
    async with database.read() as tx:
        for table in every_table():
            rows = await tx.execute(select(table).order_by(*table.primary_key))
            found[table.name] = [tuple(row) for row in rows if "backup.restore" not in tuple(row)]
    return found


async def save(database: Database, path: Path, secret: ServerSecret = SECRET) -> Summary:
    with new_file(path, replace=True) as target:
        return await back_up(database, secret, target, PASSPHRASE)


async def load(path: Path, url: str, secret_path: Path) -> None:
    source = Source(path, PASSPHRASE)
    manifest = await check(source)
    async with opened(url) as database:
        await restore(source, manifest, database, secret_path)


def write_config(directory: Path, *, state: Path, upstreams: Mapping[str, str], **sections: Mapping[str, Any]) -> Path:
    """A configuration file: the upstreams (all Ollamas) by name with their URLs, and sections as they are given."""
    server = {"port": 0} | dict(sections.pop("server", {}))
    tables: dict[str, Mapping[str, Any]] = {"server": server, "state": {"dir": str(state)}, **sections}
    lines = []
    for name, values in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    for name, url in upstreams.items():
        pool, _, short = name.rpartition("/")
        lines += ["[[upstreams]]", f'name = "{short}"', f'url = "{url}"', *([f'pool = "{pool}"'] if pool else [])]
    path = directory / "llmgate.toml"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path
