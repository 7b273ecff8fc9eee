"""What would lock its own author out is refused, unless it is forced; and the whitelist explains itself."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from llmgate.config import AuthSettings, ServerSettings
from llmgate.daemon.store import tokens
from llmgate.daemon.store.types import utc_now
from tests.admin.harness import PASSWORD, Site, problem, run_site

USERS, WHITELIST = "/admin/v1/users", "/admin/v1/whitelist"
FORCED = {"force": "true"}


@pytest.mark.parametrize("change", [{"disabled": True}, {"role": "user"}, None])
async def test_nobody_takes_their_own_rights_away_by_accident(site: Site, change: dict[str, object] | None) -> None:
    await site.made("users", name="second", password=PASSWORD, role="admin")
    path = f"{USERS}/root"

    async def attempt(**query: str) -> httpx.Response:
        if change is None:
            return await site.admin.delete(path, params=query)
        return await site.admin.patch(path, json=change, params=query)

    document = problem(await attempt(), 409, "would_lock_out")
    assert "This is you" in document["detail"]
    assert "force" in document["hint"]
    assert (await site.admin.get(path)).json()["disabled"] is False
    assert (await attempt(**FORCED)).status_code in (200, 204)


async def test_force_does_not_remove_the_last_administrator(site: Site) -> None:
    problem(await site.admin.delete(f"{USERS}/root", params=FORCED), 409, "conflict")


async def test_an_administrators_key_cannot_disable_its_owner_by_accident_either(site: Site) -> None:
    await site.made("users", name="second", password=PASSWORD, role="admin")
    key = {"x-api-key": (await site.made("keys", name="robot", user="root", role="admin"))["key"]}
    answer = await site.nobody.patch(f"{USERS}/root", json={"disabled": True}, headers=key)
    problem(answer, 409, "would_lock_out")
    other = await site.nobody.patch(f"{USERS}/second", json={"disabled": True}, headers=key)
    assert other.status_code == 200


async def test_other_changes_of_oneself_are_free(site: Site) -> None:
    assert (await site.admin.patch(f"{USERS}/root", json={"level": 2, "role": "admin"})).status_code == 200


async def test_ones_own_address_keeps_its_access(site: Site) -> None:
    own = await site.made("whitelist", cidr="127.0.0.0/8", level=2)
    path = f"{WHITELIST}/{own['id']}"
    document = problem(await site.admin.delete(path), 409, "would_lock_out")
    assert "127.0.0.1" in document["detail"]
    document = problem(await site.admin.patch(path, json={"level": 3}), 409, "would_lock_out")
    assert "from level 2 to 3" in document["detail"]
    narrower = {"cidr": "127.0.0.1/32", "level": 5}
    problem(await site.admin.post(WHITELIST, json=narrower), 409, "would_lock_out")
    assert (await site.admin.get(WHITELIST)).json()["data"] == [own], "nothing has changed"
    for better in ({"level": 1}, {"level": 2}, {"label": "mine"}, {"level": None}):
        changed = await site.admin.patch(path, json=better)
        expected = 409 if better == {"level": 2} else 200  # 1 → 2 is worse
        assert changed.status_code == expected, better
    assert (await site.admin.post(WHITELIST, json=narrower, params=FORCED)).status_code == 201
    assert (await site.admin.delete(path)).status_code == 204, "the narrower one decides now"


async def test_what_concerns_others_is_free_and_so_is_what_another_entry_makes_up_for(site: Site) -> None:
    first = await site.made("whitelist", cidr="127.0.0.0/8", level=3)
    second = await site.made("whitelist", cidr="127.0.0.0/16", level=3)
    other = await site.made("whitelist", cidr="10.0.0.0/8")
    assert (await site.admin.delete(f"{WHITELIST}/{other['id']}")).status_code == 204
    assert (await site.admin.delete(f"{WHITELIST}/{second['id']}")).status_code == 204
    problem(await site.admin.delete(f"{WHITELIST}/{first['id']}"), 409, "would_lock_out")
    assert (await site.admin.delete(f"{WHITELIST}/{first['id']}", params=FORCED)).status_code == 204


async def test_without_the_whitelist_nobody_can_be_locked_out_by_it(tmp_path: Path) -> None:
    async with run_site(tmp_path / "state", auth=AuthSettings(whitelist=False)) as site:
        own = await site.made("whitelist", cidr="127.0.0.0/8")
        found = (await site.admin.get(f"{WHITELIST}/test")).json()
        assert (found["entry"], found["enabled"]) == (None, False)
        assert (await site.admin.delete(f"{WHITELIST}/{own['id']}")).status_code == 204


async def test_an_address_is_tested_and_the_deciding_entry_named(site: Site) -> None:
    wide = await site.made("whitelist", cidr="10.0.0.0/8", label="office")
    narrow = await site.made("whitelist", cidr="10.1.2.0/24", level=4)

    async def test(address: str) -> tuple[object, object]:
        found = (await site.admin.get(f"{WHITELIST}/test", params={"address": address})).json()
        return found["entry"], found["level"]

    assert await test("10.9.9.9") == (wide, 1)
    assert await test("10.1.2.3") == (narrow, 4)
    assert await test("::ffff:10.1.2.3") == (narrow, 4)
    assert await test("192.0.2.1") == (None, None)
    for odd in ("10.1.2.0/24", "nonsense", "", "1.2.3"):
        problem(await site.admin.get(f"{WHITELIST}/test", params={"address": odd}), 400, "invalid_request")
    own = (await site.admin.get(f"{WHITELIST}/test")).json()
    assert (own["address"], own["your_address"], own["peer"]) == ("127.0.0.1", "127.0.0.1", "127.0.0.1")
    assert "There is no X-Forwarded-For" in own["explanation"]


async def test_an_invented_x_forwarded_for_is_told_to_be_one(site: Site) -> None:
    answer = await site.admin.get(f"{WHITELIST}/test", headers={"x-forwarded-for": "10.1.2.3"})
    found = answer.json()
    assert (found["your_address"], found["forwarded_for"]) == ("127.0.0.1", ["10.1.2.3"])
    assert "not believed" in found["explanation"]


async def test_behind_a_trusted_proxy_guessing_is_slowed_down_per_client_and_not_per_proxy(tmp_path: Path) -> None:
    server = ServerSettings(port=0, drain_seconds=5, trusted_proxies=["127.0.0.1/32"])
    async with run_site(tmp_path / "state", server=server) as site:
        body = {"name": "ada", "password": "wrong password"}

        async def login(address: str, **changes: str) -> int:
            headers = {"x-forwarded-for": f"192.0.2.99, {address}"}
            answer = await site.nobody.post("/gate/auth/login", json={**body, **changes}, headers=headers)
            return answer.status_code

        assert [await login("203.0.113.5") for _ in range(6)] == [401] * 5 + [429]
        assert await login("203.0.113.5", password=PASSWORD) == 429
        assert await login("203.0.113.6", password=PASSWORD) == 200
        explained = await site.admin.get(f"{WHITELIST}/test", headers={"x-forwarded-for": "203.0.113.5"})
        assert explained.json()["your_address"] == "203.0.113.5"
        (entry,) = (await site.admin.get("/admin/v1/activity", params={"limit": 1})).json()["data"]
        assert entry["address"] == "203.0.113.6"


async def test_the_whitelist_is_searched_in_network_and_label(site: Site) -> None:
    await site.made("whitelist", cidr="10.0.0.0/8", label="Office_1")
    await site.made("whitelist", cidr="192.0.2.0/24", label="100% lab")

    async def found(search: str) -> list[str]:
        rows = (await site.admin.get(WHITELIST, params={"search": search})).json()["data"]
        return [row["cidr"] for row in rows]

    assert await found("office") == ["10.0.0.0/8"]
    assert await found("192.0") == ["192.0.2.0/24"]
    assert await found("%") == ["192.0.2.0/24"]
    assert await found("_") == ["10.0.0.0/8"]
    assert await found("nowhere") == []


async def test_tokens_are_filtered_by_what_became_of_them_and_by_who_made_them(site: Site) -> None:
    usable, used, revoked, expired = [
        await site.made("tokens", label=label, expires_at="2099-01-01T00:00:00Z")
        for label in ("usable", "used", "revoked", "expired")
    ]
    body = {"token": used["token"], "name": "eve", "password": PASSWORD}
    assert (await site.nobody.post("/gate/auth/register", json=body)).status_code == 201
    await site.admin.post(f"/admin/v1/tokens/{revoked['id']}/revoke")
    async with site.gateway.services.database.begin() as tx:
        past = tokens.tokens.update().where(tokens.tokens.c.id == expired["id"])
        await tx.execute(past.values(expires_at=utc_now() - timedelta(hours=1)))
    for state in ("usable", "used", "revoked", "expired"):
        rows = (await site.admin.get("/admin/v1/tokens", params={"state": state})).json()["data"]
        assert [row["label"] for row in rows] == [state]
    everyone = (await site.admin.get("/admin/v1/tokens", params={"created_by": "root"})).json()["data"]
    assert len(everyone) == 4
    assert (await site.admin.get("/admin/v1/tokens", params={"created_by": "ada"})).json()["data"] == []
    problem(await site.admin.get("/admin/v1/tokens", params={"state": "spent"}), 400, "invalid_request")
    assert usable["uses"] == 0
