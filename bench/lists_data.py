"""Fills a database as years of use would: users, keys, tokens, sessions, requests, usage, the activity log."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import psycopg
from sqlalchemy import Table, create_engine, insert
from sqlalchemy.engine import make_url

from llmgate.daemon.store.activity import activity
from llmgate.daemon.store.keys import keys
from llmgate.daemon.store.requests import requests
from llmgate.daemon.store.sessions import sessions
from llmgate.daemon.store.tokens import tokens
from llmgate.daemon.store.usage import usage, usage_principals
from llmgate.daemon.store.users import users
from llmgate.daemon.store.whitelist import whitelist

USERS = KEYS = TOKENS = 10_000
SESSIONS = 20_000
NETWORKS = 1_000
REQUESTS = ENTRIES = 1_000_000
BUSY_KEYS = 200
"""Keys that have made the requests. The first has made a tenth of them, another one only RARE."""
RARE = 5
DAYS = 90
FIRST_ENTRY = 1001
"""Number of the first entry of the activity log: before it there may be some that starting has made."""
MODELS = [f"model-{number}:latest" for number in range(20)]
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
BEGIN = NOW - timedelta(days=DAYS)

Row = dict[str, Any]
_BATCH = 20_000


def user_id(number: int) -> str:
    return f"01USER{number:020d}"


def key_id(number: int) -> str:
    return f"K{number:09d}"


def fill(url: str, *, many: int = REQUESTS, some: int = USERS) -> None:
    """Write ``many`` requests and entries of the log, and ``some`` of the rest; let the database look at it."""
    tables: list[tuple[Table, Iterable[Row]]] = [
        (users, _users(some)),
        (keys, _keys(some)),
        (tokens, _tokens(some)),
        (whitelist, _networks()),
        (sessions, _sessions(2 * some)),
        (requests, _requests(many)),
        (usage_principals, _principals()),
        (usage, _usage(DAYS * many // REQUESTS or 1)),
        (activity, _activity(many)),
    ]
    write = _into_postgres if make_url(url).get_backend_name() == "postgresql" else _into_sqlite
    write(url, tables)


def _into_sqlite(url: str, tables: list[tuple[Table, Iterable[Row]]]) -> None:
    engine = create_engine(make_url(url).set(drivername="sqlite"))
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA synchronous = OFF")
        for table, rows in tables:
            waiting = iter(rows)
            while batch := list(islice(waiting, _BATCH)):
                connection.execute(insert(table), batch)
    with engine.begin() as connection:
        connection.exec_driver_sql("ANALYZE")
    engine.dispose()


def _into_postgres(url: str, tables: list[tuple[Table, Iterable[Row]]]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for table, rows in tables:
            names = [column.name for column in table.columns]
            listed = ", ".join(f'"{name}"' for name in names)
            copying = f'COPY "{table.name}" ({listed}) FROM STDIN'.encode()
            with connection.cursor() as cursor, cursor.copy(copying) as copy:
                for row in rows:
                    copy.write_row([row.get(name) for name in names])
        connection.execute("VACUUM ANALYZE")


def _users(count: int) -> Iterator[Row]:
    for number in range(count):
        row = {"id": user_id(number), "name": f"user-{number}", "name_key": f"user-{number}", "role": "user"}
        yield {**row, "disabled": False, "created_at": BEGIN, "updated_at": BEGIN}


def _keys(count: int) -> Iterator[Row]:
    for number in range(count):
        yield {
            "id": key_id(number),
            "digest": f"{number:064x}",
            "name": f"key-{number}",
            "user_id": user_id(number if number % 2 else 1),
            "role": "user",
            "weight": 1.0,
            "disabled": number % 10 == 3,
            "revoked_at": NOW if number % 10 == 7 else None,
            "created_at": BEGIN + timedelta(seconds=number),
            "last4": "abcd",
        }


def _tokens(count: int) -> Iterator[Row]:
    for number in range(count):
        row = {"id": f"01TOKEN{number:019d}", "digest": f"{number:064x}", "label": f"token-{number}", "role": "user"}
        state = {"revoked_at": NOW if number % 3 else None, "created_by": f"admin-{number % 10}"}
        yield {**row, **state, "max_uses": 1, "uses": number % 2, "created_at": BEGIN}


def _networks() -> Iterator[Row]:
    for number in range(NETWORKS):
        cidr = f"10.{number // 250}.{number % 250}.0/24"
        yield {"id": f"01NET{number:021d}", "cidr": cidr, "label": f"net-{number}", "created_at": BEGIN}


def _sessions(count: int) -> Iterator[Row]:
    for number in range(count):
        yield {
            "id": f"01SESSION{number:017d}",
            "user_id": user_id(number % (count // 2)),
            "created_at": BEGIN,
            "last_used_at": NOW,
            "expires_at": NOW + timedelta(days=30) if number % 4 == 0 else NOW - timedelta(days=1),
            "refresh_hash": f"{number:064x}",
            "client": "Mozilla/5.0",
            "address": "10.0.0.1",
        }


def _requests(count: int) -> Iterator[Row]:
    random.seed(1)
    step = timedelta(days=DAYS) / count
    outcomes = ["completed"] * 19 + ["client_disconnected"]
    for number in range(count):
        rare = number % (count // RARE) == 7
        who = BUSY_KEYS if rare else 0 if number % 10 == 0 else random.randrange(1, BUSY_KEYS)
        yield {
            "request_id": f"{number:016x}",
            "finished_at": BEGIN + number * step,
            "principal_kind": "key",
            "principal_id": key_id(who),
            "principal_name": f"key-{who}",
            "user_id": user_id(who),
            "protocol": "openai",
            "route": "/v1/chat/completions",
            "model": "rare:latest" if rare else MODELS[number % len(MODELS)],
            "pool": "gpu",
            "upstream": "old" if rare else f"gpu-{number % 4}",
            "submitted_level": 5 if rare else 1 + number % 3,
            "stream": True,
            "outcome": "upstream_failed" if rare else outcomes[number % 20],
            "status": 502 if rare else 200,
            "wait": 0.2,
            "first_byte": 0.4,
            "duration": 4.0,
            "input_tokens": 800,
            "output_tokens": 300,
        }


def _principals() -> Iterator[Row]:
    for number in range(BUSY_KEYS + 1):
        yield {"kind": "key", "id": key_id(number), "name": f"key-{number}", "user_id": user_id(number)}


def _usage(days: int) -> Iterator[Row]:
    """Each hour, every busy key with one of the models: 432,000 sums in 90 days."""
    for hour in range(days * 24):
        moment = BEGIN + timedelta(hours=hour)
        for number in range(BUSY_KEYS):
            row = {"hour": moment, "day": moment.date(), "principal_kind": "key", "principal_id": key_id(number)}
            sums = {"requests": 3, "errors": 0, "input_tokens": 2400, "output_tokens": 900, "wait_seconds": 1.5}
            yield {**row, **sums, "level": 2, "model": MODELS[(hour + number) % len(MODELS)]}


def _activity(count: int) -> Iterator[Row]:
    step = timedelta(days=DAYS) / count
    actions = ["session.login"] * 8 + ["key.create", "user.update"]
    for number in range(count):
        rare = number % (count // RARE) == 7
        yield {
            "seq": FIRST_ENTRY + number,
            "at": BEGIN + number * step,
            "actor_kind": "session",
            "actor_id": user_id(USERS if rare else number % 500),
            "actor_name": "rare" if rare else f"user-{number % 500}",
            "address": "10.0.0.1",
            "request_id": f"{number:016x}",
            "action": "settings.set" if rare else actions[number % 10],
            "target_id": "rare" if rare else user_id(number % 5000),
            "target_name": "rare" if rare else f"user-{number % 5000}",
            "detail": "{}",
            "hash": f"{number:064x}",
        }
