"""The rows that the gateway writes of each request, read while it writes them: it deletes them again after minutes."""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from pathlib import Path
from typing import Final, Protocol

import psycopg

from bench.soak_journal import Journal
from bench.soak_load import DIGITS

LATE_SECONDS: Final = 60.0
"""The row of a request is there so long after it was asked, at the latest."""

_ROWS: Final = "SELECT request_id, outcome FROM requests WHERE request_id {collation} >= {place}"
_SUM: Final = "SELECT coalesce(sum(requests), 0) FROM usage"


class Database(Protocol):
    """Where the rows are."""

    def rows(self, since: str) -> list[tuple[str, str]]:
        """Id and outcome of the requests whose id is not below this one."""

    def total(self) -> int:
        """The requests of the hourly sums, which are not deleted."""


class SQLite:
    """The gateway's file, opened for reading."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def rows(self, since: str) -> list[tuple[str, str]]:
        return self._ask(_ROWS.format(collation="", place="?"), since)

    def total(self) -> int:
        return int(self._ask(_SUM)[0][0])

    def _ask(self, question: str, *values: str) -> list[tuple[str, str]]:
        database = sqlite3.connect(f"file:{self._file}?mode=ro", uri=True, timeout=30)
        try:
            return database.execute(question, values).fetchall()
        finally:
            database.close()


class PostgreSQL:
    """A database server."""

    def __init__(self, url: str) -> None:
        self._url = url

    def rows(self, since: str) -> list[tuple[str, str]]:
        return self._ask(_ROWS.format(collation='COLLATE "C"', place="%s"), since)

    def total(self) -> int:
        return int(self._ask(_SUM)[0][0])

    def _ask(self, question: str, *values: str) -> list[tuple[str, str]]:
        with psycopg.connect(self._url) as connection:
            return connection.execute(question.encode(), values).fetchall()


class Rows:
    """Puts them into the journal, each once."""

    def __init__(self, database: Database, journal: Journal) -> None:
        self._database = database
        self._journal = journal
        self._asked: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._seen: set[str] = set()
        self.read = 0
        """How many different ones there were."""

    def join(self) -> None:
        """Read what was not there the last time. To be called more often than rows are deleted."""
        now = time.monotonic()
        self._asked.append((now, len(self._journal)))
        while len(self._asked) > 1 and self._asked[1][0] < now - LATE_SECONDS:
            self._asked.popleft()
        since = f"{self._asked[0][1]:0{DIGITS}d}"
        self._seen = {one for one in self._seen if one >= since}
        for request_id, outcome in self._database.rows(since):
            if request_id not in self._seen:
                self._seen.add(request_id)
                self._journal.write_row(int(request_id[:DIGITS]), outcome)
                self.read += 1

    def total(self) -> int:
        """The requests of the hourly sums."""
        return self._database.total()
