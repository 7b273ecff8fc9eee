"""Every change and every login is in the activity log, what fails is not, and no secret ever is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import select

from llmgate.config import DEFAULT_UPSTREAM
from llmgate.daemon.admin import create_admin
from llmgate.daemon.bootstrap import create_demo_access, create_first_admin
from llmgate.daemon.gate import create_gate
from llmgate.daemon.services import open_services
from llmgate.daemon.store.activity import activity
from llmgate.errors import BrokerUnavailable, StoreUnavailable
from tests.admin import attempts_own  # noqa: F401 - adds its attempts to the others
from tests.admin.attempts import ATTEMPTS, NOT_HERE, Attempt, Stage
from tests.admin.harness import PASSWORD, Site, problem
from tests.fakes import FakeOllama
from tests.gateway.harness import settings_for

ACTIVITY = "/admin/v1/activity"


async def rows_of(site: Site) -> list[Any]:
    async with site.gateway.services.database.read() as tx:
        return list(await tx.execute(select(activity).order_by(activity.c.seq)))


async def added(site: Site, before: int) -> list[str]:
    return [row.action for row in await rows_of(site) if row.seq > before]


async def test_every_route_that_changes_something_is_tried_here(site: Site) -> None:
    changing = {
        (method.upper(), prefix + path)
        for create, prefix in ((create_admin, "/admin/v1"), (create_gate, "/gate"))
        for path, methods in create(site.gateway.services).openapi()["paths"].items()
        for method in methods
        if method != "get"
    }
    assert changing == set(ATTEMPTS) | NOT_HERE


async def test_what_succeeds_is_noted_what_fails_is_not_and_no_secret_is_ever_written(site: Site) -> None:
    async with FakeOllama(models=("new:1b",)) as other:
        stage = Stage(site, other)
        for (method, path), prepare in ATTEMPTS.items():
            async with prepare(stage) as attempt:
                await _try(site, f"{method} {path}", attempt)
    rows = await rows_of(site)
    assert len(rows) > 70
    everything = json.dumps([[str(value) for value in row] for row in rows], ensure_ascii=False)
    assert len(stage.secrets) > 30
    assert [secret for secret in [*stage.secrets, "$argon2"] if secret in everything] == []
    assert all(row.actor_id and row.target_id for row in rows)
    assert (await site.admin.post(f"{ACTIVITY}/verify")).json()["ok"] is True


async def _try(site: Site, what: str, attempt: Attempt) -> None:
    before = (await rows_of(site))[-1].seq
    failed = await attempt.bad()
    assert 400 <= failed.status_code < 500, (what, failed.status_code, failed.text)
    assert await added(site, before) == [], f"{what} has failed, and is in the log"
    answer = await attempt.good()
    assert answer.status_code < 300, (what, answer.status_code, answer.text)
    assert await added(site, before) == list(attempt.notes), what


async def test_an_entry_tells_who_did_what_from_where_in_which_request(site: Site) -> None:
    answer = await site.admin.patch("/admin/v1/users/ada", json={"level": 4})
    (entry,) = (await site.admin.get(ACTIVITY, params={"limit": 1})).json()["data"]
    root = (await site.admin.get("/gate/auth/me")).json()
    assert (entry["actor_kind"], entry["actor_id"], entry["actor_name"]) == ("session", root["id"], "root")
    assert (entry["address"], entry["request_id"]) == ("127.0.0.1", answer.headers["x-request-id"])
    assert (entry["action"], entry["target_id"], entry["target_name"]) == ("user.update", answer.json()["id"], "ada")
    assert entry["detail"] == {"level": [None, 4]}


async def test_a_login_is_in_the_log_with_where_it_came_from(site: Site) -> None:
    await site.nobody.post("/gate/auth/login", json={"name": "ada", "password": PASSWORD}, headers={"user-agent": "me"})
    (entry,) = (await site.admin.get(ACTIVITY, params={"limit": 1})).json()["data"]
    assert (entry["action"], entry["actor_name"], entry["detail"]) == ("session.login", "ada", {"client": "me"})


async def test_a_stolen_refresh_token_is_in_the_log_and_ends_the_session(site: Site) -> None:
    tokens = (await site.login("ada")).json()
    current = tokens["refresh_token"]
    for _ in range(2):
        answer = await site.nobody.post("/gate/auth/refresh", json={"refresh_token": current})
        current = answer.json()["refresh_token"]
    headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await site.nobody.get("/gate/auth/me", headers=headers)).status_code == 200
    before = (await rows_of(site))[-1].seq
    for _ in range(2):
        stolen = await site.nobody.post("/gate/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        problem(stolen, 401, "unauthenticated")
    assert await added(site, before) == ["session.reuse"]
    problem(await site.nobody.get("/gate/auth/me", headers=headers), 401, "unauthenticated")


async def test_without_a_database_nothing_happens_that_cannot_be_noted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.gateway.services.changes, "begin", _unavailable)
    answer = await site.admin.post("/admin/v1/queue/pools/fake/pause")
    problem(answer, 503, "store_unavailable")
    assert site.gateway.services.queue.stats()[0].state == "open"


def _unavailable(actor: object) -> Any:
    raise StoreUnavailable


async def test_what_the_broker_refuses_is_not_noted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(pool: str) -> None:
        raise BrokerUnavailable

    monkeypatch.setattr(type(site.gateway.services.queue), "pause", staticmethod(refused))
    before = (await rows_of(site))[-1].seq
    problem(await site.admin.post("/admin/v1/queue/pools/fake/pause"), 503, "broker_unavailable")
    assert await added(site, before) == []


async def test_the_log_is_filtered_and_paged(site: Site) -> None:
    for number in range(5):
        await site.made("keys", name=f"k-{number}")
    await site.admin.patch("/admin/v1/keys/k-1", json={"level": 4})

    async def actions(**query: str) -> list[str]:
        answer = await site.admin.get(ACTIVITY, params=query)
        assert answer.status_code == 200, answer.text
        return [entry["action"] for entry in answer.json()["data"]]

    everything = await actions()
    assert everything[:6] == ["key.update", *["key.create"] * 5]
    assert await actions(action="key.create") == ["key.create"] * 5
    assert await actions(action="key.") == ["key.update", *["key.create"] * 5]
    assert await actions(action="key") == []
    assert await actions(target="k-1") == ["key.update", "key.create"]
    key = (await site.admin.get("/admin/v1/keys/k-1")).json()
    assert await actions(target=key["id"], actor="root") == ["key.update", "key.create"]
    assert await actions(target=key["id"], actor="ada") == []
    assert await actions(actor="ada") == ["session.login"]
    entries = (await site.admin.get(ACTIVITY)).json()["data"]
    assert await actions(since=entries[1]["at"]) == everything[:2]
    assert await actions(until=entries[1]["at"]) == everything[2:]
    first = (await site.admin.get(ACTIVITY, params={"limit": 3, "actor": "root"})).json()
    rest = (await site.admin.get(ACTIVITY, params={"limit": 3, "actor": "root", "after": first["next"]})).json()
    assert [row["seq"] for row in first["data"] + rest["data"]] == [row["seq"] for row in entries[:6]]
    assert (await site.admin.get(f"{ACTIVITY}/{entries[0]['seq']}")).json() == entries[0]


@pytest.mark.parametrize("query", ["after=bm9wZQ", "since=yesterday", "since=2026-05-01T00:00:00", "limit=0", "who=x"])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_filter_that_makes_no_sense_is_refused(shared: Site, query: str) -> None:
    problem(await shared.admin.get(f"{ACTIVITY}?{query}"), 400, "invalid_request")


@pytest.mark.asyncio(loop_scope="module")
async def test_an_entry_that_is_not_there_is_not_found(shared: Site) -> None:
    problem(await shared.admin.get(f"{ACTIVITY}/999999"), 404, "not_found")
    for odd in ("0", "-1", "x", str(2**63)):
        problem(await shared.admin.get(f"{ACTIVITY}/{odd}"), 400, "invalid_request")


async def test_a_verification_tells_what_is_wrong_and_a_head_to_keep(site: Site) -> None:
    found = (await site.admin.post(f"{ACTIVITY}/verify", json={})).json()
    assert (found["ok"], found["fault"], found["first_seq"]) == (True, None, 1)
    assert found["head"]["seq"] == found["entries"]
    again = await site.admin.post(f"{ACTIVITY}/verify", json={"expected": found["head"]})
    assert again.json()["ok"] is True
    async with site.gateway.services.database.begin() as tx:
        await tx.execute(activity.delete().where(activity.c.seq == found["head"]["seq"]))
    cut = (await site.admin.post(f"{ACTIVITY}/verify")).json()
    assert (cut["ok"], cut["fault"]["kind"]) == (False, "end_missing"), "the daemon remembers what it has written"
    async with site.gateway.services.database.begin() as tx:
        await tx.execute(activity.update().where(activity.c.seq == 1).values(detail="not json"))
    changed = (await site.admin.post(f"{ACTIVITY}/verify")).json()
    assert (changed["ok"], changed["fault"]["kind"], changed["fault"]["seq"]) == (False, "altered", 1)
    assert (await site.admin.get(f"{ACTIVITY}/1")).json()["detail"] == {"unreadable": "not json"}


async def test_the_first_administrator_is_in_the_log_whichever_way_it_was_made(tmp_path: Path) -> None:
    for way in ("setup", "init", "demo"):
        async with open_services(settings_for(tmp_path / way, [DEFAULT_UPSTREAM])) as services:
            if way == "setup":
                token = await services.first_admin.prepare()
                await services.first_admin.redeem(str(token), "root", PASSWORD, address="192.0.2.1")
                expected = [("token", "user.setup", "root")]
            elif way == "init":
                await create_first_admin(services.changes, services.hasher, "root", PASSWORD)
                expected = [("local", "user.setup", "root")]
            else:
                access = await create_demo_access(services.changes, services.hasher, services.secret)
                expected = [("local", "user.setup", "admin"), ("local", "key.create", "demo")]
                expected.append(("local", "token.create", "demo"))
            async with services.database.read() as tx:
                rows = list(await tx.execute(select(activity).order_by(activity.c.seq)))
            assert [(row.actor_kind, row.action, row.target_name) for row in rows] == expected
            everything = str(rows)
            assert PASSWORD not in everything
            if way == "demo":
                secrets = (access.admin_password, access.api_key, access.registration_token)
                assert [secret for secret in secrets if secret in everything] == []
            assert (await services.chain.verify()).ok


async def test_the_daemons_own_log_witnesses_each_entry(site: Site) -> None:
    """With the hash outside of the database nobody cuts the end of the log off unseen."""
    with structlog.testing.capture_logs() as lines:
        await site.made("keys", name="robot")
    (entry,) = (await site.admin.get(ACTIVITY, params={"limit": 1})).json()["data"]
    (line,) = [line for line in lines if line["event"] == "activity"]
    assert (line["seq"], line["hash"], line["action"]) == (entry["seq"], entry["hash"], "key.create")
