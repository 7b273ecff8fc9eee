"""A log, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest

from llmgate.daemon.store.database import Database
from tests.activity.support import Log


@pytest.fixture
def log(database: Database) -> Log:
    return Log(database)
