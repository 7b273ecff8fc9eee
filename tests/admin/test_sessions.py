"""Who is logged in, and the end of that, for administrators and for oneself."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx

from tests.admin.harness import Site, problem
from tests.fakes import Script
from tests.gateway.harness import CHAT

SESSIONS = "/admin/v1/sessions"
OWN = "/gate/auth/sessions"


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"authorization": f"Bearer {tokens['access_token']}"}


async def listed(client: httpx.AsyncClient, path: str = SESSIONS, **query: str) -> list[dict[str, Any]]:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


async def test_sessions_are_listed_with_where_they_come_from_and_which_is_ones_own(site: Site) -> None:
    await site.nobody.post(
        "/gate/auth/login", json={"name": "ada", "password": "correct horse battery"}, headers={"user-agent": "Firefox"}
    )
    rows = await listed(site.admin)
    assert [(row["user"], row["current"], row["live"]) for row in rows] == [
        ("ada", False, True),
        ("ada", False, True),
        ("root", True, True),
    ]
    assert (rows[0]["client"], rows[0]["address"], rows[0]["revoked_at"]) == ("Firefox", "127.0.0.1", None)
    assert [row["user"] for row in await listed(site.admin, user="ROOT")] == ["root"]
    assert (await site.admin.get(f"{SESSIONS}/{rows[0]['id']}")).json() == rows[0]
    first = (await site.admin.get(SESSIONS, params={"limit": 2})).json()
    assert first["data"] == rows[:2]
    assert (await site.admin.get(SESSIONS, params={"limit": 2, "after": first["next"]})).json()["data"] == rows[2:]
    problem(await site.admin.get(SESSIONS, params={"user": "nobody-here"}), 404, "not_found")
    assert not any("refresh" in name or "hash" in name for name in rows[0])


async def test_a_revoked_session_is_out_at_once_and_listed_as_ended(site: Site) -> None:
    (row,) = await listed(site.admin, user="ada")
    ended = (await site.admin.post(f"{SESSIONS}/{row['id']}/revoke")).json()
    assert (ended["live"], ended["revoked_at"] is None) == (False, False)
    problem(await site.user.get("/gate/auth/me"), 401, "unauthenticated")
    assert await listed(site.admin, live="true", user="ada") == []
    assert await listed(site.admin, live="false") == [ended]
    problem(await site.admin.post(f"{SESSIONS}/{row['id']}/revoke"), 409, "conflict")
    problem(await site.admin.post(f"{SESSIONS}/none/revoke"), 404, "not_found")


async def test_the_end_of_a_session_cuts_its_streams_within_a_second(site: Site) -> None:
    site.ollama.script(Script(token_gates={1: "never"}))
    (row,) = await listed(site.admin, user="ada")
    headers = dict(site.user.headers)
    async with site.user.stream("POST", "/api/chat", json={**CHAT, "stream": True}, headers=headers) as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        began = time.monotonic()
        await site.admin.post(f"{SESSIONS}/{row['id']}/revoke")
        async with asyncio.timeout(2):
            rest = [line async for line in lines]
        assert time.monotonic() - began < 1
        assert "error" in rest[-1]


async def test_all_sessions_of_a_user_end_together_and_its_keys_go_on(site: Site) -> None:
    key = (await site.made("keys", name="adas", user="ada"))["key"]
    others = [(await site.login("ada")).json() for _ in range(2)]
    answer = await site.admin.post(f"{SESSIONS}/revoke", json={"user": "ada"})
    assert answer.json() == {"revoked": 3}
    for tokens in others:
        problem(await site.nobody.get("/gate/auth/me", headers=bearer(tokens)), 401, "unauthenticated")
    assert (await site.nobody.get("/gate/auth/me", headers={"x-api-key": key})).status_code == 200
    assert (await site.admin.post(f"{SESSIONS}/revoke", json={"user": "ada"})).json() == {"revoked": 0}


async def test_one_sees_and_ends_ones_own_sessions_only(site: Site) -> None:
    phone = (await site.login("ada")).json()
    rows = await listed(site.user, OWN)
    assert [(row["user"], row["current"]) for row in rows] == [("ada", False), ("ada", True)]
    (foreign,) = await listed(site.admin, user="root")
    problem(await site.user.post(f"{OWN}/{foreign['id']}/revoke"), 404, "not_found")
    assert (await site.user.post(f"{OWN}/{rows[0]['id']}/revoke")).json()["live"] is False
    problem(await site.nobody.get("/gate/auth/me", headers=bearer(phone)), 401, "unauthenticated")
    assert [row["current"] for row in await listed(site.user, OWN)] == [True]
    problem(await site.user.post(f"{OWN}/{rows[0]['id']}/revoke"), 409, "conflict")
    assert (await site.user.post(f"{OWN}/{rows[1]['id']}/revoke")).status_code == 200
    problem(await site.user.get("/gate/auth/me"), 401, "unauthenticated")


async def test_a_key_has_no_sessions(site: Site) -> None:
    key = {"x-api-key": (await site.made("keys", name="adas", user="ada"))["key"]}
    (row,) = await listed(site.admin, user="ada")
    problem(await site.nobody.get(OWN, headers=key), 403, "forbidden")
    problem(await site.nobody.post(f"{OWN}/{row['id']}/revoke", headers=key), 403, "forbidden")


async def test_who_was_disabled_while_the_password_was_checked_does_not_get_in(site: Site) -> None:
    """Hashing takes a while, and much can happen in it."""
    services = site.gateway.services
    hashing, go_on = asyncio.Event(), asyncio.Event()
    verify = services.hasher.verify

    async def slowly(password: str, hashed: str | None) -> bool:
        hashing.set()
        await go_on.wait()
        return await verify(password, hashed)

    services.hasher.verify = slowly  # type: ignore[method-assign]  # a slow machine
    for change in ({"disabled": True}, {"disabled": False}):
        hashing.clear()
        go_on.clear()
        login = asyncio.create_task(site.login("ada"))
        await hashing.wait()
        await site.admin.patch("/admin/v1/users/ada", json=change)
        if change["disabled"] is False:
            await site.admin.put("/admin/v1/users/ada/password", json={"password": "another good one"})
        go_on.set()
        problem(await login, 401, "unauthenticated")
    assert await listed(site.admin, user="ada", live="true") == []
