"""The database: connections, transactions, migration. SQLite is embedded, PostgreSQL is for several daemons."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from llmgate.daemon.store import files, schema
from llmgate.errors import ConfigError, InvalidRequest, StartupError, StoreUnavailable

_MIGRATION_LOCK = 0x6C6C6D67617465  # "llmgate"
_MIGRATION_TIMEOUT = 60.0
_LONG_STATEMENT = 120.0
"""Seconds for one statement of a transaction that copies a whole database, and for all of it:"""
_LONG_TRANSACTION = 12 * 3600.0
_CANCEL_TIME = 0.5
_WRITES = "llmgate_writes"


def sqlite_url(path: Path) -> str:
    return URL.create("sqlite+aiosqlite", database=str(path)).render_as_string(hide_password=False)


class Database:
    """One database and its connections.

    ``timeout`` (seconds) bounds everything a transaction waits for together: a connection, SQLite's write lock,
    its statements. Past it, and whenever the database cannot be reached, StoreUnavailable is raised.
    """

    def __init__(self, url: str, *, pool_size: int = 10, timeout: float = 5.0, read_only: bool = False) -> None:
        """``url`` as for SQLAlchemy; plain ``postgresql://`` means psycopg 3. ConfigError when it is none.

        ``read_only`` is for a look that leaves no trace, not even the files that SQLite makes beside a database.
        """
        self._url = parsed_url(url)
        self._pool_size = pool_size
        self._timeout = timeout
        self._read_only = read_only
        self._opened: AsyncEngine | None = None
        self._writer = asyncio.Lock()

    @property
    def is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    @property
    def timeout(self) -> float:
        """See above, in seconds."""
        return self._timeout

    async def connect(self) -> None:
        """Open it. Raises StateUnreadable for a SQLite file that others may read, StoreUnavailable when unreachable."""
        url = self._url
        if self.is_sqlite:
            path = Path(self._url.database or "")
            if self._read_only:
                url = _for_a_look(path)
            else:
                files.prepare_private(path)
            options: dict[str, Any] = {"connect_args": {"isolation_level": None, "timeout": self._timeout * 0.8}}
        else:
            arguments = _postgres_options(self._timeout, read_only=self._read_only)
            options = {"connect_args": arguments, "pool_pre_ping": True}
        engine = create_async_engine(
            url,
            pool_size=self._pool_size,
            max_overflow=0,
            pool_timeout=self._timeout,
            hide_parameters=True,
            **options,
        )
        if self.is_sqlite:
            if not self._read_only:
                event.listen(engine.sync_engine, "connect", _set_up_sqlite)
            event.listen(engine.sync_engine, "begin", _begin_sqlite)
        self._opened = engine
        try:
            await self.ping()
        except StoreUnavailable as failure:
            await self.close()
            reason = reason_of(failure.__cause__)
            raise StoreUnavailable(f"The database cannot be opened: {reason}.", hint=self._advice()) from failure

    async def migrate(self) -> None:
        """Bring the schema up to date. Of several daemons that start at once, one does it and the others wait.

        The transaction itself is the lock: SQLite's BEGIN IMMEDIATE, PostgreSQL's advisory lock. StartupError when
        the schema is newer than this program, or cannot be changed.
        """
        try:
            async with self._transaction(writes=True, timeout=_MIGRATION_TIMEOUT) as tx:
                await self._lock_schema(tx, _MIGRATION_TIMEOUT)
                await tx.run_sync(schema.upgrade)
        except DBAPIError as failure:
            raise StartupError(
                f"The database could not be migrated: {reason_of(failure)}.",
                hint="Nothing was changed. Give llmgate a database, and a database user, of its own.",
            ) from failure

    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that may write: committed when the block ends, undone when it raises."""
        return self._transaction(writes=True, timeout=self._timeout)

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that only reads."""
        return self._transaction(writes=False, timeout=self._timeout)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """The whole database as it is at one moment, however long reading it takes. Nobody waits for it."""
        async with self._transaction(writes=False, timeout=_LONG_TRANSACTION) as tx:
            if not self.is_sqlite:  # SQLite's readers see one state anyhow, that of their first statement
                await tx.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
                await tx.execute(text(f"SET LOCAL statement_timeout = '{_LONG_STATEMENT:.0f}s'"))
            yield tx

    @asynccontextmanager
    async def refill(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may make the schema and fill it, however long that takes. Daemons that start meanwhile
        wait for it as for a migration."""
        async with self._transaction(writes=True, timeout=_LONG_TRANSACTION) as tx:
            await self._lock_schema(tx, _LONG_STATEMENT)
            yield tx

    async def ping(self) -> None:
        """Raises StoreUnavailable unless the database answers."""
        async with self.read() as tx:
            await tx.execute(text("SELECT 1"))

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.dispose()
            self._opened = None

    @asynccontextmanager
    async def _transaction(self, *, writes: bool, timeout: float) -> AsyncIterator[AsyncConnection]:
        if self._opened is None:
            raise StoreUnavailable
        # SQLite has one writer at a time; waiting here is fair and cheap, waiting in SQLite is neither.
        turn: AbstractAsyncContextManager[None] = self._writer if writes and self.is_sqlite else nullcontext()
        # The deadline asks the driver to cancel its statement, which can take as long again; then it is cut off.
        cut, deadline = asyncio.timeout(timeout + _CANCEL_TIME), asyncio.timeout(timeout)
        try:
            async with cut, deadline, turn, self._opened.connect() as connection:
                await connection.execution_options(**{_WRITES: writes})
                async with connection.begin():
                    yield connection
        except TimeoutError:
            if not (deadline.expired() or cut.expired()):
                raise
            raise StoreUnavailable(retry_after=1) from None
        except DataError as failure:
            raise InvalidRequest("A value is outside of what can be stored.") from failure
        except (DBAPIError, PoolTimeout) as failure:
            if isinstance(failure, DBAPIError) and not _is_outage(failure):
                raise
            raise StoreUnavailable(retry_after=1) from failure

    async def _lock_schema(self, tx: AsyncConnection, statement_timeout: float) -> None:
        if not self.is_sqlite:  # there the transaction is the lock
            await tx.execute(text(f"SET LOCAL statement_timeout = '{statement_timeout:.0f}s'"))
            await tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})

    def _advice(self) -> str:
        if self.is_sqlite:
            return f"Check the file {self._url.database} and its disk."
        return f"Check database.url, and that PostgreSQL runs at {self._url.host or 'its socket'}."


def parsed_url(url: str) -> URL:
    """The address of a database, with our drivers. Raises ConfigError, which does not repeat it."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number, but a part of the password perhaps
        parsed = None
    if parsed is not None and parsed.get_backend_name() in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed is not None and parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed.set(drivername="sqlite+aiosqlite")
    raise ConfigError(
        "database.url is not the address of a database.", hint="Write postgresql://user:password@host/name."
    )


def _is_outage(failure: DBAPIError) -> bool:
    """Whether the database is to blame, and not the statement. SQLite mixes them up in its exceptions."""
    code = getattr(failure.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF not in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH)
    return isinstance(failure, OperationalError | InterfaceError) or failure.connection_invalidated


def reason_of(cause: BaseException | None) -> str:
    """The first line of what the driver said, which never holds a password."""
    if not isinstance(cause, DBAPIError):
        return "it does not answer in time"
    lines = str(cause.orig).strip().splitlines() or ["no reason given"]
    return lines[0].rstrip(".")


def _for_a_look(path: Path) -> URL:
    """Without a -wal file nobody has the database open: read as immutable, it does not get one. Raises
    StoreUnavailable when there is no file."""
    if not path.is_file():
        raise StoreUnavailable(f"There is no database at {path}.", hint="Make one with: llmgate init")
    query = {"uri": "true", "mode": "ro"}
    if not path.with_name(f"{path.name}-wal").exists():
        query["immutable"] = "1"
    return URL.create("sqlite+aiosqlite", database=f"file:{quote(str(path.absolute()))}", query=query)


def _postgres_options(timeout: float, *, read_only: bool) -> dict[str, Any]:
    milliseconds = int(timeout * 1000)
    read_only_option = " -c default_transaction_read_only=on" if read_only else ""
    return {
        "connect_timeout": max(2, int(timeout)),  # libpq takes no less than 2 seconds
        "tcp_user_timeout": milliseconds,
        "application_name": "llmgate",
        "options": f"-c statement_timeout={milliseconds} -c timezone=UTC{read_only_option}",
    }


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at the start: a lock that is taken later fails at once when another has written."""
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
