"""Facts about this installation, one per row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Column, Table, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.store import sql
from llmgate.daemon.store.types import Text, metadata
from llmgate.errors import StartupError

instance = Table(
    "instance",
    metadata,
    Column("key", Text(64), primary_key=True),
    Column("value", Text(1000), nullable=False),
)


FINGERPRINT = "secret_fingerprint"
"""The row that binds the database to the server secret."""


async def get(tx: AsyncConnection, key: str) -> str | None:
    value: str | None = await tx.scalar(select(instance.c.value).where(instance.c.key == key))
    return value


async def set(tx: AsyncConnection, key: str, value: str) -> None:  # noqa: A001  # read as instance.set(...)
    statement = sql.insert(tx, instance).values(key=key, value=value)
    await tx.execute(statement.on_conflict_do_update(index_elements=[instance.c.key], set_={"value": value}))


async def claim(tx: AsyncConnection, key: str, value: str) -> bool:
    """Write the row unless there is one. Of any number of concurrent transactions, one gets True."""
    statement = sql.insert(tx, instance).values(key=key, value=value).on_conflict_do_nothing()
    return (await tx.execute(statement.returning(instance.c.key))).first() is not None


async def take_turn(tx: AsyncConnection, key: str, now: datetime, every: timedelta) -> bool:
    """Whether something that is to be done once in so long is to be done now, by who asks. Of any number of
    concurrent transactions, one gets True."""
    if await claim(tx, key, _text(now)):
        return True
    # One that is in the future was written by a clock that was wrong.
    due = or_(instance.c.value < _text(now - every), instance.c.value > _text(now + every))
    statement = instance.update().where(instance.c.key == key, due).values(value=_text(now))
    return bool((await tx.execute(statement)).rowcount)


def _text(moment: datetime) -> str:
    """A time, in a form whose order is that of the times."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")


async def check_secret(tx: AsyncConnection, fingerprint: str) -> None:
    """Bind the database to the server secret on first use; StartupError when it belongs to another one."""
    if await claim(tx, FINGERPRINT, fingerprint):
        return
    if await get(tx, FINGERPRINT) != fingerprint:
        raise StartupError(
            "This database was made with another secret key: no API key and no session would be accepted.",
            hint="Bring back the secret.key that belongs to it; all daemons of one database share it.",
        )
