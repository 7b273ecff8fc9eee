"""What holds for every route: who gets in, and what an error looks like."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from llmgate.daemon.admin import create_admin
from llmgate.daemon.gate import PUBLIC, create_gate
from tests.admin.harness import Site, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")


def routes_of(app: FastAPI, prefix: str) -> list[tuple[str, str]]:
    """Method and path of every route, with something in the place of parameters."""
    return [(method.upper(), prefix + path) for path, methods in app.openapi()["paths"].items() for method in methods]


async def test_every_route_but_the_public_ones_asks_for_a_credential(shared: Site) -> None:
    admin = routes_of(create_admin(shared.gateway.services), "/admin/v1")
    gate = routes_of(create_gate(shared.gateway.services), "/gate")
    assert len(admin) > 25
    assert {path for _, path in gate} > {f"/gate{path}" for path in PUBLIC}
    for method, path in admin + gate:
        answer = await shared.nobody.request(method, path)
        if path.removeprefix("/gate") in PUBLIC and path.startswith("/gate"):
            assert answer.status_code in (200, 400, 401), path
        else:
            problem(answer, 401, "unauthenticated")


async def test_every_admin_route_is_forbidden_for_users(shared: Site) -> None:
    for method, path in routes_of(create_admin(shared.gateway.services), "/admin/v1"):
        problem(await shared.user.request(method, path), 403, "forbidden")


async def test_an_api_key_of_a_user_is_forbidden_and_one_of_an_administrator_is_not(shared: Site) -> None:
    key = (await shared.made("keys", name="robot", role="admin"))["key"]
    as_robot = await shared.nobody.get("/admin/v1/users", headers={"authorization": f"Bearer {key}"})
    assert as_robot.status_code == 200
    as_user = await shared.nobody.get("/admin/v1/users", headers={"x-api-key": shared.gateway.key})
    problem(as_user, 403, "forbidden")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer nonsense"},
        {"authorization": "Bearer llmg_0000000000_00000000000000000000000000000000000000"},
        {"authorization": "Basic cm9vdDpyb290"},
        {"x-api-key": "x" * 5000},
        {"cookie": "llmgate=nonsense"},
    ],
)
async def test_every_bad_credential_gets_the_same_answer(shared: Site, headers: dict[str, str]) -> None:
    answer = await shared.nobody.get("/admin/v1/users", headers=headers)
    document = problem(answer, 401, "unauthenticated")
    expected = problem(await shared.nobody.get("/admin/v1/users"), 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert {**document, "request_id": ""} == {**expected, "request_id": ""}


async def test_an_unknown_query_parameter_is_refused_and_the_known_ones_named(shared: Site) -> None:
    document = problem(await shared.admin.get("/admin/v1/users?serach=ada"), 400, "invalid_request")
    assert "serach" in document["detail"]
    assert document["hint"] == "Known are: after, limit, search."
    document = problem(await shared.admin.get("/admin/v1/system?x=1"), 400, "invalid_request")
    assert document["hint"] == "This takes none."


async def test_a_bad_body_names_the_fields_and_never_repeats_what_was_in_them(shared: Site) -> None:
    body = {"name": "eve", "password": ["s3cret-value"], "level": 9, "admin": "s3cret-value"}
    answer = await shared.admin.post("/admin/v1/users", json=body)
    document = problem(answer, 400, "invalid_request")
    assert {fault["field"] for fault in document["errors"]} == {"password", "level", "admin"}
    assert "s3cret-value" not in answer.text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe"])
async def test_what_is_not_a_json_object_is_refused(shared: Site, content: bytes) -> None:
    answer = await shared.admin.post("/admin/v1/users", content=content, headers={"content-type": "application/json"})
    problem(answer, 400, "invalid_request")


async def test_a_body_without_the_json_content_type_is_refused(shared: Site) -> None:
    """A page of another site can send such a one without being asked first."""
    content = b'{"name": "root", "password": "correct horse battery"}'
    answer = await shared.nobody.post("/gate/auth/login", content=content, headers={"content-type": "text/plain"})
    problem(answer, 400, "invalid_request")


async def test_a_body_that_is_too_large_is_refused(shared: Site) -> None:
    answer = await shared.admin.post("/admin/v1/users", json={"name": "x" * 1_000_000, "password": "p"})
    problem(answer, 413, "body_too_large")


@pytest.mark.parametrize(
    "path",
    [
        "/admin/v1/users/..%2f..%2fsystem",
        "/admin/v1/users/%2e%2e",
        "/admin/v1/keys/....//",
        "/admin/v1/tokens/%00",
        "/admin/v1/whitelist/' OR 1=1 --",
        "/admin/v1/users/" + "a" * 10_000,
        "/admin/v1/nothing",
        "/admin/v1/users/",
    ],
)
async def test_odd_paths_find_nothing(shared: Site, path: str) -> None:
    answer = await shared.admin.get(path)
    assert answer.status_code in (400, 404), answer.text
    assert answer.json()["code"] in ("not_found", "route_not_found", "invalid_request")


async def test_another_method_is_refused_and_the_right_one_named(shared: Site) -> None:
    answer = await shared.admin.put("/admin/v1/system")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize("query", ["after=%21", "after=%FF", "limit=0", "limit=501", "limit=x"])
async def test_a_bad_page_is_refused(shared: Site, query: str) -> None:
    problem(await shared.admin.get(f"/admin/v1/users?{query}"), 400, "invalid_request")
