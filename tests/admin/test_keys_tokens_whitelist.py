"""API keys, registration tokens and the whitelist over the admin API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.admin.harness import PASSWORD, Site, problem

KEYS, TOKENS, WHITELIST = "/admin/v1/keys", "/admin/v1/tokens", "/admin/v1/whitelist"


async def me(site: Site, key: str) -> int:
    return (await site.nobody.get("/gate/auth/me", headers={"x-api-key": key})).status_code


async def test_a_key_is_shown_once_and_works_with_its_level_and_models(site: Site) -> None:
    made = await site.made("keys", name="batch", level=5, models=["llama3.2"], weight=2)
    key = made.pop("key")
    assert key.startswith(f"llmg_{made['id']}_")
    assert made["last4"] == key[-4:]
    shown = (await site.admin.get(f"{KEYS}/batch")).json()
    assert shown == made
    assert key not in (await site.admin.get(KEYS)).text
    who = (await site.nobody.get("/gate/auth/me", headers={"x-api-key": key})).json()
    assert (who["kind"], who["name"], who["level"], who["models"]) == ("key", "batch", 5, ["llama3.2"])


async def test_keys_of_a_user_are_listed_by_the_users_name(site: Site) -> None:
    await site.made("keys", name="adas", user="ada")
    await site.made("keys", name="robot")
    listed = (await site.admin.get(KEYS, params={"user": "ada"})).json()["data"]
    assert [key["name"] for key in listed] == ["adas"]
    problem(await site.admin.get(KEYS, params={"user": "nobody"}), 404, "not_found")


async def test_a_key_of_a_user_cannot_be_more_than_the_user(site: Site) -> None:
    body = {"name": "sneaky", "user": "ada", "role": "admin"}
    document = problem(await site.admin.post(KEYS, json=body), 400, "invalid_request")
    assert document["param"] == "role"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "UPPER"},
        {"name": ""},
        {"name": "k", "weight": 0},
        {"name": "k", "level": 6},
        {"name": "k", "models": []},
        {"name": "k", "expires_at": "2020-01-01T00:00:00Z"},
        {"name": "k", "expires_at": "2999-01-01T00:00:00"},
        {"name": "k", "expires_at": "soon"},
        {"name": "k", "id": "mine"},
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_unusable_keys_are_refused(shared: Site, body: dict[str, object]) -> None:
    problem(await shared.admin.post(KEYS, json=body), 400, "invalid_request")


async def test_a_change_of_a_key_takes_effect_with_the_next_request(site: Site) -> None:
    key = (await site.made("keys", name="robot"))["key"]
    assert await me(site, key) == 200
    await site.admin.patch(f"{KEYS}/robot", json={"disabled": True})
    assert await me(site, key) == 401
    await site.admin.patch(f"{KEYS}/robot", json={"disabled": False, "level": 4})
    who = (await site.nobody.get("/gate/auth/me", headers={"x-api-key": key})).json()
    assert who["level"] == 4


async def test_a_revoked_key_is_refused_for_good_and_its_name_is_free(site: Site) -> None:
    made = await site.made("keys", name="robot")
    assert (await site.admin.post(f"{KEYS}/robot/revoke")).json()["revoked_at"] is not None
    assert await me(site, made["key"]) == 401
    problem(await site.admin.post(f"{KEYS}/{made['id']}/revoke"), 409, "conflict")
    await site.made("keys", name="robot")


async def test_a_deleted_key_is_gone(site: Site) -> None:
    made = await site.made("keys", name="robot")
    assert (await site.admin.delete(f"{KEYS}/{made['id']}")).status_code == 204
    assert await me(site, made["key"]) == 401
    problem(await site.admin.get(f"{KEYS}/{made['id']}"), 404, "not_found")


async def test_a_registration_token_makes_as_many_accounts_as_it_says(site: Site) -> None:
    made = await site.made("tokens", label="class of 26", max_uses=2, level=4)
    assert made["created_by"] == "root"
    for number, expected in ((1, 201), (2, 201), (3, 401)):
        body = {"token": made["token"], "name": f"pupil{number}", "password": PASSWORD}
        answer = await site.nobody.post("/gate/auth/register", json=body)
        assert answer.status_code == expected
    shown = (await site.admin.get(f"{TOKENS}/{made['id']}")).json()
    assert (shown["uses"], shown["max_uses"]) == (2, 2)
    assert made["token"] not in (await site.admin.get(TOKENS)).text
    assert (await site.admin.get("/admin/v1/users/pupil1")).json()["level"] == 4


async def test_a_revoked_or_deleted_token_makes_no_account(site: Site) -> None:
    for end in ("revoke", "delete"):
        made = await site.made("tokens")
        path = f"{TOKENS}/{made['id']}"
        ended = await (site.admin.post(f"{path}/revoke") if end == "revoke" else site.admin.delete(path))
        assert ended.is_success
        body = {"token": made["token"], "name": end, "password": PASSWORD}
        problem(await site.nobody.post("/gate/auth/register", json=body), 401, "unauthenticated")


async def test_a_whitelisted_network_needs_no_credential_from_the_next_request_on(site: Site) -> None:
    problem(await site.nobody.get("/gate/auth/me"), 401, "unauthenticated")
    entry = await site.made("whitelist", cidr="127.0.0.5/8", label="this machine", level=2)
    assert entry["cidr"] == "127.0.0.0/8"
    who = (await site.nobody.get("/gate/auth/me")).json()
    assert (who["kind"], who["id"], who["level"], who["role"]) == ("address", "127.0.0.1", 2, "user")
    problem(await site.nobody.get("/admin/v1/users"), 403, "forbidden")
    problem(await site.nobody.get("/gate/auth/me", headers={"x-api-key": "wrong"}), 401, "unauthenticated")
    await site.admin.patch(f"{WHITELIST}/{entry['id']}", json={"level": None})
    assert (await site.nobody.get("/gate/auth/me")).json()["level"] == 1
    assert (await site.admin.delete(f"{WHITELIST}/{entry['id']}?force=true")).status_code == 204
    problem(await site.nobody.get("/gate/auth/me"), 401, "unauthenticated")


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "::/0", "10.0.0.0/7", "nonsense", "1.2.3.4/33", "", "x" * 65])
@pytest.mark.asyncio(loop_scope="module")
async def test_networks_that_can_only_be_a_mistake_are_refused(shared: Site, cidr: str) -> None:
    problem(await shared.admin.post(WHITELIST, json={"cidr": cidr}), 400, "invalid_request")


async def test_a_network_is_listed_once(site: Site) -> None:
    end = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    entry = await site.made("whitelist", cidr="10.1.2.3", expires_at=end)
    problem(await site.admin.post(WHITELIST, json={"cidr": "10.1.2.3/32"}), 409, "conflict")
    assert (await site.admin.get(WHITELIST)).json() == {"data": [entry], "next": None}
