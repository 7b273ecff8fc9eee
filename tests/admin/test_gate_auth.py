"""Logging in and out, cookies, registration and setup under /gate."""

from __future__ import annotations

from http.cookies import SimpleCookie
from pathlib import Path

import httpx

from llmgate.config import ServerSettings
from tests.admin.harness import PASSWORD, Site, problem, run_site

HTTPS = ServerSettings(port=0, drain_seconds=5, public_url="https://llm.example")
OWN_PAGE = {"sec-fetch-site": "same-origin"}


def cookies_of(answer: httpx.Response) -> SimpleCookie:
    jar: SimpleCookie = SimpleCookie()
    for header in answer.headers.get_list("set-cookie"):
        jar.load(header)
    return jar


async def test_a_login_gives_tokens_and_the_refresh_token_new_ones(site: Site) -> None:
    tokens = (await site.login("ada")).json()
    assert tokens["user"]["name"] == "ada"
    assert tokens["expires_in"] == 15 * 60
    answer = await site.nobody.post("/gate/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    fresh = answer.json()
    assert fresh["refresh_token"] != tokens["refresh_token"]
    headers = {"authorization": f"Bearer {fresh['access_token']}"}
    who = (await site.nobody.get("/gate/auth/me", headers=headers)).json()
    assert (who["kind"], who["name"], who["level"], who["role"]) == ("session", "ada", 3, "user")


async def test_a_wrong_name_and_a_wrong_password_look_the_same(site: Site) -> None:
    wrong_name = problem(await site.login("nobody-here"), 401, "unauthenticated")
    wrong_password = problem(await site.login("ada", "wrong password"), 401, "unauthenticated")
    assert {**wrong_name, "request_id": ""} == {**wrong_password, "request_id": ""}


async def test_guessing_is_slowed_down_and_says_for_how_long(site: Site) -> None:
    for _ in range(5):
        problem(await site.login("ada", "wrong password"), 401, "unauthenticated")
    answer = await site.login("ada")
    problem(answer, 429, "too_many_attempts")
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_logout_ends_the_session_at_once_and_for_the_refresh_token_too(site: Site) -> None:
    tokens = (await site.login("ada")).json()
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    assert (await site.nobody.get("/gate/auth/me", headers=headers)).status_code == 200
    assert (await site.nobody.post("/gate/auth/logout", headers=headers)).status_code == 204
    problem(await site.nobody.get("/gate/auth/me", headers=headers), 401, "unauthenticated")
    refreshed = await site.nobody.post("/gate/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    problem(refreshed, 401, "unauthenticated")


async def test_an_api_key_has_no_session_to_end_and_no_password(site: Site) -> None:
    key = {"x-api-key": site.gateway.key}
    problem(await site.nobody.post("/gate/auth/logout", headers=key), 403, "forbidden")
    body = {"current_password": PASSWORD, "password": "another good one"}
    problem(await site.nobody.post("/gate/auth/password", headers=key, json=body), 403, "forbidden")


async def test_a_changed_password_ends_every_session_and_begins_a_new_one(site: Site) -> None:
    other = {"authorization": f"Bearer {(await site.login('ada')).json()['access_token']}"}
    wrong = {"current_password": "wrong password", "password": "another good one"}
    problem(await site.user.post("/gate/auth/password", json=wrong), 403, "forbidden")
    weak = {"current_password": PASSWORD, "password": "short"}
    problem(await site.user.post("/gate/auth/password", json=weak), 400, "invalid_request")
    right = {"current_password": PASSWORD, "password": "another good one"}
    tokens = (await site.user.post("/gate/auth/password", json=right)).json()
    problem(await site.nobody.get("/gate/auth/me", headers=other), 401, "unauthenticated")
    fresh = {"authorization": f"Bearer {tokens['access_token']}"}
    assert (await site.nobody.get("/gate/auth/me", headers=fresh)).status_code == 200
    problem(await site.login("ada"), 401, "unauthenticated")


async def test_an_account_is_made_with_a_token_only(site: Site) -> None:
    token = (await site.made("tokens"))["token"]
    body = {"token": token, "name": "ada", "password": PASSWORD}
    problem(await site.nobody.post("/gate/auth/register", json=body), 409, "conflict")
    made = await site.nobody.post("/gate/auth/register", json={**body, "name": "eve"})
    assert (made.status_code, made.json()["role"]) == (201, "user")
    problem(await site.nobody.post("/gate/auth/register", json={**body, "name": "eva"}), 401, "unauthenticated")
    problem(await site.nobody.post("/gate/auth/register", json={**body, "token": "llmr_x"}), 401, "unauthenticated")


async def test_the_setup_token_is_worthless_where_there_is_an_administrator(site: Site) -> None:
    body = {"token": "llms_guess", "name": "eve", "password": PASSWORD}
    problem(await site.nobody.post("/gate/auth/setup", json=body), 401, "unauthenticated")


async def test_cookies_over_plain_http_need_an_explicit_setting(tmp_path: Path) -> None:
    server = ServerSettings(port=0, drain_seconds=5, public_url="http://gate.lan")
    async with run_site(tmp_path / "state", server=server) as site:
        problem(await site.login("ada", cookie=True), 400, "invalid_request")


async def test_on_this_machine_itself_plain_http_will_do(site: Site) -> None:
    """A browser that was sent to http://127.0.0.1, or to http://localhost, gets in: with names that any browser takes
    from there, Safari included."""
    body = {"name": "ada", "password": PASSWORD, "cookie": True}
    port = site.url.rpartition(":")[2]
    for name in ("127.0.0.1", "localhost", "[::1]"):
        own = {"host": f"{name}:{port}", "origin": f"http://{name}:{port}"}
        jar = cookies_of(await site.nobody.post("/gate/auth/login", json=body, headers=own))
        assert set(jar) == {"llmgate", "llmgate-refresh"}
        assert {(cookie["httponly"], cookie["secure"], cookie["samesite"]) for cookie in jar.values()} == {
            (True, "", "strict")
        }
        cookies = {"cookie": "; ".join(f"{name}={cookie.value}" for name, cookie in jar.items())}
        assert (await site.nobody.get("/gate/auth/me", headers=cookies)).json()["name"] == "ada"
        # No more than its Origin: not every browser sends Sec-Fetch-Site over plain http.
        renewed = await site.nobody.post("/gate/auth/refresh", headers={**cookies, **own})
        assert set(cookies_of(renewed)) == {"llmgate", "llmgate-refresh"}
        foreign = {**cookies, "host": own["host"], "origin": "http://127.0.0.1:3000"}
        problem(await site.nobody.post("/gate/auth/refresh", headers=foreign), 403, "forbidden")
        problem(await site.nobody.post("/gate/auth/logout", headers=foreign), 403, "forbidden")
        assert (await site.nobody.post("/gate/auth/logout", headers={**cookies, **own})).status_code == 204


async def test_behind_a_proxy_that_is_not_configured_there_are_no_plain_cookies(site: Site) -> None:
    body = {"name": "ada", "password": PASSWORD, "cookie": True}
    port = site.url.rpartition(":")[2]
    for told in (
        {"host": "llm.example"},
        {"host": f"127.0.0.1:{port}", "origin": "https://llm.example"},  # what nginx makes of it by itself
        {"host": f"192.168.1.5:{port}", "origin": f"http://192.168.1.5:{port}"},
    ):
        document = problem(await site.nobody.post("/gate/auth/login", json=body, headers=told), 400, "invalid_request")
        assert "public_url" in document["hint"]


async def test_session_cookies_are_out_of_reach_and_never_in_the_body(tmp_path: Path) -> None:
    async with run_site(tmp_path / "state", server=HTTPS) as site:
        answer = await site.login("ada", cookie=True)
        assert answer.json()["access_token"] is answer.json()["refresh_token"] is None
        jar = cookies_of(answer)
        assert set(jar) == {"__Host-llmgate", "__Secure-llmgate-refresh"}
        for name, path in (("__Host-llmgate", "/"), ("__Secure-llmgate-refresh", "/gate/auth")):
            cookie = jar[name]
            assert (cookie["path"], cookie["samesite"], cookie["domain"]) == (path, "strict", "")
            assert cookie["httponly"] is cookie["secure"] is True
            assert cookie.value not in answer.text


async def test_a_browser_stays_logged_in_by_cookies_alone(tmp_path: Path) -> None:
    async with run_site(tmp_path / "state", server=HTTPS) as site:
        jar = cookies_of(await site.login("ada", cookie=True))
        session = {"cookie": f"__Host-llmgate={jar['__Host-llmgate'].value}"}
        renewal = {"cookie": f"__Secure-llmgate-refresh={jar['__Secure-llmgate-refresh'].value}"}
        assert (await site.nobody.get("/gate/auth/me", headers=session)).json()["name"] == "ada"
        problem(await site.nobody.post("/gate/auth/refresh", headers=renewal), 403, "forbidden")
        problem(await site.nobody.post("/gate/auth/logout", headers=session), 403, "forbidden")
        refreshed = await site.nobody.post("/gate/auth/refresh", headers={**renewal, **OWN_PAGE})
        assert refreshed.json()["access_token"] is None
        assert cookies_of(refreshed)["__Host-llmgate"].value != jar["__Host-llmgate"].value
        ended = await site.nobody.post("/gate/auth/logout", headers={**session, **OWN_PAGE})
        assert ended.status_code == 204
        assert {cookie["max-age"] for cookie in cookies_of(ended).values()} == {"0"}
        problem(await site.nobody.get("/gate/auth/me", headers=session), 401, "unauthenticated")


async def test_plain_http_cookies_have_plain_names(tmp_path: Path) -> None:
    server = ServerSettings(port=0, drain_seconds=5, allow_insecure_cookies=True)
    async with run_site(tmp_path / "state", server=server) as site:
        jar = cookies_of(await site.login("ada", cookie=True))
        assert set(jar) == {"llmgate", "llmgate-refresh"}
        assert jar["llmgate"]["httponly"] is True
        assert jar["llmgate"]["secure"] == ""


async def test_a_refresh_without_any_token_is_refused(site: Site) -> None:
    problem(await site.nobody.post("/gate/auth/refresh"), 401, "unauthenticated")
    problem(await site.nobody.post("/gate/auth/refresh", json={"refresh_token": "x"}), 401, "unauthenticated")
