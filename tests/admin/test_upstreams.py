"""Upstreams and pools over the admin API."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from llmgate.config import ServerSettings, Settings, StateSettings
from llmgate.daemon.events import ActivityRecorded
from llmgate.daemon.queue.ticket import Position
from llmgate.daemon.services import open_services
from llmgate.daemon.store import upstreams
from llmgate.daemon.upstreams.sealing import TokenSeal, Unreadable
from tests.admin.harness import Site, problem
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT, Running, run_gateway, settings_for, upstream_for

UPSTREAMS = "/admin/v1/upstreams"


def activity_of(gateway: Running) -> list[tuple[str, str]]:
    """What was noted of upstreams: action and detail."""
    entries = [entry for entry in gateway.events if isinstance(entry, ActivityRecorded)]
    return [(entry.action, entry.detail) for entry in entries if entry.action.startswith("upstream.")]


async def test_the_upstreams_of_the_file_are_listed_and_read_only(site: Site) -> None:
    (row,) = (await site.admin.get(UPSTREAMS)).json()["data"]
    assert (row["name"], row["origin"], row["state"], row["pool"]) == ("fake", "file", "healthy", "fake")
    assert (row["models"], row["api_key_set"], row["url"]) == (["llama3.2:latest"], False, site.ollama.url)
    assert (await site.admin.get(f"{UPSTREAMS}/fake")).json() == row
    document = problem(await site.admin.patch(f"{UPSTREAMS}/fake", json={"slots": 2}), 409, "read_only")
    assert "file" in document["detail"]
    problem(await site.admin.delete(f"{UPSTREAMS}/fake"), 409, "read_only")
    problem(await site.admin.get(f"{UPSTREAMS}/none"), 404, "not_found")


async def test_an_upstream_is_added_changed_and_removed_while_serving(site: Site) -> None:
    async with FakeOllama(models=("new:1b",)) as other:
        answer = await site.admin.post(UPSTREAMS, json={"name": "gpu2", "url": other.url})
        assert answer.status_code == 201
        made = answer.json()
        assert (made["origin"], made["state"], made["models"]) == ("database", "healthy", ["new:1b"])
        assert (made["slots"], made["idle_timeout"]) == (1, 120)
        asked = await site.gateway.post("/api/chat", {**CHAT, "model": "new:1b", "stream": False})
        assert asked.status_code == 200
        shown = await site.admin.get(f"{UPSTREAMS}/gpu2")
        assert shown.headers["etag"] == answer.headers["etag"]
        changed = await site.admin.patch(f"{UPSTREAMS}/gpu2", json={"slots": 4, "pool": "main"})
        assert (changed.json()["slots"], changed.json()["pool"]) == (4, "main")
        stale = {"if-match": answer.headers["etag"]}
        problem(await site.admin.delete(f"{UPSTREAMS}/gpu2", headers=stale), 412, "precondition_failed")
        assert (await site.admin.patch(f"{UPSTREAMS}/gpu2", json={"pool": None})).json()["pool"] == "gpu2"
        assert (await site.admin.delete(f"{UPSTREAMS}/gpu2")).status_code == 204
        gone = await site.gateway.post("/api/chat", {**CHAT, "model": "new:1b", "stream": False})
        assert gone.status_code == 404
    noted = activity_of(site.gateway)
    actions = ["upstream.create", "upstream.update", "upstream.update", "upstream.delete"]
    assert [action for action, _ in noted] == actions
    assert '"slots":[1,4]' in noted[1][1]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Bad Name", "url": "http://a"},
        {"name": "a", "url": "http://user:secret@a"},
        {"name": "a", "url": "ftp://a"},
        {"name": "a", "url": "http://a", "slots": 0},
        {"name": "a", "url": "http://a", "kind": "vllm"},
        {"name": "a", "url": "http://a", "pool": "Big"},
        {"name": "a", "url": "http://a", "connect_timeout": 0},
        {"name": "a", "url": "http://a", "extra": 1},
        {"name": "a"},
        {"name": "a", "url": "http://a", "api_key": "secret\nX-Evil: 1"},
        {"name": "a", "url": "http://a", "api_key": "secretÄ"},
        {"name": "a", "url": "http://a..b"},
        {"name": "a", "url": "http://[::1"},
        {"name": "a", "url": "http://a:99999"},
        {"name": "a", "url": "http://a:b"},
        {"name": "a", "url": "http://a\n"},
        {"name": "a", "url": "http://a/?q"},
        {"name": "a", "url": "http://\u2603"},
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_an_unusable_upstream_is_refused(shared: Site, body: dict[str, Any]) -> None:
    document = problem(await shared.admin.post(UPSTREAMS, json=body), 400, "invalid_request")
    assert "secret" not in str(document)


async def test_a_name_is_taken_once_by_file_or_database(site: Site) -> None:
    problem(await site.admin.post(UPSTREAMS, json={"name": "fake", "url": "http://a"}), 409, "conflict")
    await site.made("upstreams", name="gpu2", url="http://127.0.0.1:1")
    problem(await site.admin.post(UPSTREAMS, json={"name": "gpu2", "url": "http://a"}), 409, "conflict")


async def test_a_repeated_creation_is_answered_again_and_not_done_again(site: Site) -> None:
    body = {"name": "gpu2", "url": "http://127.0.0.1:1"}
    headers = {"idempotency-key": "once"}
    first = await site.admin.post(UPSTREAMS, json=body, headers=headers)
    again = await site.admin.post(UPSTREAMS, json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["name"] == "gpu2"


async def test_a_token_is_sent_to_the_upstream_and_shown_to_nobody(site: Site) -> None:
    async with FakeOllama(models=("new:1b",)) as other:
        made = await site.made("upstreams", name="gpu2", url=other.url, api_key="top-secret-token")
        assert made["api_key_set"] is True
        assert other.reads[-1].headers["authorization"] == "Bearer top-secret-token"
        async with site.gateway.services.database.read() as tx:
            row = await upstreams.get(tx, "gpu2")
        assert "top-secret-token" not in str(row)
        elsewhere = {"url": "http://127.0.0.1:1"}
        refused = problem(await site.admin.patch(f"{UPSTREAMS}/gpu2", json=elsewhere), 400, "invalid_request")
        assert refused["param"] == "api_key"
        taken = await site.admin.patch(f"{UPSTREAMS}/gpu2", json={"api_key": None})
        assert taken.json()["api_key_set"] is False
        assert "authorization" not in other.reads[-1].headers
        everything = "".join([answer.text for answer in (await site.admin.get(UPSTREAMS), taken)])
        assert "top-secret-token" not in everything + str(activity_of(site.gateway))


def test_a_sealed_token_is_good_for_its_own_upstream_only() -> None:
    seal = TokenSeal(bytes(range(32)))
    sealed = seal.seal("token", name="a", url="http://a")
    assert seal.open(sealed, name="a", url="http://a") == "token"
    assert sealed != seal.seal("token", name="a", url="http://a")
    for other, text, name, url in (
        (seal, sealed, "b", "http://a"),
        (seal, sealed, "a", "http://evil"),
        (TokenSeal(bytes(32)), sealed, "a", "http://a"),
        (seal, sealed[:-4] + "AAA=", "a", "http://a"),
        (seal, "nonsense", "a", "http://a"),
        (seal, "", "a", "http://a"),
    ):
        with pytest.raises(Unreadable):
            other.open(text, name=name, url=url)


async def test_the_last_upstream_of_a_pool_stays_while_requests_wait_there_unless_forced(site: Site) -> None:
    async with FakeOllama(models=("new:1b",)) as other:
        await site.made("upstreams", name="gpu2", url=other.url)
        other.script(Script(gate="go"), times=None)
        ask = [
            asyncio.create_task(site.gateway.post("/api/chat", {**CHAT, "model": "new:1b", "stream": False}))
            for _ in range(2)
        ]
        await site.gateway.waiting(1)
        problem(await site.admin.delete(f"{UPSTREAMS}/gpu2"), 409, "conflict")
        problem(await site.admin.patch(f"{UPSTREAMS}/gpu2", json={"pool": "main"}), 409, "conflict")
        assert (await site.admin.delete(f"{UPSTREAMS}/gpu2", params={"force": True})).status_code == 204
        other.release("go")
        done, _ = await asyncio.wait(ask, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result().status_code for task in done] == [200]  # it ran, and was not broken
        for task in ask:
            task.cancel()
        await asyncio.gather(*ask, return_exceptions=True)


async def test_the_broker_is_not_asked_while_all_other_changes_wait(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[bool] = []
    services = site.gateway.services

    async def waiting(*_: object) -> list[Position]:
        held.append(services.changes._turn.locked())
        return []

    monkeypatch.setattr(type(services.queue), "waiting", waiting)
    await site.made("upstreams", name="gpu2", url=site.ollama.url)
    assert (await site.admin.patch(f"{UPSTREAMS}/gpu2", json={"pool": "main"})).status_code == 200
    assert (await site.admin.delete(f"{UPSTREAMS}/gpu2")).status_code == 204
    assert held == [False, False]


async def test_what_was_added_is_there_after_a_restart_and_the_file_counts_first(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(FakeOllama(models=(name,))) for name in ("a", "b")]
        state = StateSettings(dir=tmp_path / "state")
        without = Settings(server=ServerSettings(port=0), state=state)
        async with run_gateway(without) as gateway:
            admin = {"authorization": f"Bearer {await gateway.new_key('admin', role='admin')}"}
            (row,) = (await gateway.client.get(UPSTREAMS, headers=admin)).json()["data"]
            assert (row["name"], row["origin"]) == ("ollama", "default")
            problem(await gateway.client.delete(f"{UPSTREAMS}/ollama", headers=admin), 409, "read_only")
            body = {"name": "mine", "url": one.url, "api_key": "token", "slots": 2}
            assert (await gateway.client.post(UPSTREAMS, json=body, headers=admin)).status_code == 201
            rows = (await gateway.client.get(UPSTREAMS, headers=admin)).json()["data"]
            assert [(row["name"], row["origin"]) for row in rows] == [("mine", "database")]
        async with open_services(without) as services:
            assert [status.slots for status in services.upstreams.status()] == [2]
            assert one.reads[-1].headers["authorization"] == "Bearer token"
        async with open_services(settings_for(state.dir, [upstream_for(two, "mine")])) as services:
            assert [status.models for status in services.upstreams.status()] == [["b"]]


async def test_another_daemon_of_the_same_database_takes_it_over(site: Site) -> None:
    async with (
        FakeOllama(models=("new:1b",)) as other,
        open_services(site.gateway.services.settings) as second,
    ):
        await site.made("upstreams", name="gpu2", url=other.url, slots=3, api_key="token")
        await second.reconfiguration.look()
        await second.upstreams.refresh(["gpu2"])
        assert [(status.name, status.slots) for status in second.upstreams.status()] == [("fake", 1), ("gpu2", 3)]
        assert second.upstreams.resolve("new:1b", lambda _: True).pool == "gpu2"
        assert other.reads[-1].headers["authorization"] == "Bearer token"
        assert (await site.admin.delete(f"{UPSTREAMS}/gpu2")).status_code == 204
        await second.reconfiguration.look()
        assert [status.name for status in second.upstreams.status()] == ["fake"]


async def test_an_unreadable_token_is_left_out_and_the_upstream_stays(site: Site) -> None:
    async with FakeOllama(models=("new:1b",)) as other:
        await site.made("upstreams", name="gpu2", url=other.url, api_key="token")
        async with site.gateway.services.database.begin() as tx:
            await upstreams.update(tx, "gpu2", api_key_sealed="v1:nonsense")
        await site.gateway.services.upstreams_changed()
        row = (await site.admin.get(f"{UPSTREAMS}/gpu2")).json()
        assert row["api_key_set"] is False
        assert (await site.admin.patch(f"{UPSTREAMS}/gpu2", json={"api_key": "new"})).json()["api_key_set"] is True


async def test_a_row_that_cannot_be_used_harms_nobody_and_can_be_deleted(site: Site) -> None:
    await site.made("upstreams", name="gpu2", url="http://127.0.0.1:1")
    async with site.gateway.services.database.begin() as tx:
        await upstreams.update(tx, "gpu2", url="http://a..b")
    await site.gateway.services.upstreams_changed()
    assert [row["name"] for row in (await site.admin.get(UPSTREAMS)).json()["data"]] == ["fake"]
    problem(await site.admin.get(f"{UPSTREAMS}/gpu2"), 404, "not_found")
    assert (await site.admin.delete(f"{UPSTREAMS}/gpu2")).status_code == 204
    problem(await site.admin.delete(f"{UPSTREAMS}/gpu2"), 404, "not_found")


async def test_a_url_that_no_client_can_use_takes_only_its_own_upstream_out(site: Site) -> None:
    made = await site.made("upstreams", name="odd", url="http://xn--a")
    assert (made["state"], "does not resolve" in made["reason"]) == ("offline", True)
    assert site.gateway.services.supervisor.failed == {}
    assert (await site.gateway.post("/api/chat", {**CHAT, "stream": False})).status_code == 200


async def test_upstreams_are_listed_in_pages(site: Site) -> None:
    for name in ("b", "a"):
        await site.made("upstreams", name=name, url="http://127.0.0.1:1")
    first = (await site.admin.get(UPSTREAMS, params={"limit": 2})).json()
    second = (await site.admin.get(UPSTREAMS, params={"limit": 2, "after": first["next"]})).json()
    assert [row["name"] for row in first["data"] + second["data"]] == ["fake", "a", "b"]
    assert second["next"] is None
    assert (await site.admin.delete(f"{UPSTREAMS}/a")).status_code == 204
    gone = await site.admin.get(UPSTREAMS, params={"after": first["next"]})
    assert problem(gone, 400, "invalid_request")["param"] == "after"


async def test_pools_tell_what_they_serve_and_what_only_some_upstreams_have(site: Site) -> None:
    async with FakeOllama(models=("a", "b")) as one, FakeOllama(models=("b", "c")) as two:
        for name, fake in (("x", one), ("y", two)):
            await site.made("upstreams", name=name, url=fake.url, pool="main", slots=2)
        pools = {row["pool"]: row for row in (await site.admin.get("/admin/v1/pools")).json()["data"]}
        assert list(pools) == ["fake", "main"]
        main = (await site.admin.get("/admin/v1/pools/main")).json()
        assert main == pools["main"]
        assert (main["models"], main["partial_models"]) == (["b"], {"a": ["x"], "c": ["y"]})
        assert (main["upstreams"], main["usable_upstreams"], main["slots"]) == (["x", "y"], ["x", "y"], 4)
        assert main["state"] == "open"
        for name in ("x", "y"):
            assert (await site.admin.delete(f"{UPSTREAMS}/{name}")).status_code == 204
        assert [row["pool"] for row in (await site.admin.get("/admin/v1/pools")).json()["data"]] == ["fake"]
        problem(await site.admin.get("/admin/v1/pools/main"), 404, "not_found")
