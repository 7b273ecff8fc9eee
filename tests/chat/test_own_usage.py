"""What users see of their own usage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmgate.daemon.store.types import utc_now
from llmgate.daemon.store.usage import usage, usage_principals
from tests.admin.harness import Site, problem, run_site
from tests.gateway.harness import CHAT

USAGE = "/gate/usage"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with run_site(tmp_path / "state") as running:
        yield running


async def rows(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get(USAGE, params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def ask(site: Site, headers: dict[str, str]) -> None:
    answer = await site.nobody.post("/api/chat", json={**CHAT, "stream": False}, headers=headers)
    assert answer.status_code == 200, answer.text


def row(name: str, requests: int) -> dict[str, Any]:
    return {"name": name, "requests": requests, "input_tokens": 7 * requests, "output_tokens": 4 * requests}


async def test_sessions_and_all_own_keys_count_and_nobody_elses(site: Site) -> None:
    mine = (await site.user.post("/gate/keys", json={"name": "laptop"})).json()
    given = await site.made("keys", name="given", user="ada")
    as_ada = {"authorization": site.user.headers["authorization"]}
    for headers in (as_ada, as_ada, as_ada, {"x-api-key": mine["key"]}, {"x-api-key": mine["key"]}):
        await ask(site, headers)
    await ask(site, {"x-api-key": given["key"]})
    await ask(site, {"authorization": site.admin.headers["authorization"]})
    await ask(site, {"x-api-key": site.gateway.key})
    assert await rows(site.user) == [row(utc_now().date().isoformat(), 6)]
    assert await rows(site.user, by="model") == [row("llama3.2:latest", 6)]
    by_key = await rows(site.user, by="key")
    assert by_key == [row("sessions", 3), row(mine["name"], 2), row("given", 1)]
    await site.admin.delete("/admin/v1/keys/given")
    assert await rows(site.user, by="key") == by_key, "what a deleted key has used stays counted"


async def test_days_are_whole_days_in_utc_and_come_in_their_order(site: Site) -> None:
    ada = (await site.user.get("/gate/auth/me")).json()["id"]
    today = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    async with site.gateway.services.database.begin() as tx:
        who = {"kind": "session", "id": ada, "name": "ada", "user_id": ada}
        await tx.execute(usage_principals.insert().values(**who))
        for days, hour in ((0, 0), (2, 0), (2, 23), (3, 23)):
            moment = today - timedelta(days=days) + timedelta(hours=hour)
            group = {"hour": moment, "day": moment.date(), "principal_kind": "session", "principal_id": ada}
            sums = {"requests": 1, "errors": 0, "input_tokens": 7, "output_tokens": 4, "wait_seconds": 0.0}
            await tx.execute(usage.insert().values(**group, level=3, model="m", **sums))
    names = [(today - timedelta(days=days)).date().isoformat() for days in (3, 2, 0)]
    assert await rows(site.user, days=1) == [row(names[2], 1)]
    assert await rows(site.user, days=3) == [row(names[1], 2), row(names[2], 1)]
    assert await rows(site.user, days=366) == [row(names[0], 1), row(names[1], 2), row(names[2], 1)]


async def test_only_who_has_logged_in_sees_it(site: Site) -> None:
    key = (await site.made("keys", name="adas", user="ada"))["key"]
    problem(await site.nobody.get(USAGE, headers={"x-api-key": key}), 403, "forbidden")
    problem(await site.nobody.get(USAGE), 401, "unauthenticated")


@pytest.mark.parametrize("query", ["days=0", "days=367", "days=x", "by=user", "by=hour", "user=root", "since=2026"])
async def test_a_question_that_makes_no_sense_is_refused(site: Site, query: str) -> None:
    problem(await site.user.get(f"{USAGE}?{query}"), 400, "invalid_request")


async def test_who_has_used_nothing_sees_nothing(site: Site) -> None:
    for by in ("day", "model", "key"):
        assert await rows(site.user, by=by) == []
