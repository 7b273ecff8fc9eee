"""Privilege cannot be minted: nobody becomes more than somebody who was more has made them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from jose import jwt

from llmgate.config import ServerSettings
from llmgate.daemon.app import Application
from llmgate.daemon.auth.principals import Role
from tests.admin.harness import PASSWORD, Site, problem, run_site
from tests.admin.routes import filled, methods_by_path
from tests.gateway.harness import CHAT

USERS, KEYS = "/admin/v1/users", "/admin/v1/keys"
WHITELISTED, ELSEWHERE = "203.0.113.9", "198.51.100.1"


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


async def may_administer(site: Site, headers: dict[str, str]) -> int:
    return (await site.nobody.get(USERS, headers=headers)).status_code


def mutating(site: Site) -> list[tuple[str, str]]:
    """Every route of the running admin API that changes something."""
    application = site.gateway.server.config.app
    assert isinstance(application, Application)
    return [
        (method, filled(path))
        for path, methods in methods_by_path(application).items()
        if path.startswith("/admin/v1")
        for method in sorted(methods - {"GET", "HEAD"})
    ]


# -- what users make -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("noun", "body"),
    [
        ("users", {"name": "eve", "password": PASSWORD, "role": "admin"}),
        ("tokens", {"role": "admin"}),
        ("keys", {"name": "mine", "role": "admin"}),
        ("keys", {"name": "mine", "user": "ada"}),
        ("whitelist", {"cidr": "10.0.0.0/8", "level": 1}),
    ],
)
async def test_a_user_makes_nothing_whatever_its_credential(site: Site, noun: str, body: dict[str, Any]) -> None:
    key = (await site.made("keys", name="adas", user="ada"))["key"]
    for headers in (dict(site.user.headers), {"x-api-key": key}, {"x-api-key": site.gateway.key}):
        answer = await site.nobody.post(f"/admin/v1/{noun}", json=body, headers={"authorization": "", **headers})
        assert answer.status_code in (401, 403), answer.text
        problem(await site.user.post(f"/admin/v1/{noun}", json=body), 403, "forbidden")
    listed = (await site.admin.get(f"/admin/v1/{noun}")).json()["data"]
    assert all(row.get("role") != "admin" or row.get("name") == "root" for row in listed)


async def test_an_account_has_the_role_of_its_token_and_none_that_it_asks_for(site: Site) -> None:
    token = (await site.made("tokens", level=4))["token"]
    body = {"token": token, "name": "eve", "password": PASSWORD}
    for more in ({"role": "admin"}, {"level": 1}, {"id": "0"}):
        problem(await site.nobody.post("/gate/auth/register", json={**body, **more}), 400, "invalid_request")
    made = (await site.nobody.post("/gate/auth/register", json=body)).json()
    assert (made["role"], made["level"]) == ("user", 4)
    as_eve = bearer((await site.login("eve")).json()["access_token"])
    assert (await site.nobody.get("/gate/auth/me", headers=as_eve)).json()["level"] == 4
    assert await may_administer(site, as_eve) == 403


# -- keys and their users --------------------------------------------------------------------


@pytest.mark.parametrize("wider", [{"role": "admin"}, {"level": 2}])
async def test_a_key_is_not_made_wider_than_its_user(site: Site, wider: dict[str, Any]) -> None:
    await site.admin.patch(f"{USERS}/ada", json={"level": 3})
    answer = await site.admin.post(KEYS, json={"name": "adas", "user": "ada", **wider})
    problem(answer, 400, "invalid_request")
    await site.made("keys", name="adas", user="ada", level=3)
    if "level" in wider:
        problem(await site.admin.patch(f"{KEYS}/adas", json=wider), 400, "invalid_request")
    else:  # the role of a key is for its life
        problem(await site.admin.patch(f"{KEYS}/adas", json=wider), 400, "invalid_request")


async def test_a_key_becomes_narrower_with_its_user(site: Site) -> None:
    await site.made("users", name="second", password=PASSWORD, role="admin", level=1)
    key = {"x-api-key": (await site.made("keys", name="seconds", user="second", role="admin", level=1))["key"]}
    assert await may_administer(site, key) == 200
    await site.admin.patch(f"{USERS}/second", json={"role": "user", "level": 4})
    assert await may_administer(site, key) == 403
    me = (await site.nobody.get("/gate/auth/me", headers=key)).json()
    assert (me["role"], me["level"]) == ("user", 4)
    await site.admin.patch(f"{USERS}/second", json={"disabled": True})
    assert await may_administer(site, key) == 401
    await site.admin.patch(f"{USERS}/second", json={"disabled": False, "role": "admin"})
    assert await may_administer(site, key) == 200
    assert (await site.admin.delete(f"{USERS}/second")).status_code == 204
    assert await may_administer(site, key) == 401


@pytest.mark.parametrize("routes", [["chat"], ["/v1/chat/completions"], ["manage"], ["metrics"]])
async def test_an_admin_key_that_is_bound_to_other_routes_does_not_administer(site: Site, routes: list[str]) -> None:
    key = {"x-api-key": (await site.made("keys", name="bound", role="admin", routes=routes))["key"]}
    for method, path in [("GET", USERS), *mutating(site)]:
        problem(await site.nobody.request(method, path, headers=key), 403, "forbidden")
    may_manage = (await site.nobody.post("/api/pull", headers=key)).status_code != 403
    may_measure = (await site.nobody.get("/metrics", headers=key)).status_code == 200
    assert (may_manage, may_measure) == ("manage" in routes, "metrics" in routes)


async def test_an_admin_key_of_another_network_does_not_administer(tmp_path: Path) -> None:
    server = ServerSettings(port=0, drain_seconds=5, trusted_proxies=["127.0.0.1"])
    async with run_site(tmp_path / "state", server=server) as site:
        key = {"x-api-key": (await site.made("keys", name="office", role="admin", cidrs=[f"{WHITELISTED}/32"]))["key"]}
        assert await may_administer(site, {**key, "x-forwarded-for": WHITELISTED}) == 200
        for method, path in [("GET", USERS), *mutating(site)]:
            answer = await site.nobody.request(method, path, headers={**key, "x-forwarded-for": ELSEWHERE})
            problem(answer, 403, "forbidden")


async def test_a_header_lowers_the_level_and_never_raises_it(site: Site) -> None:
    key = await site.gateway.new_key("low", level=4)
    for asked, expected in (("1", "4"), ("3", "4"), ("5", "5")):
        headers = {"authorization": f"Bearer {key}", "x-llmgate-priority": asked}
        answer = await site.nobody.post("/api/chat", json={**CHAT, "stream": False}, headers=headers)
        assert (answer.status_code, answer.headers["x-llmgate-level"]) == (200, expected)
    for asked in ("0", "6", "-1", "1.0", "one", "1, 4"):
        headers = {"authorization": f"Bearer {key}", "x-llmgate-priority": asked}
        assert (await site.nobody.post("/api/chat", json=CHAT, headers=headers)).status_code == 400


# -- sessions --------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["delete", "disable", "password"])
async def test_a_session_ends_with_its_user_and_its_refresh_token_too(site: Site, end: str) -> None:
    await site.made("users", name="second", password=PASSWORD, role="admin")
    tokens = (await site.login("second")).json()
    headers = bearer(tokens["access_token"])
    assert await may_administer(site, headers) == 200
    if end == "delete":
        await site.admin.delete(f"{USERS}/second")
    elif end == "disable":
        await site.admin.patch(f"{USERS}/second", json={"disabled": True})
    else:
        await site.admin.put(f"{USERS}/second/password", json={"password": "another good one"})
    assert await may_administer(site, headers) == 401
    refreshed = await site.nobody.post("/gate/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    problem(refreshed, 401, "unauthenticated")


async def test_a_user_of_the_same_name_is_another_one(site: Site) -> None:
    """The session and the keys of a deleted administrator are not those of its namesake."""
    await site.made("users", name="second", password=PASSWORD, role="admin")
    old = bearer((await site.login("second")).json()["access_token"])
    key = {"x-api-key": (await site.made("keys", name="seconds", user="second", role="admin"))["key"]}
    await site.admin.delete(f"{USERS}/second")
    await site.made("users", name="second", password=PASSWORD, role="admin")
    assert await may_administer(site, old) == 401
    assert await may_administer(site, key) == 401


def _forged(token: str, change: Callable[[dict[str, Any], dict[str, Any]], None], key: str = "") -> str:
    """The token with other content, signed with ``key`` as its header says, or not at all."""
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    change(header, claims)
    if key:
        return str(jwt.encode(claims, key, algorithm=header["alg"], headers=header))
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims)]
    return ".".join([*parts, token.split(".")[2] if header["alg"] == "HS256" else ""])


async def test_a_token_that_was_not_issued_here_is_none(site: Site) -> None:
    token = (await site.login("ada")).json()["access_token"]
    root = (await site.admin.get(f"{USERS}/root")).json()["id"]
    session = (await site.admin.get("/gate/auth/me")).json()["session_id"]

    def as_root(header: dict[str, Any], claims: dict[str, Any]) -> None:
        claims.update(sub=root, sid=session, role="admin", admin=True)

    def as_root_unsigned(header: dict[str, Any], claims: dict[str, Any]) -> None:
        as_root(header, claims)
        header["alg"] = "none"

    def with_a_key_of_its_own(header: dict[str, Any], claims: dict[str, Any]) -> None:
        as_root(header, claims)
        header.update(jwk={"kty": "oct", "k": "AAAA"}, kid="../../dev/null")

    forged = [
        _forged(token, as_root),
        _forged(token, as_root_unsigned),
        _forged(token, as_root, "guess"),
        _forged(token, as_root, root),
        _forged(token, with_a_key_of_its_own, "AAAA"),
    ]
    for text in forged:
        assert await may_administer(site, bearer(text)) == 401
    assert await may_administer(site, bearer(token)) == 403


async def test_a_token_of_one_person_names_no_session_of_another(site: Site) -> None:
    """Even a well-signed one: the session must be the user's."""
    tokens = site.gateway.services.sessions._access
    ada = (await site.admin.get(f"{USERS}/ada")).json()["id"]
    root = (await site.admin.get(f"{USERS}/root")).json()["id"]
    adas = (await site.user.get("/gate/auth/me")).json()["session_id"]
    now = site.gateway.services.started_at
    assert await may_administer(site, bearer(tokens.issue(user_id=ada, session_id=adas, now=now))) == 403
    assert await may_administer(site, bearer(tokens.issue(user_id=root, session_id=adas, now=now))) == 401


async def test_a_refresh_token_a_registration_token_and_a_digest_are_no_credentials(site: Site) -> None:
    refresh = (await site.login("root")).json()["refresh_token"]
    registration = (await site.made("tokens", role="admin"))["token"]
    key = await site.made("keys", name="robot", role="admin")
    for text in (refresh, registration, key["id"], key["last4"], site.gateway.services.secret.fingerprint):
        assert await may_administer(site, bearer(text)) == 401
        assert await may_administer(site, {"x-api-key": text}) == 401


# -- browsers and addresses ------------------------------------------------------------------


async def test_a_foreign_page_changes_nothing_with_the_administrators_cookie(tmp_path: Path) -> None:
    server = ServerSettings(port=0, drain_seconds=5, public_url="http://127.0.0.1:1", allow_insecure_cookies=True)
    async with run_site(tmp_path / "state", server=server) as site:
        cookie = (await site.login("root", cookie=True)).cookies["llmgate"]
        headers = {"cookie": f"llmgate={cookie}"}
        assert await may_administer(site, headers) == 200
        routes = mutating(site)
        assert len(routes) > 20
        for foreign in ({}, {"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
            for method, path in routes:
                answer = await site.nobody.request(method, path, headers={**headers, **foreign})
                assert answer.status_code == 403, f"{method} {path} with {foreign}: {answer.text}"
        own = {**headers, "origin": "http://127.0.0.1:1"}
        answer = await site.nobody.post(USERS, json={"name": "eve", "password": PASSWORD}, headers=own)
        assert answer.status_code == 201


async def test_a_whitelisted_address_is_never_an_administrator(tmp_path: Path) -> None:
    server = ServerSettings(port=0, drain_seconds=5, trusted_proxies=["127.0.0.1"])
    async with run_site(tmp_path / "state", server=server) as site:
        await site.made("whitelist", cidr=f"{WHITELISTED}/32", level=1)
        come: dict[str, str] = {"x-forwarded-for": WHITELISTED}
        me = (await site.nobody.get("/gate/auth/me", headers=come)).json()
        assert (me["kind"], me["role"], me["level"]) == ("address", "user", 1)
        for method, path in [("GET", USERS), *mutating(site)]:
            problem(await site.nobody.request(method, path, headers=come), 403, "forbidden")
        bad = {**come, "x-api-key": "llmg_wrong"}
        assert await may_administer(site, bad) == 401
        answer: httpx.Response = await site.admin.post(
            "/admin/v1/whitelist", json={"cidr": "10.0.0.0/8", "role": "admin"}
        )
        problem(answer, 400, "invalid_request")


async def test_an_application_key_of_an_administrator_makes_what_an_administrator_makes(site: Site) -> None:
    """And no more is needed than that: whoever holds such a key is one."""
    key = await site.gateway.new_key("robot", role=Role.ADMIN)
    made = await site.nobody.post(KEYS, json={"name": "another", "role": "admin"}, headers={"x-api-key": key})
    assert made.status_code == 201
