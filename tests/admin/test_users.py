"""Users over the admin API."""

from __future__ import annotations

import pytest

from tests.admin.harness import PASSWORD, Site, problem

USERS = "/admin/v1/users"


async def test_a_new_user_can_log_in_and_is_found_by_id_and_by_name(site: Site) -> None:
    made = await site.made("users", name="Grace", password=PASSWORD, level=2)
    assert (made["role"], made["level"], made["disabled"]) == ("user", 2, False)
    assert "password" not in str(made)
    assert (await site.admin.get(f"{USERS}/{made['id']}")).json() == made
    assert (await site.admin.get(f"{USERS}/grace")).json() == made
    assert (await site.login("grace")).status_code == 200


async def test_a_name_is_taken_in_any_spelling(site: Site) -> None:
    answer = await site.admin.post(USERS, json={"name": "ADA", "password": PASSWORD})
    problem(answer, 409, "conflict")


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "x" * 10_000, "a\x00b", "../x", "<script>"])
@pytest.mark.asyncio(loop_scope="module")
async def test_unusable_names_are_refused(shared: Site, name: str) -> None:
    answer = await shared.admin.post(USERS, json={"name": name, "password": PASSWORD})
    problem(answer, 400, "invalid_request")


async def test_a_weak_password_is_refused_and_not_repeated(site: Site) -> None:
    answer = await site.admin.post(USERS, json={"name": "eve", "password": "short-1"})
    document = problem(answer, 400, "invalid_request")
    assert document["param"] == "password"
    assert "short-1" not in answer.text


async def test_users_are_listed_and_searched(site: Site) -> None:
    names = [user["name"] for user in (await site.admin.get(USERS)).json()["data"]]
    assert names == ["root", "ada"]
    found = (await site.admin.get(USERS, params={"search": "AD"})).json()["data"]
    assert [user["name"] for user in found] == ["ada"]


async def test_only_what_is_sent_is_changed_and_null_takes_the_level_away(site: Site) -> None:
    await site.made("users", name="grace", password=PASSWORD, level=2)
    renamed = (await site.admin.patch(f"{USERS}/grace", json={"name": "hopper"})).json()
    assert (renamed["name"], renamed["level"]) == ("hopper", 2)
    changed = (await site.admin.patch(f"{USERS}/hopper", json={"level": None})).json()
    assert changed["level"] is None


@pytest.mark.parametrize("body", [{}, {"name": None}, {"disabled": None}, {"id": "x"}, {"level": 0}, {"role": "god"}])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_change_that_makes_no_sense_is_refused(shared: Site, body: dict[str, object]) -> None:
    problem(await shared.admin.patch(f"{USERS}/ada", json=body), 400, "invalid_request")


async def test_disabling_a_user_ends_its_sessions_at_once(site: Site) -> None:
    assert (await site.user.get("/gate/auth/me")).status_code == 200
    assert (await site.admin.patch(f"{USERS}/ada", json={"disabled": True})).status_code == 200
    problem(await site.user.get("/gate/auth/me"), 401, "unauthenticated")
    problem(await site.login("ada"), 401, "unauthenticated")
    await site.admin.patch(f"{USERS}/ada", json={"disabled": False})
    problem(await site.user.get("/gate/auth/me"), 401, "unauthenticated")
    assert (await site.login("ada")).status_code == 200


async def test_a_new_password_ends_the_sessions_and_replaces_the_old_one(site: Site) -> None:
    answer = await site.admin.put(f"{USERS}/ada/password", json={"password": "another good one"})
    assert answer.status_code == 204
    problem(await site.user.get("/gate/auth/me"), 401, "unauthenticated")
    problem(await site.login("ada"), 401, "unauthenticated")
    assert (await site.login("ada", "another good one")).status_code == 200


async def test_a_demoted_administrator_loses_the_admin_api_with_the_next_request(site: Site) -> None:
    await site.made("users", name="second", password=PASSWORD, role="admin")
    token = (await site.login("second")).json()["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    assert (await site.nobody.get(USERS, headers=headers)).status_code == 200
    await site.admin.patch(f"{USERS}/second", json={"role": "user"})
    problem(await site.nobody.get(USERS, headers=headers), 403, "forbidden")


@pytest.mark.parametrize("change", [{"disabled": True}, {"role": "user"}, None])
async def test_the_last_administrator_stays(site: Site, change: dict[str, object] | None) -> None:
    path = f"{USERS}/root"
    answer = await (site.admin.patch(path, json=change) if change else site.admin.delete(path))
    problem(answer, 409, "conflict")
    assert (await site.admin.get(path)).json()["role"] == "admin"


async def test_a_deleted_user_is_gone_with_its_keys(site: Site) -> None:
    key = (await site.made("keys", name="adas", user="ada"))["key"]
    headers = {"x-api-key": key}
    assert (await site.nobody.get("/gate/auth/me", headers=headers)).status_code == 200
    assert (await site.admin.delete(f"{USERS}/ada")).status_code == 204
    problem(await site.nobody.get("/gate/auth/me", headers=headers), 401, "unauthenticated")
    problem(await site.admin.get(f"{USERS}/ada"), 404, "not_found")
    problem(await site.admin.delete(f"{USERS}/ada"), 404, "not_found")
