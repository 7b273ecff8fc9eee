"""A private PostgreSQL server, from the system's package, on a unix socket of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psycopg

_FAST = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",
    "max_connections=200",
    "listen_addresses=",
)


class PostgresServer:
    """Started in a temporary directory, as the user ``postgres`` where the tests run as root.

    ``options`` come after those that make it fast, and may take them back.
    """

    def __init__(self, *, options: Sequence[str] = ()) -> None:
        self._settings = (*_FAST, *options)
        self._binaries = _find_binaries()
        self._account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.directory = Path(tempfile.mkdtemp(prefix="llmgate-pg-"))
        self._data = self.directory / "data"

    def start(self) -> None:
        if self._account:
            os.chown(self.directory, self._account.pw_uid, self._account.pw_gid)
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        self.resume()

    def resume(self) -> None:
        """Start with what ``crash`` has left."""
        options = " ".join(f"-c {option}" for option in (*self._settings, f"unix_socket_directories={self.directory}"))
        self._control("start", "-o", options, "-l", str(self.directory / "log"))

    def crash(self) -> None:
        """End it at once, in the middle of whatever it does."""
        self._control("stop", "-m", "immediate")

    def dump(self, database: str) -> bytes:
        """All that is in a database, as text."""
        command = [str(self._binaries / "pg_dump"), "--no-sync", self.url(database)]
        return subprocess.run(command, check=True, capture_output=True, cwd="/").stdout

    def stop(self) -> None:
        self._control("stop", "-m", "immediate")
        shutil.rmtree(self.directory)

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.directory}"

    def execute(self, statement: str) -> None:
        """Run one statement outside of a transaction, as CREATE DATABASE needs."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-w", "-s", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        # The server inherits what it is started with: a pipe for its output would never end.
        with (self.directory / f"{program}.out").open("ab") as output:
            command = [str(self._binaries / program), *arguments]
            who = (self._account.pw_uid, self._account.pw_gid) if self._account else (None, None)
            result = subprocess.run(
                command, cwd="/", stdout=output, stderr=output, user=who[0], group=who[1], check=False
            )
        if result.returncode:
            text = (self.directory / f"{program}.out").read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"{program} failed: {text}")


def _find_binaries() -> Path:
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    found = str(candidates[-1]) if candidates else shutil.which("initdb")
    if found is None:
        raise RuntimeError("PostgreSQL is not installed. Run: sh tests/services/install.sh")
    return Path(found).parent
