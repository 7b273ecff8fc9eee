"""The database and the secret key of the installation that a configuration names, for one command."""

from __future__ import annotations

import os
import pwd
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.config import Settings
from llmgate.daemon.auth import secrets
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.chain import ActivityChain
from llmgate.daemon.services import ACTIVITY_KEY, database_url, secret_path
from llmgate.daemon.store import schema
from llmgate.daemon.store.database import Database, parsed_url
from llmgate.errors import NotFound, StateUnreadable


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What a database says of itself. ``place`` names it without a password, ``bytes`` is its size.

    ``clock`` is its own time, where it has a clock of its own. ``head`` is the newest revision of this program.
    """

    kind: str
    place: str
    version: str
    revision: str | None
    head: str
    bytes: int
    clock: datetime | None


def sqlite_file(settings: Settings) -> Path | None:
    """The file of an embedded database; None for a server."""
    url = parsed_url(database_url(settings))
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def check_user(settings: Settings) -> None:
    """Raises StateUnreadable for another user than the daemon's: what root wrote there, the daemon could not read."""
    directory = settings.state.dir
    owner = directory.stat().st_uid if directory.is_dir() else os.geteuid()
    if owner in (os.geteuid(), 0):
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:  # a container may have numbers without names
        name = f"#{owner}"
    raise StateUnreadable(
        f"{directory} belongs to the user {name}.",
        hint=f"Run it as that user: sudo -u '{name}' llmgate …, or llmgate-host … where a systemd service runs it.",
    )


@asynccontextmanager
async def existing(settings: Settings) -> AsyncIterator[tuple[Database, ServerSecret]]:
    """What is there, as it is: nothing is created or migrated. Raises NotFound where there is no database."""
    file = sqlite_file(settings)
    if file is not None and not file.is_file():
        raise NotFound(f"There is no database at {file}.", hint="Name the daemon's configuration with --config.")
    check_user(settings)
    secret = secrets.load_or_create(secret_path(settings), may_create=False)
    async with fresh(settings) as database:
        yield database, secret


@asynccontextmanager
async def looked_at(settings: Settings) -> AsyncIterator[AsyncConnection]:
    """A transaction that only reads and leaves no trace. Raises StoreUnavailable."""
    database = Database(database_url(settings), pool_size=2, timeout=settings.database.timeout, read_only=True)
    await database.connect()
    try:
        async with database.read() as tx:
            yield tx
    finally:
        await database.close()


async def facts(settings: Settings, tx: AsyncConnection) -> DatabaseFacts:
    """See the class."""
    file = sqlite_file(settings)
    if file is not None:
        version = str(await tx.scalar(text("SELECT sqlite_version()")))
        pages, size = (
            await tx.execute(text("SELECT page_count, page_size FROM pragma_page_count, pragma_page_size"))
        ).one()
        kind, place, bytes_used, clock = "sqlite", str(file), pages * size, None
    else:
        version = str(await tx.scalar(text("SHOW server_version"))).partition(" ")[0]
        bytes_used = int(await tx.scalar(text("SELECT pg_database_size(current_database())")) or 0)
        clock = await tx.scalar(text("SELECT clock_timestamp()"))
        kind, place = "postgresql", place_of(settings)
    revision = await tx.run_sync(schema.current)
    return DatabaseFacts(kind, place, version, revision, list(schema.revisions())[-1], bytes_used, clock)


def place_of(settings: Settings) -> str:
    """The address of the database, without user and password."""
    url = parsed_url(database_url(settings))
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    host = url.host or url.query.get("host") or "the local socket"
    return f"{url.database or 'the default database'} at {host}" + (f":{url.port}" if url.port else "")


@asynccontextmanager
async def fresh(settings: Settings) -> AsyncIterator[Database]:
    """The database, made when there is none."""
    check_user(settings)
    database = Database(database_url(settings), pool_size=2, timeout=settings.database.timeout)
    await database.connect()
    try:
        yield database
    finally:
        await database.close()


async def chain_state(database: Database, secret: str) -> str:
    """Whether the activity log is whole: "ok", or what is wrong with it."""
    verdict = await ActivityChain(database, secrets.of_text(secret).derive(ACTIVITY_KEY)).verify()
    return "ok" if verdict.fault is None else verdict.fault.message
