"""PostgreSQL is away in every way that it can be: who is served, who is told what, what is written afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from llmgate.config import DatabaseSettings
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.queue.ticket import Outcome
from llmgate.daemon.store.activity import activity
from llmgate.daemon.store.keys import keys
from llmgate.daemon.store.requests import requests
from llmgate.daemon.store.usage import usage
from tests.admin.harness import PASSWORD, Site, problem, run_site
from tests.chat.harness import Person, open_page
from tests.fakes import Script
from tests.gateway.harness import CHAT, lines_of
from tests.services.fixtures import opened
from tests.trust.outages import KINDS, BreakableServer, Kind, Outages, breakable, eventually

TIMEOUT = 1.0
"""``database.timeout`` here; it is asked twice at most for one answer, and cancelling takes half a second."""
BOUND = 15.0
"""So long nobody waits, also on a busy machine. Without a deadline it would be for ever."""
WHOLE = {**CHAT, "stream": False}
_numbers = count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[BreakableServer]:
    server = BreakableServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def outages(server: BreakableServer) -> AsyncIterator[Outages]:
    async with breakable(server, f"outage{next(_numbers)}") as outages:
        yield outages


@pytest.fixture
async def site(outages: Outages, tmp_path: Path) -> AsyncIterator[Site]:
    database = DatabaseSettings.model_validate({"url": outages.url, "timeout": TIMEOUT, "pool_size": 4})
    async with run_site(tmp_path / "state", database=database) as site:
        yield site


async def ask(site: Site, key: str) -> httpx.Response:
    async with asyncio.timeout(BOUND):
        return await site.nobody.post("/api/chat", json=WHOLE, headers={"authorization": f"Bearer {key}"})


async def person_of(site: Site) -> Person:
    me = (await site.user.get("/gate/auth/me")).json()
    token = site.user.headers["authorization"].removeprefix("Bearer ")
    return Person(me["id"], "ada", token, me["session_id"])


async def recovers(site: Site, key: str) -> None:
    """Without anybody's help: somebody unknown is served again."""

    async def is_served() -> bool:
        return (await ask(site, key)).status_code == 200

    await eventually(is_served)


def unavailable(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) >= 1
    assert "database" in answer.text.lower()


short = {"stopped", "frozen"}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in short else [pytest.mark.long]) for kind in KINDS]
)
async def test_while_it_is_away_known_callers_are_served_and_changes_refused(
    kind: Kind, site: Site, outages: Outages
) -> None:
    known, stranger = await site.gateway.new_key("known"), await site.gateway.new_key("stranger")
    made = await site.made("whitelist", cidr="127.0.0.1/32")
    assert (await ask(site, known)).status_code == 200
    person = await person_of(site)
    assert (await site.user.post("/api/chat", json=WHOLE)).status_code == 200
    assert (await site.nobody.post("/api/chat", json=WHOLE)).status_code == 200
    before = len(site.gateway.finished)
    site.ollama.script(Script(token_gates={2: "go"}))
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(site.gateway.stream("/api/chat", CHAT))
        lines = running.aiter_lines()
        first = [await anext(lines)]
        async with outages.strike(kind):
            # The upstream has one slot, and the running answer holds it: everybody else stands in line.
            waiting = [asyncio.create_task(one) for one in (ask(site, known), site.user.post("/api/chat", json=WHOLE),
                                                           site.nobody.post("/api/chat", json=WHOLE))]  # fmt: skip
            unavailable(await ask(site, stranger))
            await refuses_changes(site, made["id"])
            page = await stack.enter_async_context(open_page(site.gateway, person))
            site.ollama.release("go")
            rest = [line async for line in lines]
            assert lines_of("\n".join([*first, *rest]))[-1]["done"] is True
            async with asyncio.timeout(BOUND):
                assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 3
            assert (await ask(site, known)).status_code == 200
            await eventually(lambda: len(site.gateway.finished) == before + 5)
            assert site.gateway.services.usage.pending >= 5
            assert page.socket.close_code is None
        await recovers(site, stranger)
    await was_written_once(site, outages)
    assert (await site.admin.get(f"/admin/v1/whitelist/{made['id']}")).status_code == 200


async def refuses_changes(site: Site, entry: str) -> None:
    """Whatever an administrator changes, at once; the daemon asks nobody else meanwhile."""
    requests = (
        site.admin.post("/admin/v1/keys", json={"name": "half"}),
        site.admin.post("/admin/v1/users", json={"name": "half", "password": PASSWORD}),
        site.admin.delete(f"/admin/v1/whitelist/{entry}"),
        site.admin.put("/admin/v1/settings/levels.user", json={"value": 5}),
    )
    async with asyncio.timeout(4 * BOUND):
        answers = [await request for request in requests]
    for answer in answers:
        problem(answer, 503, "store_unavailable")
        assert int(answer.headers["retry-after"]) >= 1


async def was_written_once(site: Site, outages: Outages) -> None:
    """Every finished request is in the log and in the sums, once; every change has its entry, and nothing else has."""
    recorder = site.gateway.services.usage
    await eventually(lambda: recorder.pending == 0)
    finished = {event.request_id for event in site.gateway.finished}
    async with opened(outages.direct) as database, database.read() as tx:
        logged = list((await tx.execute(select(requests.c.request_id))).scalars())
        counted = await tx.scalar(select(func.sum(usage.c.requests)))
        named = set((await tx.execute(select(keys.c.name))).scalars())
        done = list((await tx.execute(select(activity.c.action))).scalars())
    assert len(logged) == len(set(logged)) == counted
    assert finished == set(logged)
    assert recorder.dropped == 0
    assert "half" not in named
    assert sorted(done) == ["session.login", "session.login", "whitelist.create"]
    verified = (await site.admin.post("/admin/v1/activity/verify")).json()
    assert verified["ok"] is True, verified
    assert [event.outcome for event in site.gateway.finished] == [Outcome.COMPLETED] * len(finished)


async def test_connections_that_are_terminated_are_seen_by_nobody(site: Site, outages: Outages) -> None:
    key = await site.gateway.new_key("known", role=Role.ADMIN)
    for number in range(3):
        await asyncio.to_thread(outages.server.terminate_connections, outages.name)
        site.gateway.services.authenticator.invalidate()  # so that everybody is asked for
        assert (await ask(site, key)).status_code == 200
        await asyncio.to_thread(outages.server.terminate_connections, outages.name)
        await site.made("keys", name=f"key-{number}")


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
async def test_outage_after_outage_costs_no_connection(kind: Kind, site: Site, outages: Outages) -> None:
    """More often than there are connections in the pool, with somebody waiting for each of them."""
    strangers = [await site.gateway.new_key(f"key-{number}") for number in range(6)]
    for _ in range(5):
        site.gateway.services.authenticator.invalidate()
        async with outages.strike(kind):
            async with asyncio.timeout(4 * BOUND):
                answers = await asyncio.gather(*(ask(site, key) for key in strangers))
            for answer in answers:
                unavailable(answer)
        for key in strangers:
            await recovers(site, key)
    await eventually(lambda: site.gateway.services.usage.pending == 0)


@pytest.mark.long
async def test_a_lock_that_somebody_holds_on_a_table_is_an_outage_of_that_table_only(
    site: Site, outages: Outages
) -> None:
    key = await site.gateway.new_key("known")
    async with opened(outages.direct, timeout=120) as holder:
        async with holder.begin() as tx:
            await tx.exec_driver_sql("LOCK TABLE requests IN ACCESS EXCLUSIVE MODE")
            for _ in range(3):
                assert (await ask(site, key)).status_code == 200
            await site.made("keys", name="not-locked")
            await eventually(lambda: site.gateway.services.usage.pending == 3)
        await eventually(lambda: site.gateway.services.usage.pending == 0)


async def test_with_budgets_nobody_waits_twice_for_a_database_that_is_away(
    site: Site, outages: Outages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The budget that is known goes on to hold, and only one request in five seconds waits for the newest."""
    monkeypatch.setattr("llmgate.daemon.limits.keeper.STALE_SECONDS", 0.0)
    made = await site.made("keys", name="budget", tokens_per_day=1_000_000)
    key: str = made["key"]
    assert (await ask(site, key)).status_code == 200
    calls: list[Any] = []
    keeper = site.gateway.services.limits
    read = keeper._read

    async def counted(owners: list[str]) -> None:
        calls.append(owners)
        await read(owners)

    monkeypatch.setattr(keeper, "_read", counted)
    async with outages.strike("refused"):
        assert [(await ask(site, key)).status_code for _ in range(10)] == [200] * 10
        assert len(calls) <= 3
