"""One's own conversations through the API: list, change, delete, take along. Nobody else's."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmgate.daemon.auth.principals import Role
from llmgate.daemon.gate import exports
from llmgate.daemon.store import chats, conversations
from llmgate.daemon.store.conversations import Conversation
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.types import utc_now
from llmgate.errors import StoreUnavailable
from tests.admin.harness import Site, problem, run_site
from tests.chat.keeping import GIF, PNG, answered, asked, begun, exchange

NOBODYS = "01" + "0" * 24
PATH = "/gate/conversations"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with run_site(tmp_path / "state") as running:
        yield running


@pytest.fixture
def database(site: Site) -> Database:
    return site.gateway.services.database


@pytest.fixture
async def ada(site: Site) -> str:
    """The id of the one who asks as ``site.user``."""
    return await _id_of(site.user)


async def _id_of(client: httpx.AsyncClient) -> str:
    return str((await client.get("/gate/auth/me")).json()["user_id"])


async def _get(client: httpx.AsyncClient, path: str, **params: Any) -> dict[str, Any]:
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def _full(database: Database, user_id: str) -> Conversation:
    """A conversation with two branches and two pictures; the first answer is shown."""
    one = await begun(database, user_id, "The weather", system="Be brief.", parameters={"temperature": 0.5})
    async with database.begin() as tx:
        question = await asked(tx, one.id, None, "What is this?", PNG, GIF)
        first = await answered(
            tx, question, "A *cloud*.", thinking="Hm.", input_tokens=7, output_tokens=3, duration=1.5
        )
        await answered(tx, question, "A sheep.", outcome="stopped", notice="Older messages were left out.")
        return await conversations.update(tx, one.id, leaf=first.id)


# -- who -------------------------------------------------------------------------------------


async def test_only_who_has_logged_in_has_conversations(site: Site) -> None:
    key = await site.gateway.new_key("app")
    hers = (await site.made("keys", name="hers", user="ada"))["key"]
    boss = await site.gateway.new_key("boss", role=Role.ADMIN)
    for method, path in (
        ("GET", PATH),
        ("DELETE", PATH),
        ("GET", f"{PATH}/export"),
        ("GET", f"{PATH}/{NOBODYS}"),
        ("PATCH", f"{PATH}/{NOBODYS}"),
        ("DELETE", f"{PATH}/{NOBODYS}"),
        ("GET", f"{PATH}/{NOBODYS}/export"),
        ("PATCH", f"{PATH}/{NOBODYS}/messages/{NOBODYS}"),
        ("GET", f"/gate/images/{NOBODYS}"),
    ):
        problem(await site.nobody.request(method, path), 401, "unauthenticated")
        for secret in (key, hers, boss):
            headers = {"authorization": f"Bearer {secret}"}
            problem(await site.nobody.request(method, path, headers=headers), 403, "forbidden")


async def test_somebody_elses_are_not_there_not_even_for_administrators(
    site: Site, database: Database, ada: str
) -> None:
    one = await _full(database, ada)
    shown = await _get(site.user, f"{PATH}/{one.id}")
    question, answer = shown["messages"][:2]
    image = question["images"][0]["id"]
    mine = await begun(database, await _id_of(site.admin), "root's")
    for method, path, body in (
        ("GET", f"{PATH}/{one.id}", None),
        ("PATCH", f"{PATH}/{one.id}", {"title": "mine"}),
        ("DELETE", f"{PATH}/{one.id}", None),
        ("GET", f"{PATH}/{one.id}/export", None),
        ("PATCH", f"{PATH}/{one.id}/messages/{answer['id']}", {"content": "x"}),
        ("PATCH", f"{PATH}/{mine.id}/messages/{answer['id']}", {"content": "x"}),
        ("PATCH", f"{PATH}/{mine.id}", {"leaf": answer["id"]}),
        ("GET", f"/gate/images/{image}", None),
        ("GET", f"{PATH}/{NOBODYS}", None),
    ):
        problem(await site.admin.request(method, path, json=body), 404, "not_found")
    assert [row["title"] for row in (await _get(site.admin, PATH))["data"]] == ["root's"]
    assert (await _get(site.admin, PATH, search="weather"))["data"] == []
    assert [row["title"] for row in (await _get(site.admin, f"{PATH}/export"))["conversations"]] == ["root's"]
    assert (await site.admin.delete(PATH)).json() == {"deleted": 1}
    assert await _get(site.user, f"{PATH}/{one.id}") == shown


# -- reading --------------------------------------------------------------------------------------


async def test_a_conversation_is_shown_with_its_whole_tree(site: Site, database: Database, ada: str) -> None:
    one = await _full(database, ada)
    shown = await _get(site.user, f"{PATH}/{one.id}")
    question, first, second = shown.pop("messages")
    row = (await _get(site.user, PATH))["data"][0]
    assert set(row) == {"id", "title", "titled_by", "model", "created_at", "updated_at"}
    assert shown == {
        **row,
        "system": "Be brief.",
        "parameters": dict.fromkeys(shown["parameters"]) | {"temperature": 0.5},
        "leaf": first["id"],
    }
    assert (question["parent"], first["parent"], second["parent"]) == (None, question["id"], question["id"])
    assert [(image["media_type"], image["size"]) for image in question["images"]] == [
        ("image/png", len(PNG[1])),
        ("image/gif", len(GIF[1])),
    ]
    assert (first["thinking"], first["duration"], first["outcome"], first["notice"]) == ("Hm.", 1.5, "completed", None)
    assert (second["outcome"], second["notice"]) == ("stopped", "Older messages were left out.")


async def test_the_list_has_pages_that_stay_and_a_search(site: Site, database: Database, ada: str) -> None:
    for number in range(7):
        await begun(database, ada, f"Chat {number}", said=utc_now() - timedelta(minutes=number // 2))
    await exchange(database, await begun(database, ada, "Zürich"), "WO IST DIE STRASSENBAHN?", "100%")
    titles: list[str] = []
    params: dict[str, Any] = {"limit": 3}
    while True:
        page = await _get(site.user, PATH, **params)
        titles += [row["title"] for row in page["data"]]
        async with database.begin() as tx:  # it is read on at its place, which is gone
            await conversations.delete(tx, page["data"][-1]["id"])
        if page["next"] is None:
            break
        params["after"] = page["next"]
    assert titles[0] == "Zürich"
    assert sorted(titles[1:]) == [f"Chat {number}" for number in range(7)]
    for search, expected in (("straßenbahn", ["Zürich"]), ("ZÜRICH", ["Zürich"]), ("0%", ["Zürich"]), ("0_", [])):
        assert [row["title"] for row in (await _get(site.user, PATH, search=search))["data"]] == expected
    problem(await site.user.get(PATH, params={"after": "eHg"}), 400, "invalid_request")
    problem(await site.user.get(PATH, params={"search": "x" * 201}), 400, "invalid_request")


# -- changing --------------------------------------------------------------------------------------


async def test_a_conversation_is_named_set_up_and_turned_to_another_branch(
    site: Site, database: Database, ada: str
) -> None:
    one = await _full(database, ada)
    before = await _get(site.user, f"{PATH}/{one.id}")
    second = before["messages"][2]["id"]
    named = await site.user.patch(f"{PATH}/{one.id}", json={"title": " Of  sheep "})
    assert named.status_code == 200, named.text
    assert (named.json()["title"], named.json()["titled_by"]) == ("Of sheep", "user")
    changes = {"model": "m2", "system": None, "parameters": {"seed": 3, "stop": ["x"], "think": False}, "leaf": second}
    assert (await site.user.patch(f"{PATH}/{one.id}", json=changes)).status_code == 200
    after = await _get(site.user, f"{PATH}/{one.id}")
    parameters = dict.fromkeys(before["parameters"]) | {"seed": 3, "stop": ["x"], "think": False}
    changed = {**changes, "parameters": parameters, "title": "Of sheep", "titled_by": "user"}
    assert after == before | changed
    for body, status in (
        ({}, 400),
        ({"title": ""}, 400),
        ({"title": " \n"}, 400),
        ({"title": None}, 400),
        ({"leaf": None}, 400),
        ({"parameters": {"temperature": 9}}, 400),
        ({"unknown": 1}, 400),
        ({"leaf": NOBODYS}, 404),
    ):
        assert (await site.user.patch(f"{PATH}/{one.id}", json=body)).status_code == status, body
    assert await _get(site.user, f"{PATH}/{one.id}") == after


async def test_an_answer_is_corrected_and_a_question_is_not(site: Site, database: Database, ada: str) -> None:
    one = await _full(database, ada)
    question, answer, _ = (await _get(site.user, f"{PATH}/{one.id}"))["messages"]
    corrected = await site.user.patch(f"{PATH}/{one.id}/messages/{answer['id']}", json={"content": "A *fog*."})
    assert corrected.status_code == 200, corrected.text
    assert corrected.json() == answer | {"content": "A *fog*."}
    refused = await site.user.patch(f"{PATH}/{one.id}/messages/{question['id']}", json={"content": "x"})
    assert problem(refused, 409, "conflict")["hint"]
    problem(await site.user.patch(f"{PATH}/{one.id}/messages/{NOBODYS}", json={"content": "x"}), 404, "not_found")
    other = await begun(database, ada)
    problem(
        await site.user.patch(f"{PATH}/{other.id}/messages/{answer['id']}", json={"content": "x"}), 404, "not_found"
    )


async def test_what_is_deleted_is_gone_and_so_is_everything_with_its_user(
    site: Site, database: Database, ada: str
) -> None:
    one, other = await _full(database, ada), await _full(database, ada)
    image = (await _get(site.user, f"{PATH}/{one.id}"))["messages"][0]["images"][0]["id"]
    assert (await site.user.delete(f"{PATH}/{one.id}")).status_code == 204
    for path in (f"{PATH}/{one.id}", f"/gate/images/{image}"):
        problem(await site.user.get(path), 404, "not_found")
    problem(await site.user.delete(f"{PATH}/{one.id}"), 404, "not_found")
    assert [row["id"] for row in (await _get(site.user, PATH))["data"]] == [other.id]
    await begun(database, ada)
    assert (await site.user.delete(PATH)).json() == {"deleted": 2}
    assert (await site.user.delete(PATH)).json() == {"deleted": 0}
    await _full(database, ada)
    problem(await site.admin.delete("/admin/v1/users/ada", headers={"if-match": '"0"'}), 412, "precondition_failed")
    async with database.read() as tx:
        assert len(await conversations.ids(tx, ada)) == 1, "a refused deletion deletes nothing"
    assert (await site.admin.delete("/admin/v1/users/ada")).status_code == 204
    async with database.read() as tx:
        assert [(await tx.execute(table.select())).all() for table in (chats.conversations, chats.images)] == [[], []]


async def test_where_nothing_is_kept_any_more_what_is_there_is_read_and_deleted(
    site: Site, database: Database, ada: str
) -> None:
    one = await _full(database, ada)
    answer = await site.admin.put("/admin/v1/settings/chat.conversation_days", json={"value": 0})
    assert answer.status_code == 200, answer.text
    shown = await _get(site.user, f"{PATH}/{one.id}")
    first, second = (message["id"] for message in shown["messages"][1:])
    refused = await site.user.patch(f"{PATH}/{one.id}", json={"title": "x"})
    assert problem(refused, 403, "forbidden")["hint"]
    problem(await site.user.patch(f"{PATH}/{one.id}/messages/{first}", json={"content": "x"}), 403, "forbidden")
    assert (await site.user.patch(f"{PATH}/{one.id}", json={"leaf": second})).status_code == 200
    assert len((await _get(site.user, PATH))["data"]) == 1
    assert (await site.user.get(f"{PATH}/{one.id}/export")).status_code == 200
    assert (await site.user.delete(f"{PATH}/{one.id}")).status_code == 204


# -- taking along ------------------------------------------------------------------------------------


async def test_a_conversation_is_exported_whole_as_json(site: Site, database: Database, ada: str) -> None:
    one = await _full(database, ada)
    answer = await site.user.get(f"{PATH}/{one.id}/export")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"].startswith('attachment; filename="chat-The-weather.json"')
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    exported = answer.json()
    for image, (_, data) in zip(exported["messages"][0]["images"], (PNG, GIF), strict=True):
        assert base64.b64decode(image.pop("data")) == data
    assert exported == await _get(site.user, f"{PATH}/{one.id}")


async def test_the_branch_that_is_shown_is_exported_as_markdown(site: Site, database: Database, ada: str) -> None:
    one = await _full(database, ada)
    answer = await site.user.get(f"{PATH}/{one.id}/export", params={"format": "markdown"})
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert 'filename="chat-The-weather.md"' in answer.headers["content-disposition"]
    assert "> Be brief." in answer.text
    assert "> What is this?" in answer.text
    assert "> A *cloud*." in answer.text
    assert "sheep" not in answer.text
    empty = await begun(database, ada, "Empty")
    answer = await site.user.get(f"{PATH}/{empty.id}/export", params={"format": "markdown"})
    assert answer.text.startswith("# Empty\n")
    problem(await site.user.get(f"{PATH}/{one.id}/export", params={"format": "html"}), 400, "invalid_request")


async def test_all_conversations_are_exported_one_after_the_other(site: Site, database: Database, ada: str) -> None:
    made = [await _full(database, ada), await begun(database, ada, "Empty"), await _full(database, ada)]
    answer = await site.user.get(f"{PATH}/export")
    assert answer.headers["content-disposition"].startswith('attachment; filename="chat-ada.json"')
    exported = answer.json()
    assert [one["id"] for one in exported["conversations"]] == sorted(one.id for one in made)
    assert exported["exported_at"]
    alone = (await site.user.get(f"{PATH}/{made[2].id}/export")).json()
    assert alone in exported["conversations"]
    assert (await site.admin.get(f"{PATH}/export")).json()["conversations"] == []


async def test_an_export_that_fails_in_between_is_cut_off_and_not_ended(
    site: Site, database: Database, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await _full(database, ada)

    async def fail(*_: Any) -> bytes:
        raise StoreUnavailable

    monkeypatch.setattr(exports, "_data", fail)
    for path in (f"{PATH}/export", f"{PATH}/{one.id}/export"):
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await site.user.get(path)


# -- pictures -----------------------------------------------------------------------------------------


async def test_a_picture_is_only_a_picture(site: Site, database: Database, ada: str) -> None:
    one = await _full(database, ada)
    refs = (await _get(site.user, f"{PATH}/{one.id}"))["messages"][0]["images"]
    for ref, (media_type, data) in zip(refs, (PNG, GIF), strict=True):
        answer = await site.user.get(f"/gate/images/{ref['id']}")
        assert (answer.status_code, answer.content) == (200, data)
        assert answer.headers["content-type"] == media_type
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert answer.headers["cache-control"] == "private, no-cache"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        known = {"if-none-match": answer.headers["etag"]}
        again = await site.user.get(f"/gate/images/{ref['id']}", headers=known)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == answer.headers["etag"]
        assert (await site.user.get(f"/gate/images/{ref['id']}", headers={"if-none-match": '"x"'})).status_code == 200
        problem(await site.admin.get(f"/gate/images/{ref['id']}", headers=known), 404, "not_found")
        problem(await site.nobody.get(f"/gate/images/{ref['id']}", headers=known), 401, "unauthenticated")
