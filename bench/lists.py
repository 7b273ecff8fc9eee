"""`make bench-lists`: how long a page of each list takes. Writes docs/benchmarks-lists.md.

A whole daemon, asked over HTTP on one warm connection, over SQLite and over a private PostgreSQL, each filled as years
of use would (``bench.lists_data``). The first, a middle and the last page of each list, and each of its filters, with a
value that many rows have and one that hardly any has.
"""

from __future__ import annotations

import asyncio
import base64
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import sqlalchemy

from bench import lists_data as data
from bench import processes
from bench.document import ROOT
from llmgate.config import DatabaseSettings, Settings, StateSettings
from llmgate.daemon.auth import api_keys
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.services import database_url, open_database
from llmgate.daemon.store import keys
from tests.services.postgres import PostgresServer

DOCUMENT = ROOT / "docs" / "benchmarks-lists.md"
ROUNDS = 40
SUM_ROUNDS = 8
"""Sums over months take long, and are asked for seldom."""
GOAL_MS = 50.0


@dataclass(frozen=True, slots=True)
class Question:
    """A page that is asked for. ``is_page`` is false for sums, which have no pages."""

    what: str
    path: str
    params: dict[str, str] = field(default_factory=dict)
    is_page: bool = True


@dataclass(frozen=True, slots=True)
class Figure:
    question: Question
    times: list[float]
    rows: int

    def row(self) -> str:
        ordered = sorted(self.times)
        p95 = ordered[int(len(ordered) * 0.95) - 1]
        numbers = (ordered[0], statistics.median(ordered), p95, ordered[-1])
        cells = " | ".join(f"{number:.1f}" for number in numbers)
        return f"| {self.question.what} | {self.rows} | {cells} |"


def cursor(key: object) -> str:
    return base64.urlsafe_b64encode(str(key).encode()).decode().rstrip("=")


def pages(noun: str, count: str, middle: object, last: object, **params: str) -> Iterator[Question]:
    """The first, a middle and the last page."""
    path = f"/admin/v1/{noun}"
    for name, after in (("first", None), ("middle", middle), ("last", last)):
        where = {**params, **({"after": cursor(after)} if after is not None else {})}
        yield Question(f"{noun} ({count}): {name} page", path, where)


def filtered(noun: str, **filters: str) -> Iterator[Question]:
    """Each filter alone. ``name__rare`` is the same filter with a value that hardly any row has."""
    for name, value in filters.items():
        word, _, rare = name.partition("__")
        yield Question(f"{noun}: {word} ({rare or 'common'})", f"/admin/v1/{noun}", {word: value})


def questions() -> Iterator[Question]:
    half = (data.NOW - timedelta(days=data.DAYS / 2)).isoformat()
    yield from pages("users", "10,000", data.user_id(5000), data.user_id(9900))
    yield from filtered("users", search="user-9")
    yield from pages("keys", "10,000", data.key_id(5000), data.key_id(9900))
    yield from filtered("keys", search="key-9", user="user-1", user__rare="user-9999", state="disabled")
    yield from pages("tokens", "10,000", f"01TOKEN{5000:019d}", f"01TOKEN{9900:019d}")
    yield from filtered("tokens", state="revoked", created_by="admin-1")
    yield from pages("whitelist", "1,000", f"01NET{500:021d}", f"01NET{900:021d}")
    yield from pages("sessions", "20,000", f"01SESSION{10000:017d}", f"01SESSION{100:017d}")
    yield from filtered("sessions", user="user-77", live="true")
    yield from pages("requests", "1,000,000", f"{500_000:016x}", f"{100:016x}")
    common = {"principal": f"key:{data.key_id(0)}", "user": "user-0", "key": "key-0", "model": data.MODELS[3]}
    yield from filtered("requests", **common, outcome="completed", level="2", upstream="gpu-1", since=half, until=half)
    rare = {"principal": f"key:{data.key_id(200)}", "user": "user-200", "key": "key-200", "model": "rare:latest"}
    rare |= {"outcome": "upstream_failed", "level": "5", "upstream": "old"}
    yield from filtered("requests", **{f"{name}__rare": value for name, value in rare.items()})
    both = {"model": data.MODELS[3], "outcome": "client_disconnected"}
    yield Question("requests: two common filters that no row has both", "/admin/v1/requests", both)
    yield from pages("activity", "1,000,000", 500_000, data.FIRST_ENTRY + 99)
    yield from filtered("activity", actor="user-1", action="session.login", target="user-7", since=half, until=half)
    yield from filtered("activity", actor__rare="rare", action__rare="settings.set", target__rare="rare")
    yield from sums()


def sums() -> Iterator[Question]:
    path = "/admin/v1/usage"
    for days in (1, 30, 90):
        since = (data.NOW - timedelta(days=days)).isoformat()
        for group in ("principal", "day"):
            yield Question(f"usage of {days} days by {group}", path, {"since": since, "group_by": group}, is_page=False)
    one = {"since": (data.NOW - timedelta(days=90)).isoformat(), "key": "key-5", "group_by": "day"}
    yield Question("usage of 90 days of one key by day", path, one, is_page=False)


@contextmanager
def daemon(folder: Path, url: str) -> Iterator[httpx.Client]:
    """A daemon over this database, filled, and a client that is its administrator."""
    settings = Settings(state=StateSettings(dir=folder / "state"), database=DatabaseSettings(url=url))
    key = asyncio.run(_prepared(settings))
    data.fill(database_url(settings))
    port = processes.free_port()
    config = folder / "llmgate.toml"
    config.write_text(
        f'[server]\nport = {port}\n[state]\ndir = "{settings.state.dir}"\n[database]\nurl = "{url}"\n'
        f'[usage]\nrequest_log_days = 3650\n[[upstreams]]\nname = "none"\nkind = "ollama"\nurl = "http://127.0.0.1:9"\n'
    )
    command = [sys.executable, "-m", "llmgate", "serve", "--config", str(config)]
    with processes.process(command, folder / "daemon.log"):
        base = f"http://127.0.0.1:{port}"
        processes.wait_for_http(f"{base}/health/live")
        with httpx.Client(base_url=base, headers={"x-api-key": key}, trust_env=False, timeout=60) as client:
            yield client


async def _prepared(settings: Settings) -> str:
    """Make the database, and an administrator's key in it."""
    database, secret = await open_database(settings)
    new = api_keys.generate(secret)
    async with database.begin() as tx:
        await keys.create(tx, key_id=new.id, digest=new.digest, last4=new.last4, name="bench", role=Role.ADMIN)
    await database.close()
    return new.text


def measured(client: httpx.Client, question: Question) -> Figure:
    """One question, asked often. Fails when it is not answered."""
    times = []
    for number in range((ROUNDS if question.is_page else SUM_ROUNDS) + 2):
        begun = time.perf_counter()
        answer = client.get(question.path, params=question.params)
        if number >= 2:  # the first ones find nothing in any cache
            times.append((time.perf_counter() - begun) * 1000)
        assert answer.status_code == 200, f"{question.what}: {answer.text}"
    return Figure(question, times, len(answer.json()["data"]))


def document(found: dict[str, list[Figure]], versions: list[str]) -> str:
    pages_ = [figure for figures in found.values() for figure in figures if figure.question.is_page]
    slow = [figure.question.what for figure in pages_ if statistics.median(figure.times) > GOAL_MS]
    parts = [
        "# What a page of a list costs\n",
        "Written by `make bench-lists`: one daemon on this machine, asked over HTTP on one warm connection, "
        f"{ROUNDS} times for each row ({SUM_ROUNDS} times for sums), 100 rows a page. Milliseconds, from the first "
        "byte sent to the last one received. The database holds 10,000 users, keys and tokens, 20,000 sessions, "
        "1,000,000 finished requests, 432,000 hourly sums and 1,000,000 entries of the activity log. “Rare” filters "
        "are met by five rows of a million.\n",
        f"{platform.machine()}, {len(_cpus())} cores; {'; '.join(versions)}. {datetime.now(UTC):%Y-%m-%d}.\n",
        f"The goal is {GOAL_MS:.0f} ms for a page at the median. "
        + ("Every page meets it." if not slow else "Missed by: " + "; ".join(slow) + "."),
        "Sums are no pages: they read every hour that they are about.\n",
    ]
    for name, figures in found.items():
        parts.append(f"## {name}\n\n| question | rows | min | median | p95 | max |\n|---|---|---|---|---|---|")
        parts.append("\n".join(figure.row() for figure in figures) + "\n")
    return "\n".join(parts)


def _cpus() -> list[str]:
    return [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("processor")]


def _sqlite_version() -> str:
    import sqlite3  # noqa: PLC0415

    return f"SQLite {sqlite3.sqlite_version}"


def main() -> None:
    found: dict[str, list[Figure]] = {}
    postgres = PostgresServer()
    postgres.start()
    try:
        postgres.execute("CREATE DATABASE lists")
        shown = subprocess.run(["psql", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
        for name, url in ((_sqlite_version(), ""), (f"PostgreSQL {shown}", postgres.url("lists"))):
            with tempfile.TemporaryDirectory() as folder, daemon(Path(folder), url) as client:
                found[name] = []
                for question in questions():
                    found[name].append(measured(client, question))
                    print(found[name][-1].row(), flush=True)
    finally:
        postgres.stop()
    versions = [f"Python {platform.python_version()}", f"SQLAlchemy {sqlalchemy.__version__}"]
    DOCUMENT.write_text(document(found, versions), encoding="utf-8")


if __name__ == "__main__":
    main()
