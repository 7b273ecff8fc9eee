"""The waiting line, what was used, and the upstreams over the admin API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.admin.harness import Site, problem
from tests.fakes import Script
from tests.gateway.harness import CHAT

QUEUE = "/admin/v1/queue"


@asynccontextmanager
async def one_running_and_waiting(site: Site, count: int) -> AsyncIterator[list[asyncio.Task[httpx.Response]]]:
    """One request that runs until the end of the block, and ``count`` that wait behind it."""
    site.ollama.script(Script(gate="first"))
    body = {**CHAT, "stream": False}
    tasks = [asyncio.create_task(site.gateway.post("/api/chat", body))]
    await site.ollama.request(0)
    try:
        for number in range(count):
            headers = {"x-request-id": f"mine-{number}"}
            tasks.append(asyncio.create_task(site.gateway.post("/api/chat", body, **headers)))
            await site.gateway.waiting(number + 1)
        yield tasks
    finally:
        site.ollama.release("first")
        await asyncio.gather(*tasks)


async def test_the_line_is_shown_in_the_order_of_service_with_who_waits(site: Site) -> None:
    async with one_running_and_waiting(site, 2):
        waiting = (await site.admin.get(f"{QUEUE}/waiting")).json()["data"]
        assert [place["ahead"] for place in waiting] == [0, 1]
        owner = waiting[0]["owner"]
        assert owner.startswith("key:")
        assert waiting[0]["level"] == waiting[0]["submitted_level"] == 2
        running = (await site.admin.get(f"{QUEUE}/running")).json()["data"]
        assert [(held["owner"], held["upstream"]) for held in running] == [(owner, "fake")]
        (pool,) = (await site.admin.get(f"{QUEUE}/stats")).json()["data"]
        assert (pool["pool"], pool["running"], pool["waiting"]) == ("fake", 1, 2)
        assert pool["waiting_by_level"]["2"] == 2
        first = (await site.admin.get(f"{QUEUE}/waiting", params={"limit": 1})).json()["data"]
        assert first[0]["ticket_id"] == waiting[0]["ticket_id"]


async def test_a_cancelled_request_ends_with_an_error_that_says_so(site: Site) -> None:
    async with one_running_and_waiting(site, 1) as tasks:
        (place,) = (await site.admin.get(f"{QUEUE}/waiting")).json()["data"]
        path = f"{QUEUE}/waiting/{place['ticket_id']}"
        assert (await site.admin.delete(path)).status_code == 204
        answer = await tasks[1]
        assert answer.status_code == 503
        assert "administrator" in answer.json()["error"]
        problem(await site.admin.delete(path), 404, "not_found")
        problem(await site.admin.patch(path, json={"level": 1}), 404, "not_found")
    assert len(site.ollama.requests) == 1


async def test_a_running_request_is_ended_with_the_upstreams_work_and_the_next_has_its_turn(site: Site) -> None:
    async with one_running_and_waiting(site, 1) as tasks:
        (held,) = (await site.admin.get(f"{QUEUE}/running")).json()["data"]
        path = f"{QUEUE}/running/{held['ticket_id']}"
        assert (await site.admin.delete(path)).status_code == 204
        answer = await tasks[0]
        assert (answer.status_code, "administrator" in answer.json()["error"]) == (503, True)
        async with asyncio.timeout(1):
            await site.ollama.requests[0].disconnected.wait()
        assert (await tasks[1]).status_code == 200
        problem(await site.admin.delete(path), 404, "not_found")
    ended = site.gateway.finished[0]
    assert (ended.request_id, ended.outcome.value) == (held["ticket_id"], "client_disconnected")
    (entry,) = (await site.admin.get("/admin/v1/activity", params={"action": "queue.stop"})).json()["data"]
    assert entry["target_id"] == held["ticket_id"]


async def test_a_change_of_level_moves_a_request_ahead(site: Site) -> None:
    async with one_running_and_waiting(site, 2):
        waiting = (await site.admin.get(f"{QUEUE}/waiting")).json()["data"]
        last = waiting[1]["ticket_id"]
        moved = (await site.admin.patch(f"{QUEUE}/waiting/{last}", json={"level": 1})).json()
        assert (moved["level"], moved["submitted_level"]) == (1, 2)
        problem(await site.admin.patch(f"{QUEUE}/waiting/{last}", json={"level": 6}), 400, "invalid_request")
    served = [finished.request_id for finished in site.gateway.finished]
    assert served[1:] == [last, waiting[0]["ticket_id"]]


async def test_a_paused_pool_starts_nothing_until_it_is_resumed(site: Site) -> None:
    assert (await site.admin.post(f"{QUEUE}/pools/fake/pause")).json()["state"] == "paused"
    task = asyncio.create_task(site.gateway.post("/api/chat", {**CHAT, "stream": False}))
    await site.gateway.waiting(1)
    assert site.ollama.requests == []
    assert (await site.admin.post(f"{QUEUE}/pools/fake/resume")).json()["state"] != "paused"
    assert (await task).status_code == 200


async def test_a_drained_pool_refuses_what_is_new(site: Site) -> None:
    await site.admin.post(f"{QUEUE}/pools/fake/drain")
    assert (await site.gateway.post("/api/chat", CHAT)).status_code == 503
    await site.admin.post(f"{QUEUE}/pools/fake/resume")
    assert (await site.gateway.post("/api/chat", CHAT)).status_code == 200


async def test_a_pool_that_is_not_there_is_not_found(site: Site) -> None:
    for verb in ("pause", "resume", "drain"):
        problem(await site.admin.post(f"{QUEUE}/pools/nope/{verb}"), 404, "not_found")


async def test_everybody_sees_only_their_own_places(site: Site) -> None:
    key = {"x-api-key": site.gateway.key}
    async with one_running_and_waiting(site, 2):
        own = (await site.nobody.get("/gate/queue", headers=key)).json()["data"]
        assert [place["ahead"] for place in own] == [0, 1]
        mine = (await site.nobody.get("/gate/queue/mine-1", headers=key)).json()
        assert mine == {**own[1], "waited": mine["waited"], "estimated_wait": mine["estimated_wait"]}
        by_full_id = await site.nobody.get(f"/gate/queue/{mine['ticket_id']}", headers=key)
        assert by_full_id.json()["ticket_id"] == mine["ticket_id"]
        assert (await site.user.get("/gate/queue")).json()["data"] == []
        problem(await site.user.get("/gate/queue/mine-1"), 404, "not_found")
        problem(await site.user.get(f"/gate/queue/{mine['ticket_id']}"), 404, "not_found")
        problem(await site.nobody.get("/gate/queue/mine", headers=key), 404, "not_found")


async def used(site: Site) -> None:
    """Three requests, one of which fails, written to the database."""
    site.ollama.script(Script(input_tokens=11, tokens=("a", "b")), times=2)
    for model in ("llama3.2", "llama3.2", "unknown"):
        await site.gateway.post("/api/chat", {**CHAT, "model": model, "stream": False})
    await site.gateway.until(lambda: len(site.gateway.finished) == 2)
    await site.gateway.services.usage.flush()


async def test_usage_holds_the_tokens_that_the_model_reported(site: Site) -> None:
    await used(site)
    report = (await site.admin.get("/admin/v1/usage", params={"group_by": "model"})).json()
    (row,) = report["data"]
    assert (row["requests"], row["errors"], row["input_tokens"], row["output_tokens"]) == (2, 0, 22, 4)
    for group in ("principal", "user", "key", "hour", "day", "level"):
        answer = await site.admin.get("/admin/v1/usage", params={"group_by": group})
        assert sum(row["requests"] for row in answer.json()["data"]) == 2, group
    nothing = await site.admin.get("/admin/v1/usage", params={"until": "2020-01-01T00:00:00Z"})
    assert nothing.json()["data"] == []


async def test_finished_requests_are_listed_newest_first_and_filtered(site: Site) -> None:
    await used(site)
    rows = (await site.admin.get("/admin/v1/requests")).json()["data"]
    assert [row["outcome"] for row in rows] == ["completed", "completed"]
    assert rows[0]["finished_at"] >= rows[1]["finished_at"]
    page = (await site.admin.get("/admin/v1/requests", params={"limit": 1})).json()
    rest = (await site.admin.get("/admin/v1/requests", params={"after": page["next"]})).json()
    assert page["data"] + rest["data"] == rows
    failed = await site.admin.get("/admin/v1/requests", params={"outcome": "upstream_failed"})
    assert failed.json()["data"] == []


@pytest.mark.parametrize(
    "path",
    [
        "/admin/v1/usage?group_by=nonsense",
        "/admin/v1/usage?since=yesterday",
        "/admin/v1/usage?since=2026-01-01",
        "/admin/v1/usage?until=0001-01-01T00:00:00%2B14:00",
        "/admin/v1/requests?outcome=fine",
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_filters_that_mean_nothing_are_refused(shared: Site, path: str) -> None:
    problem(await shared.admin.get(path), 400, "invalid_request")


async def test_upstreams_tell_how_they_do_and_what_they_serve(site: Site) -> None:
    (upstream,) = (await site.admin.get("/admin/v1/upstreams")).json()["data"]
    assert upstream["name"] == upstream["pool"] == "fake"
    assert upstream["url"] == site.ollama.url
    assert (upstream["kind"], upstream["state"], upstream["slots"]) == ("ollama", "healthy", 1)
    assert upstream["models"] == ["llama3.2:latest"]


async def test_the_system_tells_whether_it_is_ready_and_why_not(site: Site) -> None:
    system = (await site.admin.get("/admin/v1/system")).json()
    assert (system["ready"], system["not_ready"]) == (True, [])
    assert system["uptime"] >= 0
    site.gateway.services.draining = True
    system = (await site.admin.get("/admin/v1/system")).json()
    assert (system["ready"], system["not_ready"]) == (False, ["shutting down"])
    site.gateway.services.draining = False
