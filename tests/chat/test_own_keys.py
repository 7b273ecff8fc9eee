"""API keys that users make for themselves: no more than they are, no more than they may have, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmgate.config import AuthSettings, ServerSettings
from llmgate.daemon.gate import keys as own_keys
from tests.admin.harness import PASSWORD, Site, problem, run_site
from tests.gateway.harness import CHAT

KEYS = "/gate/keys"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with run_site(tmp_path / "state") as running:
        yield running


async def made(client: httpx.AsyncClient, name: str = "laptop", **more: Any) -> dict[str, Any]:
    answer = await client.post(KEYS, json={"name": name, **more})
    assert answer.status_code == 201, answer.text
    key: dict[str, Any] = answer.json()
    return key


async def listed(client: httpx.AsyncClient, **query: str) -> list[dict[str, Any]]:
    answer = await client.get(KEYS, params=query)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


async def test_a_user_makes_a_key_uses_it_and_revokes_it(site: Site) -> None:
    key = await made(site.user)
    assert key["name"].startswith("laptop-")
    assert (key["user"], key["role"], key["level"], key["state"]) == ("ada", "user", 3, "active")
    headers = {"x-api-key": key.pop("key")}
    answer = await site.nobody.post("/api/chat", json={**CHAT, "stream": False}, headers=headers)
    assert answer.status_code == 200, answer.text
    (row,) = await listed(site.user)
    assert row == {**key, "last_used_at": row["last_used_at"]}
    assert (row["id"], row["last4"]) == (key["id"], headers["x-api-key"][-4:])
    revoked = await site.user.post(f"{KEYS}/{key['id']}/revoke")
    assert revoked.json()["state"] == "revoked"
    problem(await site.nobody.get("/gate/auth/me", headers=headers), 401, "unauthenticated")
    problem(await site.user.post(f"{KEYS}/{key['id']}/revoke"), 409, "conflict")
    assert await listed(site.user, state="active") == []
    assert [row["id"] for row in await listed(site.user, state="revoked")] == [key["id"]]


async def test_it_is_in_the_activity_log_as_the_users_doing(site: Site) -> None:
    key = await made(site.user, models=["llama3.2"], expires_at="2099-01-01T00:00:00Z")
    await site.user.post(f"{KEYS}/{key['id']}/revoke")
    entries = (await site.admin.get("/admin/v1/activity", params={"target": key["id"]})).json()["data"]
    assert [(entry["action"], entry["actor_name"], entry["actor_kind"]) for entry in entries] == [
        ("key.revoke", "ada", "session"),
        ("key.create", "ada", "session"),
    ]
    assert entries[1]["detail"] == {
        "user": "ada",
        "role": "user",
        "level": 3,
        "models": ["llama3.2"],
        "weight": 1.0,
        "expires_at": "2099-01-01T00:00:00+00:00",
    }
    assert key["key"] not in str(entries)


async def test_a_key_is_never_served_before_its_user(site: Site) -> None:
    """Not even where keys usually are: an API key has level 2 by itself, a session 3."""
    document = problem(await site.user.post(KEYS, json={"name": "fast", "level": 2}), 400, "invalid_request")
    assert document["param"] == "level"
    assert (await made(site.user, "slow", level=5))["level"] == 5
    await site.admin.patch("/admin/v1/users/ada", json={"level": 4})
    assert (await made(site.user, "usual"))["level"] == 4
    problem(await site.user.post(KEYS, json={"name": "fast", "level": 3}), 400, "invalid_request")
    await site.admin.patch("/admin/v1/users/ada", json={"level": 1})
    assert (await made(site.user, "by-default"))["level"] == 2, "as other API keys, unless more is asked for"
    assert (await made(site.user, "fast", level=1))["level"] == 1


async def test_a_key_is_a_users_even_when_an_administrator_makes_it(site: Site) -> None:
    key = await made(site.admin, "roots")
    problem(await site.nobody.get("/admin/v1/users", headers={"x-api-key": key["key"]}), 403, "forbidden")
    for more in ({"role": "admin"}, {"user": "ada"}, {"weight": 9.0}, {"routes": ["chat"]}, {"id": "0"}):
        problem(await site.admin.post(KEYS, json={"name": "more", **more}), 400, "invalid_request")


async def test_only_so_many_keys_live_at_once(tmp_path: Path) -> None:
    async with run_site(tmp_path / "state", auth=AuthSettings(keys_per_user=2)) as site:
        await site.made("keys", name="given", user="ada")
        first = await made(site.user, "first")
        document = problem(await site.user.post(KEYS, json={"name": "second"}), 409, "conflict")
        assert "2 API keys" in document["detail"]
        await site.admin.patch("/admin/v1/keys/given", json={"disabled": True})
        problem(await site.user.post(KEYS, json={"name": "second"}), 409, "conflict")
        assert (await site.user.post(f"{KEYS}/{first['id']}/revoke")).status_code == 200
        answers = await asyncio.gather(*(site.user.post(KEYS, json={"name": f"one-{n}"}) for n in range(4)))
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
        await site.admin.put("/admin/v1/settings/auth.keys_per_user", json={"value": 0})
        problem(await site.user.post(KEYS, json={"name": "third"}), 403, "forbidden")
        (given, *_) = await listed(site.user)
        assert (await site.user.post(f"{KEYS}/{given['id']}/revoke")).status_code == 200, "what one has one can end"


async def test_of_keys_that_have_ended_so_many_are_kept_and_then_none_is_made(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_keys, "MOST_ENDED", 3)
    ended = []
    for number in range(3):
        ended.append(await made(site.user, f"one-{number}"))
        assert (await site.user.post(f"{KEYS}/{ended[-1]['id']}/revoke")).status_code == 200
    document = problem(await site.user.post(KEYS, json={"name": "more"}), 409, "conflict")
    assert "revoked" in document["detail"]
    assert "30 days" in document["hint"]
    await made(site.admin)  # that is for each user alone
    assert (await site.admin.delete(f"/admin/v1/keys/{ended[0]['id']}")).status_code == 204
    await made(site.user, "more")


async def test_the_names_of_others_cannot_be_found_out(site: Site) -> None:
    await site.made("keys", name="laptop")
    await site.made("users", name="eve", password=PASSWORD)
    as_eve = {"authorization": f"Bearer {(await site.login('eve')).json()['access_token']}"}
    adas = await made(site.user)
    eves = await site.nobody.post(KEYS, json={"name": "laptop"}, headers=as_eve)
    assert eves.status_code == 201
    assert eves.json()["name"] != adas["name"]
    problem(await site.user.post(KEYS, json={"name": "laptop"}), 409, "conflict")
    await site.user.post(f"{KEYS}/{adas['id']}/revoke")
    assert (await made(site.user))["name"] == adas["name"], "the name of one that is revoked is free"
    assert (await made(site.user, "x" * 33))["name"].startswith("x" * 33)
    for bad in ("", "Laptop", "my laptop", "x" * 34, "a\x00"):
        problem(await site.user.post(KEYS, json={"name": bad}), 400, "invalid_request")


async def test_the_keys_of_others_do_not_exist(site: Site) -> None:
    adas, roots = await made(site.user), await made(site.admin)
    assert [row["id"] for row in await listed(site.user)] == [adas["id"]]
    for foreign in (roots["id"], roots["name"], "0000000000"):
        problem(await site.user.post(f"{KEYS}/{foreign}/revoke"), 404, "not_found")
    assert [row["state"] for row in await listed(site.admin)] == ["active"]


async def test_a_key_makes_no_keys(site: Site) -> None:
    key = await made(site.user)
    headers = {"x-api-key": key["key"]}
    problem(await site.nobody.post(KEYS, json={"name": "more"}, headers=headers), 403, "forbidden")
    problem(await site.nobody.get(KEYS, headers=headers), 403, "forbidden")
    problem(await site.nobody.post(f"{KEYS}/{key['id']}/revoke", headers=headers), 403, "forbidden")


async def test_a_key_is_made_once_for_its_idempotency_key(site: Site) -> None:
    headers = {"idempotency-key": "once"}
    first = await site.user.post(KEYS, json={"name": "laptop"}, headers=headers)
    again = await site.user.post(KEYS, json={"name": "laptop"}, headers=headers)
    document = problem(again, 409, "already_created")
    assert document["id"] == first.json()["id"]
    assert first.json()["key"] not in again.text
    assert len(await listed(site.user)) == 1


async def test_an_end_in_the_past_is_refused_and_an_expired_key_makes_room(tmp_path: Path) -> None:
    async with run_site(tmp_path / "state", auth=AuthSettings(keys_per_user=1)) as site:
        past = {"name": "old", "expires_at": "2020-01-01T00:00:00Z"}
        problem(await site.user.post(KEYS, json=past), 400, "invalid_request")
        await site.made("keys", name="soon", user="ada", expires_at="2099-01-01T00:00:00Z")
        problem(await site.user.post(KEYS, json={"name": "new"}), 409, "conflict")
        await site.admin.patch("/admin/v1/keys/soon", json={"expires_at": "2020-01-01T00:00:00Z"})
        await made(site.user, "new")


async def test_a_foreign_page_makes_none_with_the_users_cookie(tmp_path: Path) -> None:
    server = ServerSettings(port=0, drain_seconds=5, public_url="https://llm.example")
    async with run_site(tmp_path / "state", server=server) as site:
        cookie = (await site.login("ada", cookie=True)).headers.get_list("set-cookie")[0].partition(";")[0]
        for foreign in ({}, {"origin": "https://evil.example"}, {"sec-fetch-site": "same-site"}):
            answer = await site.nobody.post(KEYS, json={"name": "x"}, headers={"cookie": cookie, **foreign})
            problem(answer, 403, "forbidden")
        own = {"cookie": cookie, "origin": "https://llm.example"}
        assert (await site.nobody.post(KEYS, json={"name": "x"}, headers=own)).status_code == 201
