"""Who waits and who runs, by the names that people know, and of some only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NoReturn

import httpx
import pytest

from llmgate.client import AdminClient
from llmgate.connection import FixedToken
from llmgate.errors import StoreUnavailable
from tests.admin.harness import Site, problem
from tests.admin.test_query_plans import overheard
from tests.fakes import Script
from tests.gateway.harness import CHAT

QUEUE = "/admin/v1/queue"
BODY = {**CHAT, "stream": False}


class Line:
    """One request after the other: the first of them runs, the others wait."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._tasks: list[asyncio.Task[httpx.Response]] = []

    async def add(self, client: httpx.AsyncClient | None = None, **headers: str) -> None:
        asking = (client or self._site.nobody).post("/api/chat", json=BODY, headers=headers)
        self._tasks.append(asyncio.create_task(asking))
        if len(self._tasks) == 1:
            await self._site.ollama.request(0)
        else:
            await self._site.gateway.waiting(len(self._tasks) - 1)

    async def end(self) -> None:
        self._site.ollama.release("first")
        assert {answer.status_code for answer in await asyncio.gather(*self._tasks)} <= {200}


@asynccontextmanager
async def line(site: Site) -> AsyncIterator[Line]:
    site.ollama.script(Script(gate="first"))
    made = Line(site)
    try:
        yield made
    finally:
        await made.end()


async def listed(site: Site, what: str, **query: Any) -> list[dict[str, Any]]:
    answer = await site.admin.get(f"{QUEUE}/{what}", params=query)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


async def names(site: Site, what: str = "waiting", **query: Any) -> list[str]:
    return [row["owner_name"] for row in await listed(site, what, **query)]


@pytest.fixture
async def busy(site: Site) -> AsyncIterator[dict[str, Any]]:
    """A key of Ada's runs; Ada herself, a key of hers, an application (at level 4) and an address wait."""
    editor = await site.made("keys", name="editor", user="ada")
    worker = await site.made("keys", name="worker", level=4)
    await site.made("whitelist", cidr="127.0.0.0/8", label="this machine", level=5)
    async with line(site) as requests:
        await requests.add(authorization=f"Bearer {editor['key']}")
        await requests.add(site.user)
        await requests.add(authorization=f"Bearer {editor['key']}")
        await requests.add(authorization=f"Bearer {worker['key']}")
        await requests.add()
        yield {"editor": editor, "worker": worker}


async def test_owners_are_told_by_their_names(site: Site, busy: dict[str, Any]) -> None:
    rows = await listed(site, "waiting")
    assert sorted(row["owner_name"] for row in rows) == ["ada", "ada/editor", "this machine", "worker"]
    by_name = {row["owner_name"]: row for row in rows}
    assert by_name["worker"]["owner"] == f"key:{busy['worker']['id']}"
    assert by_name["ada"]["owner"].startswith("session:")
    assert by_name["this machine"]["owner"] == "address:127.0.0.1"
    assert await names(site, "running") == ["ada/editor"]
    moved = await site.admin.patch(f"{QUEUE}/waiting/{by_name['worker']['ticket_id']}", json={"level": 5})
    assert moved.json()["owner_name"] == "worker"
    for headers, name in (({}, "this machine"), ({"authorization": f"Bearer {busy['editor']['key']}"}, "ada/editor")):
        (own,) = (await site.nobody.get("/gate/queue", headers=headers)).json()["data"]
        assert own["owner_name"] == name
    (own,) = (await site.user.get("/gate/queue")).json()["data"]
    assert own["owner_name"] == "ada"


async def test_a_list_is_narrowed_before_it_is_cut(site: Site, busy: dict[str, Any]) -> None:
    hers = {"ada", "ada/editor"}
    assert set(await names(site, owner="ada")) == set(await names(site, owner="ADA")) == hers
    for owner in ("worker", busy["worker"]["id"], f"key:{busy['worker']['id']}"):
        assert await names(site, owner=owner) == ["worker"], owner
    assert await names(site, owner="127.0.0.1") == ["this machine"]
    assert await names(site, owner="ada/editor") == ["ada/editor"]
    assert await names(site, owner="nobody-here") == []
    assert await names(site, level=4) == await names(site, level=4, limit=1) == ["worker"]
    assert await names(site, level=5, pool="fake", owner="127.0.0.1", model="llama3.2") == ["this machine"]
    for model in ("llama3.2", "llama3.2:latest"):
        assert len(await names(site, model=model)) == 4
    assert await names(site, model="other") == await names(site, pool="other") == await names(site, level=1) == []
    (held,) = await listed(site, "running")
    found: list[dict[str, Any]] = [{"owner": "ada"}, {"owner": "ada/editor", "pool": "fake"}, {"level": held["level"]}]
    for query in found:
        assert await names(site, "running", **query) == ["ada/editor"], query
    none: list[dict[str, Any]] = [
        {"owner": "worker"},
        {"owner": "none"},
        {"pool": "other"},
        {"level": 5},
        {"model": "x"},
    ]
    for query in none:
        assert await names(site, "running", **query) == [], query
    for wrong in ("level=6", "level=0", "level=x", "owner=" + "x" * 201, "user=ada"):
        problem(await site.admin.get(f"{QUEUE}/waiting?{wrong}"), 400, "invalid_request")


async def test_the_total_is_of_all_who_match(site: Site, busy: dict[str, Any]) -> None:
    token = site.admin.headers["authorization"].removeprefix("Bearer ")
    async with AdminClient(site.url, FixedToken(token)) as client:
        page = await client.waiting_page(1)
        assert (page.total, len(page.data)) == (4, 1)
        assert page.data == [(await client.waiting(1))[0].model_copy(update={"waited": page.data[0].waited})]
        page = await client.waiting_page(1, owner="ada")
        assert (page.total, len(page.data)) == (2, 1)
        assert (await client.waiting_page(owner="nobody-here")).total == 0
        assert (await client.waiting_page(level=4)).total == len(await client.waiting(level=4)) == 1
        assert [one.owner_name for one in await client.running(owner="ada", level=2, limit=5)] == ["ada/editor"]


@contextmanager
def no_database(site: Site) -> Any:
    def away(*_: object) -> NoReturn:
        raise StoreUnavailable

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(site.gateway.services.database), "read", away)
        yield


async def test_without_a_database_the_list_is_told_all_the_same(site: Site, busy: dict[str, Any]) -> None:
    (worker,) = await listed(site, "waiting", level=4)
    site.gateway.services.owners._known.clear()
    with no_database(site):
        rows = await listed(site, "waiting")
        assert len(rows) == 4
        for row in rows:
            assert row["owner_name"] == ("this machine" if row["level"] == 5 else row["owner"])
        assert await names(site, owner=worker["owner"]) == [worker["owner"]]
        answer = await site.admin.get(f"{QUEUE}/waiting", params={"owner": "worker"})
        problem(answer, 503, "store_unavailable")


async def test_a_list_that_is_asked_for_again_and_again_asks_the_database_once(
    site: Site, busy: dict[str, Any]
) -> None:
    del busy
    site.gateway.services.owners._known.clear()
    with overheard(site) as asked:
        for _ in range(5):
            await listed(site, "waiting")
            await listed(site, "running")
    looked_up = [one.statement for one in asked if " IN (" in one.statement]
    assert len([one for one in looked_up if "api_keys" in one]) == 1
    assert len([one for one in looked_up if "api_keys" not in one and "users" in one]) == 1
