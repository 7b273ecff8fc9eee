"""Every list of our own APIs reads its pages by an index, with each of its filters, in both databases."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, event, text

from bench import lists_data as data
from llmgate.config import DatabaseSettings
from llmgate.daemon.services import database_url
from llmgate.daemon.store.usage import usage_principals as principals
from tests.admin.harness import Site, run_site

BIG = ("requests", "activity", "users", "api_keys", "sessions", "registration_tokens", "usage")
"""Tables that grow with use. The others are read as a whole, and hold a few rows."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A statement that a list has sent, with its parameters as the driver got them."""

    statement: str
    parameters: Any


@contextmanager
def overheard(site: Site) -> Iterator[list[Asked]]:
    """The SELECTs that are sent inside of the block."""
    heard: list[Asked] = []

    def hear(_connection: Connection, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            heard.append(Asked(statement, parameters))

    engine = site.gateway.services.database._opened
    assert engine is not None
    event.listen(engine.sync_engine, "before_cursor_execute", hear)
    try:
        yield heard
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", hear)


def lists_of(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """Every list that has pages, as it is, and with each of its filters."""
    for path, operations in document["paths"].items():
        parameters = {one["name"]: one["schema"] for one in operations.get("get", {}).get("parameters", ())}
        if "after" not in parameters and path != "/usage":
            continue
        yield path, {}
        for name in sorted(set(parameters) - {"after", "limit", "format", "group_by", "then_by"}):
            yield path, {name: value_for(name, parameters[name])}


def value_for(name: str, schema: dict[str, Any]) -> str:
    """A value that the parameter may have, and that is in the data where that matters."""
    of_the_data = {"user": "user-1", "key": "key-1", "principal": f"key:{data.key_id(1)}"}
    if name in of_the_data:
        return of_the_data[name]
    choices = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    first = choices[0]
    if "enum" in first or "$ref" in first:
        return str(first.get("enum", ["completed"])[0])
    if first.get("format") == "date-time":
        return (data.NOW - timedelta(days=1)).isoformat()
    return {"integer": "2", "boolean": "true", "string": "10.0.0.1"}[first["type"]]


def plan_of(connection: Connection, asked: Asked) -> list[str]:
    """How the database answers this statement when it avoids reading and sorting whole tables."""
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked.statement}", asked.parameters)
        return [str(row[-1]) for row in rows]
    for way in ("seqscan", "sort", "bitmapscan"):
        connection.execute(text(f"SET LOCAL enable_{way} = off"))
    return [str(row[0]) for row in connection.exec_driver_sql(f"EXPLAIN {asked.statement}", asked.parameters)]


def faults_of(plan: list[str], asked: Asked) -> list[str]:
    """What is wrong with a plan: a whole table is read, or sorted, or searched for rows that an index could name."""
    told = "\n".join(plan)
    whole = [line.split()[1] for line in plan if line.startswith("SCAN ") and "INDEX" not in line]
    whole += re.findall(r"Seq Scan on (\w+)", told)
    found = [f"reads all of {table}" for table in BIG if table in whole]
    # Sums are sorted, and so are the few keys of one name, and the two pages of which one is made.
    few = any(words in asked.statement for words in ("GROUP BY", "api_keys.name = ", " UNION "))
    sorting = any(re.match(r"[ >-]*Sort +\(cost", line) for line in plan) or any(
        "FOR ORDER BY" in line and "LAST TERM" not in line for line in plan
    )
    if sorting and not few:
        found.append("sorts")
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> DatabaseSettings:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return DatabaseSettings(url=SecretStr(url))


async def asked_by(site: Site, path: str, filters: dict[str, str]) -> list[Asked]:
    """What the list asks the database for its first and its second page."""
    page = {"limit": "2"} if path != "/usage" else {}
    with overheard(site) as heard:
        first = await site.admin.get(f"/admin/v1{path}", params={**filters, **page})
        assert first.status_code in (200, 404), first.text
        after = first.json().get("next")
        if after:
            second = await site.admin.get(f"/admin/v1{path}", params={**filters, **page, "after": after})
            assert second.status_code == 200, second.text
    return [asked for asked in heard if any(f"FROM {table}" in asked.statement for table in BIG)]


async def test_every_page_is_read_by_an_index(tmp_path: Path, database: DatabaseSettings) -> None:
    async with run_site(tmp_path / "state", database=database) as site:
        settings = site.gateway.services.settings
        await asyncio.to_thread(data.fill, database_url(settings), many=3000, some=300)
        document = (await site.admin.get("/admin/v1/openapi.json")).json()
        wrong, seen = [], 0
        for path, filters in lists_of(document):
            for asked in await asked_by(site, path, filters):
                seen += 1
                async with site.gateway.services.database.read() as tx:
                    plan = await tx.run_sync(plan_of, asked)
                for fault in faults_of(plan, asked):
                    wrong.append("\n".join([f"{path} {filters}: {fault}", asked.statement, *plan]))  # noqa: PERF401
        assert seen > 40
        assert not wrong, "\n\n".join(wrong)


async def test_ones_own_is_read_by_an_index_too(tmp_path: Path, database: DatabaseSettings) -> None:
    """However much all others have used."""
    async with run_site(tmp_path / "state", database=database) as site:
        settings = site.gateway.services.settings
        await asyncio.to_thread(data.fill, database_url(settings), many=3000, some=300)
        ada = (await site.user.get("/gate/auth/me")).json()["id"]
        ids = [data.key_id(number) for number in range(5)]
        async with site.gateway.services.database.begin() as tx:
            await tx.execute(principals.update().where(principals.c.id.in_(ids)).values(user_id=ada))
        paths = ("/gate/usage?by=day", "/gate/usage?by=model", "/gate/usage?by=key&days=366", "/gate/keys?state=active")
        with overheard(site) as heard:
            for path in paths:
                assert (await site.user.get(path)).status_code == 200
        asked = [one for one in heard if re.search("FROM (usage|api_keys) ", one.statement)]
        assert len(asked) == len(paths)
        async with site.gateway.services.database.read() as tx:
            plans = [(one, await tx.run_sync(plan_of, one)) for one in asked]
        wrong = [(one.statement, fault, plan) for one, plan in plans for fault in faults_of(plan, one)]
        assert wrong == []
