"""The live stream: what it tells, to whom, from where on, and how it ends."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import TypeAdapter

from llmgate import schemas
from llmgate.daemon.admin import events as route
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.feed import feed as feed_module
from llmgate.daemon.store.types import utc_now
from tests.admin.harness import PASSWORD, Site, problem, run_site
from tests.gateway.harness import CHAT
from tests.observer.harness import EVENTS, following


async def admin_client(site: Site, **changes: object) -> httpx.AsyncClient:
    """One that asks with an administrator's key, of the name "watcher"."""
    key = await site.gateway.new_key("watcher", role=Role.ADMIN, **changes)
    return httpx.AsyncClient(base_url=site.url, trust_env=False, headers={"authorization": f"Bearer {key}"})


async def test_a_request_is_told_from_its_place_in_line_to_its_end(site: Site) -> None:
    async with following(site.admin) as stream:
        assert (await site.gateway.post("/api/chat", CHAT)).status_code == 200
        await stream.has("request.finished")
        names = [sent.name for sent in stream.seen if sent.name != "stats"]
        assert names == ["request.waiting", "request.started", "request.finished"]
        waiting, started, finished = (stream.named(name)[0] for name in names)
        assert waiting["request_id"] == started["request_id"] == finished["request_id"]
        assert (waiting["level"], waiting["attempt"], started["upstream"]) == (2, 1, "fake")
        name = finished["principal_name"]
        assert waiting["owner_name"] == started["owner_name"] == name
        assert (finished["outcome"], finished["output_tokens"], finished["type"]) == ("completed", 4, names[2])
        any_event: TypeAdapter[schemas.AnyEvent] = TypeAdapter(schemas.AnyEvent)
        for sent in stream.seen:
            assert any_event.validate_python(sent.data).type == sent.name
            assert sent.data["daemon"]


async def test_a_persons_key_is_told_with_the_person(site: Site) -> None:
    key = (await site.made("keys", name="editor", user="ada"))["key"]
    async with following(site.admin, "request.waiting,request.started") as stream:
        await site.gateway.post("/api/chat", CHAT, authorization=f"Bearer {key}")
        await site.user.post("/api/chat", json=CHAT)
        told = await stream.has("request.started", 2)
        assert [event["owner_name"] for event in told] == ["ada/editor", "ada"]
        assert [event["owner_name"] for event in stream.named("request.waiting")] == ["ada/editor", "ada"]


async def test_changes_refusals_and_health_are_told(site: Site) -> None:
    async with following(site.admin, "activity,request.refused,upstream.changed") as stream:
        await site.made("users", name="bob", password=PASSWORD)
        (entry,) = await stream.has("activity")
        assert (entry["action"], entry["actor_name"], entry["target_name"]) == ("user.create", "root", "bob")
        assert isinstance(entry["detail"], dict)
        await site.gateway.post("/api/chat", {**CHAT, "model": "nonesuch"})
        (refused,) = await stream.has("request.refused")
        assert refused["error_code"] == "model_not_found"
        await site.ollama.stop()
        asking = asyncio.create_task(site.gateway.post("/api/chat", CHAT))
        (change,) = (await stream.has("upstream.changed"))[:1]
        assert (change["upstream"], change["before"]) == ("fake", "healthy")
        asking.cancel()
        assert {sent.name for sent in stream.seen} == {"activity", "request.refused", "upstream.changed"}


async def test_other_settings_are_told_by_their_names(site: Site) -> None:
    async with following(site.admin, "settings.changed") as stream:
        answer = await site.admin.put("/admin/v1/settings/queue.aging_seconds", json={"value": 7})
        assert answer.status_code == 200, answer.text
        (change,) = await stream.has("settings.changed")
        assert change["keys"] == ["queue.aging_seconds"]


async def test_once_a_second_it_tells_how_the_gateway_does(site: Site) -> None:
    await site.gateway.post("/api/chat", CHAT)
    async with following(site.admin, "stats") as stream:
        first, second = (await stream.has("stats", 2))[:2]
        assert first["requests_per_second"] > 0
        assert first["output_tokens_per_second"] > 0
        assert first["first_token_p50"] > 0
        assert (first["waiting"], first["running"]) == (0, 0)
        assert first["pools"][0]["pool"] == "fake"
        assert second["at"] > first["at"]
        assert [sent.id for sent in stream.seen] == [stream.place] * len(stream.seen)  # nothing to go on behind


async def test_nothing_is_published_for_nobody(site: Site) -> None:
    bus = site.gateway.services.bus
    await site.gateway.post("/api/chat", CHAT)
    assert not bus.watched
    assert [type(event).__name__ for event in site.gateway.events if "RequestW" in type(event).__name__] == []
    async with following(site.admin):
        assert bus.watched


async def test_the_answer_goes_through_proxies_unchanged(site: Site) -> None:
    async with following(site.admin) as stream:
        headers = stream.response.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert headers["cache-control"] == "no-store, no-transform"
        assert headers["x-accel-buffering"] == "no"
        assert "content-length" not in headers


async def test_a_silent_stream_shows_that_it_lives(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "KEEP_ALIVE_SECONDS", 0.05)
    async with site.admin.stream("GET", EVENTS, params={"types": "activity"}) as response:
        lines = response.aiter_lines()
        async with asyncio.timeout(5):
            seen = [await anext(lines) for _ in range(6)]
    assert seen[0].startswith("retry: ")
    assert seen[3] == seen[5] == ": still here"


# Who may, and how many


async def test_only_administrators_follow(site: Site) -> None:
    problem(await site.user.get(EVENTS), 403, "forbidden")
    problem(await site.nobody.get(EVENTS), 401, "unauthenticated")


async def test_what_cannot_be_asked_for_is_refused(site: Site) -> None:
    for query in ("types=activity,nonsense", "types=", "types=,", "type=activity", "types=lost"):
        problem(await site.admin.get(f"{EVENTS}?{query}"), 400, "invalid_request")
    assert site.gateway.services.observers.feed.followers == 0


async def test_there_is_a_bound_and_who_leaves_makes_room(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "FOLLOWERS", 2)
    async with following(site.admin):
        async with following(site.admin):
            refused = problem(await site.admin.get(EVENTS), 429, "limit_exceeded")
            assert "2 event streams" in refused["detail"]
        feed = site.gateway.services.observers.feed
        async with asyncio.timeout(5):
            while feed.followers == 2:
                await asyncio.sleep(0)
        async with following(site.admin):
            assert feed.followers == 2


# From where on


async def test_it_goes_on_behind_the_last_event(site: Site) -> None:
    async with following(site.admin, "activity") as stream:
        await site.made("users", name="bob", password=PASSWORD)
        await stream.has("activity")
        last = stream.place
    await site.made("users", name="eve", password=PASSWORD)
    async with following(site.admin, "activity", last_event_id=last) as stream:
        await site.made("users", name="mallory", password=PASSWORD)
        entries = await stream.has("activity", 2)
        assert [entry["target_name"] for entry in entries] == ["eve", "mallory"]
        assert stream.named("reset") == []


async def test_a_place_before_the_first_event_is_one_to_go_on_from(site: Site) -> None:
    async with following(site.admin) as stream:
        last = stream.place
    await site.made("users", name="bob", password=PASSWORD)
    async with following(site.admin, "activity", last_event_id=last) as stream:
        (entry,) = await stream.has("activity")
        assert entry["target_name"] == "bob"


async def test_where_it_cannot_go_on_it_says_so(site: Site) -> None:
    async with following(site.admin) as stream:
        boot = stream.place.partition("-")[0]
    for last in ("other-5", f"{boot}-999999", f"{boot}-", f"{boot}-0", f"{boot}-1e3", "nonsense", "-1"):
        async with following(site.admin, last_event_id=last) as stream:
            await stream.has("reset")


async def test_what_is_not_kept_any_more_is_a_reset(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.gateway.services.observers.feed._kept, "_most", 3)
    async with following(site.admin, "activity") as stream:
        first = stream.place
        for number in range(4):
            await site.made("users", name=f"user{number}", password=PASSWORD)
        await stream.has("activity", 4)
        second = stream.seen[0].id
    async with following(site.admin, "activity", last_event_id=first) as stream:
        await stream.has("reset")
    async with following(site.admin, "activity", last_event_id=second) as stream:
        assert len(await stream.has("activity", 3)) == 3
        assert stream.named("reset") == []


async def test_what_happened_while_nobody_followed_is_a_reset(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "LINGER_SECONDS", 0.0)
    async with following(site.admin) as stream:
        last = stream.place
    async with asyncio.timeout(5):
        while site.gateway.services.observers.feed.followers:
            await asyncio.sleep(0)
    await site.made("users", name="bob", password=PASSWORD)
    async with following(site.admin, last_event_id=last) as stream:
        await stream.has("reset")


# How it ends


@pytest.mark.alone
async def test_it_ends_within_a_second_when_the_key_is_disabled(site: Site) -> None:
    async with await admin_client(site) as client, following(client) as stream:
        keys = (await site.admin.get("/admin/v1/keys")).json()["data"]
        key = next(key["id"] for key in keys if key["name"] == "watcher")
        began = time.monotonic()
        changed = await site.admin.patch(f"/admin/v1/keys/{key}", json={"disabled": True})
        assert changed.status_code == 200, changed.text
        await asyncio.wait_for(stream.ended, 5)
        assert time.monotonic() - began < 1.0
        (end,) = stream.named("end")
        assert end["code"] == "unauthenticated"


async def test_it_ends_when_an_administrator_is_one_no_more(site: Site) -> None:
    made = await site.made("users", name="second", password=PASSWORD, role="admin")
    token = (await site.login("second")).json()["access_token"]
    async with (
        httpx.AsyncClient(base_url=site.url, trust_env=False, headers={"authorization": f"Bearer {token}"}) as client,
        following(client) as stream,
    ):
        await site.admin.patch(f"/admin/v1/users/{made['id']}", json={"role": "user"})
        await asyncio.wait_for(stream.ended, 2)
        assert stream.named("end")[0]["code"] == "forbidden"


async def test_it_ends_when_the_credential_expires(site: Site) -> None:
    soon = utc_now() + timedelta(seconds=1.2)
    async with await admin_client(site, expires_at=soon) as client, following(client) as stream:
        await asyncio.wait_for(stream.ended, 5)
        assert stream.named("end")[0]["code"] == "unauthenticated"


@pytest.mark.alone
async def test_a_shutdown_ends_it_at_once(tmp_path: Path) -> None:
    async with run_site(tmp_path / "state") as site, following(site.admin) as stream:
        began = time.monotonic()
        site.gateway.server.should_exit = True
        await asyncio.wait_for(stream.ended, 5)
        assert time.monotonic() - began < 1.0
        assert stream.named("end")[0]["code"] == "draining"
