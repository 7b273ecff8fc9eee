"""What holds for every noun of our own APIs, by itself: read from the served documents, not from a list."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_asyncio

from llmgate import schemas
from llmgate.errors import LLMGateError
from tests.admin.harness import PASSWORD, Site, problem

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOUNTS = ("/admin/v1", "/gate")
CREATIONS: dict[str, dict[str, Any]] = {
    "/users": {"name": "n", "password": PASSWORD},
    "/tokens": {"label": "n"},
    "/keys": {"name": "n"},
    "/whitelist": {"cidr": "203.0.113.0/32"},
    "/upstreams": {"name": "n", "kind": "ollama", "url": "http://127.0.0.1:9"},
}
"""A body for each path at which something is made with an Idempotency-Key; a new such path needs one here."""
SECRETS = ("password", "token", "key")
"""Members of answers that hold a secret, where they are text."""


def body_of(path: str, number: int) -> dict[str, Any]:
    """The body for the ``number``-th of them: unique names, and networks of their own."""
    body = {**CREATIONS[path]}
    for name in {"name", "label"} & set(body):
        body[name] = f"{body[name]}-{number}"
    if "cidr" in body:
        body["cidr"] = f"203.0.{113 + number // 250}.{number % 250}/32"
    return body


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def documents(shared: Site) -> dict[str, dict[str, Any]]:
    return {mount: (await shared.admin.get(f"{mount}/openapi.json")).json() for mount in MOUNTS}


def lasting(row: dict[str, Any]) -> dict[str, Any]:
    """The row without what changes by itself, like how an upstream does."""
    return {name: value for name, value in row.items() if name not in schemas.Upstream.volatile}


def operations(documents: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Mount, path, method and description of every operation."""
    for mount, document in documents.items():
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                yield mount, path, method, operation


def takes(operation: dict[str, Any], name: str) -> bool:
    return any(parameter["name"] == name for parameter in operation.get("parameters", ()))


def creations(documents: dict[str, dict[str, Any]]) -> list[str]:
    return [
        path
        for mount, path, method, operation in operations(documents)
        if mount == "/admin/v1" and method == "post" and takes(operation, "Idempotency-Key") and "{" not in path
    ]


def versioned(documents: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """Collections of which rows can be made, read and changed: where they are made, and the path of one."""
    paths = documents["/admin/v1"]["paths"]
    return [
        (made, one)
        for made in creations(documents)
        for one in paths
        if re.fullmatch(re.escape(made) + r"/\{\w+\}", one) and takes(paths[one].get("patch", {}), "If-Match")
    ]


# -- the documents ---------------------------------------------------------------------------


async def test_a_document_is_openapi_3_1_with_its_server_and_ways_to_log_in(
    documents: dict[str, dict[str, Any]],
) -> None:
    for mount, document in documents.items():
        assert document["openapi"].startswith("3.1")
        assert document["servers"] == [{"url": mount}]
        assert set(document["components"]["securitySchemes"]) == {"bearer", "apiKey", "cookie"}
        tags = {tag["name"]: tag["description"] for tag in document["tags"]}
        used = {tag for *_, operation in operations({mount: document}) for tag in operation["tags"]}
        assert set(tags) == used
        assert all(tags.values())
        assert "HTTPValidationError" not in json.dumps(document)
        refs = set(re.findall(r'"#/components/(\w+)/([^"]+)"', json.dumps(document)))
        assert [ref for ref in refs if ref[1] not in document["components"][ref[0]]] == []


async def test_every_operation_has_a_stable_name_a_description_and_its_errors(
    documents: dict[str, dict[str, Any]],
) -> None:
    names: list[str] = []
    for mount, path, method, operation in operations(documents):
        where = f"{method} {mount}{path}"
        names.append(mount + operation["operationId"])
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", operation["operationId"]), where
        assert operation["summary"], f"{where} says nothing about itself"
        assert operation["description"], where
        answers = operation["responses"]
        assert "422" not in answers, where
        assert {"400", "503"} <= set(answers), where
        assert ("401" in answers) == (operation["security"] != [] or "/auth/" in path), where
        assert ("413" in answers) >= ("requestBody" in operation), where
        assert ("404" in answers) >= ("{" in path), where
        assert ("412" in answers) == takes(operation, "If-Match"), where
        assert "409" in answers or not takes(operation, "Idempotency-Key"), where
        assert ("403" in answers) or mount == "/gate", where
    assert len(set(names)) == len(names)


async def test_the_problem_is_described_as_it_is(shared: Site, documents: dict[str, dict[str, Any]]) -> None:
    everything = LLMGateError("m", hint="h", param="p", subject="s").problem("r")
    assert set(everything) == set(schemas.Problem.model_fields) - {"errors"}
    described = documents["/admin/v1"]["components"]["schemas"]["Problem"]
    assert set(described["properties"]) == set(schemas.Problem.model_fields)
    answer = await shared.admin.post("/admin/v1/users", json={"level": 9})
    assert {fault.field for fault in schemas.Problem.model_validate(answer.json()).errors} == {
        "name",
        "password",
        "level",
    }


# -- conventions -----------------------------------------------------------------------------


async def test_unknown_query_parameters_and_bad_pages_are_refused(
    shared: Site, documents: dict[str, dict[str, Any]]
) -> None:
    for mount, path, method, operation in operations(documents):
        if method != "get":
            continue
        filled = mount + re.sub(r"\{\w+\}", "0", path)
        problem(await shared.admin.get(filled, params={"no-such": "1"}), 400, "invalid_request")
        if takes(operation, "after"):
            for bad in ({"limit": "0"}, {"limit": "501"}, {"limit": "x"}, {"after": "!"}, {"after": "x" * 300}):
                problem(await shared.admin.get(filled, params=bad), 400, "invalid_request")


async def test_every_answer_is_kept_out_of_caches_and_has_an_id(
    shared: Site, documents: dict[str, dict[str, Any]]
) -> None:
    for mount, path, method, operation in operations(documents):
        answer = await shared.nobody.request(method, mount + path)
        assert answer.headers["cache-control"].startswith("no-store"), path
        assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"]), path
        if operation["security"] == [] and method == "get":
            assert answer.status_code == 200, path
            continue
        assert answer.headers["content-type"] == "application/problem+json", path
        schemas.Problem.model_validate(answer.json())


async def test_every_body_has_a_bound(shared: Site, documents: dict[str, dict[str, Any]]) -> None:
    bounded = 0
    for mount, path, method, operation in operations(documents):
        if "requestBody" not in operation:
            continue
        bounded += 1
        size = 25_200_000 if (mount, path) == ("/gate", "/chat") else 300_000  # there may be pictures in a question
        large = {"x": "x" * size}
        answer = await shared.admin.request(method, mount + re.sub(r"\{\w+\}", "0", path), json=large)
        problem(answer, 413, "body_too_large")
    assert bounded > 15


async def test_an_application_of_every_creation_is_known_here(documents: dict[str, dict[str, Any]]) -> None:
    assert set(creations(documents)) == set(CREATIONS)


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.parametrize("path", sorted(CREATIONS))
async def test_a_creation_is_carried_out_once_for_its_key(site: Site, path: str) -> None:
    body, headers = body_of(path, 0), {"idempotency-key": f"test {path}"}
    first = await site.admin.post(f"/admin/v1{path}", json=body, headers=headers)
    assert first.status_code == 201, first.text
    again = await site.admin.post(f"/admin/v1{path}", json=body, headers=headers)
    made = first.json()
    secrets = [made[name] for name in SECRETS if isinstance(made.get(name), str)]
    if secrets:
        document = problem(again, 409, "already_created")
        assert document["id"] == made["id"]
        assert not [secret for secret in secrets if secret in again.text]
    else:
        assert again.status_code == 201
        assert lasting(again.json()) == lasting(made)
        assert again.headers["idempotent-replayed"] == "true"
    other = await site.admin.post(f"/admin/v1{path}", json=body_of(path, 1), headers=headers)
    problem(other, 409, "conflict")
    both = await asyncio.gather(
        *(
            site.admin.post(f"/admin/v1{path}", json=body_of(path, 2), headers={"idempotency-key": "at once"})
            for _ in range(2)
        )
    )
    assert sorted(answer.status_code for answer in both) in ([201, 201], [201, 409])
    wanted = {value for value in body_of(path, 2).values() if value != PASSWORD}
    rows = (await site.admin.get(f"/admin/v1{path}")).json()["data"]
    listed = [row for row in rows if {row.get("name"), row.get("label"), row.get("cidr")} & wanted]
    assert len(listed) == 1


@pytest.mark.asyncio(loop_scope="function")
async def test_what_can_be_changed_has_a_version(site: Site) -> None:
    documents = {mount: (await site.admin.get(f"{mount}/openapi.json")).json() for mount in MOUNTS}
    checked = versioned(documents)
    assert {made for made, _ in checked} >= {"/users", "/keys", "/whitelist", "/upstreams"}
    for made, one in checked:
        created = await site.admin.post(f"/admin/v1{made}", json=body_of(made, 7))
        assert created.status_code == 201, created.text
        row = created.json()
        path = f"/admin/v1{re.sub(r'{.*}', '', one)}{row.get('id') or row['name']}"
        shown = await site.admin.get(path)
        assert shown.headers["etag"] == created.headers["etag"], made
        change = {"slots": 2} if made == "/upstreams" else {"level": 5}
        stale = await site.admin.patch(path, json=change, headers={"if-match": '"0000"'})
        problem(stale, 412, "precondition_failed")
        changed = await site.admin.patch(path, json=change, headers={"if-match": shown.headers["etag"]})
        assert changed.status_code == 200, changed.text
        assert changed.headers["etag"] != shown.headers["etag"], made
        assert changed.headers["etag"] == (await site.admin.get(path)).headers["etag"], made
        problem(await site.admin.delete(path, headers={"if-match": shown.headers["etag"]}), 412, "precondition_failed")
        gone = await site.admin.delete(path, headers={"if-match": changed.headers["etag"]})
        assert gone.status_code == 204, gone.text


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.parametrize("path", sorted(CREATIONS))
async def test_pages_are_the_whole_list_also_while_it_grows(site: Site, path: str) -> None:
    for number in range(5):
        assert (await site.admin.post(f"/admin/v1{path}", json=body_of(path, number))).status_code == 201
    whole = (await site.admin.get(f"/admin/v1{path}")).json()
    assert whole["next"] is None
    rows: list[Any] = []
    params, number = {"limit": "2"}, 10
    while True:
        page = (await site.admin.get(f"/admin/v1{path}", params=params)).json()
        assert len(page["data"]) <= 2
        rows += page["data"]
        if page["next"] is None:
            break
        if number < 12:  # new ones come while it is read
            assert (await site.admin.post(f"/admin/v1{path}", json=body_of(path, number))).status_code == 201
            number += 1
        params = {"limit": "2", "after": page["next"]}
    ids = [row.get("id") or row["name"] for row in rows]
    assert len(ids) == len(set(ids))
    assert set(ids) >= {row.get("id") or row["name"] for row in whole["data"]}
