"""Databases and brokers for every part's tests, loaded by tests/conftest.py.

A test that takes ``database`` or ``database_url`` runs twice: on SQLite and on PostgreSQL.
A test that takes ``vhost_url`` has a piece of a shared broker, one that breaks its broker takes ``broker``.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest
import pytest_asyncio

from llmgate.daemon.store.database import Database, sqlite_url
from tests.services.postgres import PostgresServer
from tests.services.rabbitmq import RabbitServer

_numbers = itertools.count(1)


class StartBroker(Protocol):
    def __call__(self, *, config: Mapping[str, object] | None = None, advanced: str | None = None) -> RabbitServer: ...


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server of this test session, with a migrated database named ``template`` to copy from."""
    server = PostgresServer()
    server.start()
    try:
        server.execute("CREATE DATABASE template")
        _migrate(server.url("template"))
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy from."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    _migrate(sqlite_url(path))
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a fresh, migrated database."""
    yield from _fresh(request, tmp_path, empty=False)


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The address of a fresh, migrated database of PostgreSQL."""
    name = f"test{next(_numbers)}"
    postgres.execute(f"CREATE DATABASE {name} TEMPLATE template")
    yield postgres.url(name)
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database without any table."""
    yield from _fresh(request, tmp_path, empty=True)


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh, migrated database, connected."""
    async with opened(database_url) as database:
        yield database


@pytest.fixture(scope="session")
def rabbit() -> Iterator[RabbitServer]:
    """The broker of this test session. Tests share it: none may stop, freeze or fill it."""
    server = RabbitServer()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def vhost_url(rabbit: RabbitServer) -> Iterator[str]:
    """The address of a fresh vhost of the session's broker."""
    name = f"test{next(_numbers)}"
    rabbit.add_vhost(name)
    yield rabbit.url(name)
    rabbit.delete_vhost(name)


@pytest.fixture
def new_vhost(rabbit: RabbitServer) -> Iterator[Callable[[], str]]:
    """Makes vhosts of the session's broker, each time another one, and returns their addresses."""
    names: list[str] = []

    def make() -> str:
        names.append(f"test{next(_numbers)}")
        rabbit.add_vhost(names[-1])
        return rabbit.url(names[-1])

    yield make
    for name in names:
        rabbit.delete_vhost(name)


@pytest.fixture
def broker() -> Iterator[StartBroker]:
    """Starts brokers that this test may break. Each takes about five seconds."""
    with ExitStack() as started:

        def start(*, config: Mapping[str, object] | None = None, advanced: str | None = None) -> RabbitServer:
            server = RabbitServer(config=config, advanced=advanced)
            started.callback(server.stop)
            server.start()
            return server

        yield start


@asynccontextmanager
async def opened(url: str, *, timeout: float = 5.0) -> AsyncIterator[Database]:
    database = Database(url, timeout=timeout)
    await database.connect()
    try:
        yield database
    finally:
        await database.close()


def _fresh(request: pytest.FixtureRequest, directory: Path, *, empty: bool) -> Iterator[str]:
    if request.param == "sqlite":
        path = directory / "llmgate.db"
        if not empty:
            shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield sqlite_url(path)
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"test{next(_numbers)}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {'template0' if empty else 'template'}")
    yield server.url(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _migrate(url: str) -> None:
    async def run() -> None:
        async with opened(url) as database:
            await database.migrate()

    asyncio.run(run())
