"""Empty databases of either kind."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from llmgate.daemon.operations import cipher
from llmgate.daemon.store.database import sqlite_url
from tests.services.postgres import PostgresServer

_numbers = itertools.count(1)


@pytest.fixture
def new_database(postgres: PostgresServer, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Makes databases without any table; returns their addresses."""
    made: list[str] = []

    def make(kind: str) -> str:
        if kind == "sqlite":
            return sqlite_url(tmp_path / f"new{next(_numbers)}" / "llmgate.db")
        made.append(f"operations{next(_numbers)}")
        postgres.execute(f"CREATE DATABASE {made[-1]} TEMPLATE template0")
        return postgres.url(made[-1])

    yield make
    for name in made:
        postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(autouse=True)
def cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """One guess costs a millisecond. What runs as a process of its own pays the whole price."""
    monkeypatch.setattr(cipher, "DEFAULT_COST", cipher.Cost(log2_n=10))


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LLMGATE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def quiet_daemon() -> Iterator[None]:
    """A gateway that runs in this process: its log must not stand between the output of a command."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()
