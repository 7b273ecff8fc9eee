"""Reaching for what is somebody else's, by every route that takes an id, and by every frame of the chat's WebSocket.

The routes are read from the running gateway's own tables. A route with a parameter that nothing here stands for fails
the test: whoever adds one says here what a stranger could want there.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from llmgate.daemon.admin import dependencies
from llmgate.daemon.app import Application
from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.chat.turns import Turns
from llmgate.daemon.queue.memory import MemoryQueueManager
from llmgate.daemon.store import chats, conversations, images, keys, sessions
from tests.admin.attempts import MISSING
from tests.admin.harness import Site
from tests.admin.routes import methods_by_path
from tests.attacks.cases import Attack, repelled
from tests.attacks.common import a_user, bearer, logged_in, name, plain
from tests.chat.harness import Person, open_page, start
from tests.chat.keeping import PNG, begun, exchange
from tests.fakes import Script
from tests.gateway.harness import CHAT

BODIES: Mapping[str, object] = {
    "PATCH /gate/conversations/{conversation}": {"title": "Mine now"},
    "PATCH /gate/conversations/{conversation}/messages/{message}": {"content": "Something else"},
}
NOT_ONES_OWN = {"/v1/models/{model}"}
"""Takes a name, which belongs to nobody."""


@dataclass(frozen=True, slots=True)
class Victim:
    """Somebody who has one of everything. ``owns`` is by the name of the parameter in paths."""

    client: httpx.AsyncClient
    owns: dict[str, str]


@asynccontextmanager
async def victim_of(site: Site) -> AsyncIterator[Victim]:
    """Ada: one of her conversations with a picture, a key, a session, a turn that goes on, a request that waits."""
    database, ada = site.gateway.services.database, site.user
    user_id = (await ada.get("/gate/auth/me")).json()["id"]
    conversation = await begun(database, user_id, "Adas own")
    answer = await exchange(database, conversation, "Adas question", "Adas answer", PNG)
    async with database.read() as tx:
        image = (await tx.execute(select(chats.images.c.id).order_by(chats.images.c.id.desc()))).scalars().first()
    assert image is not None
    key = (await site.made("keys", name=name("k"), user="ada"))["id"]
    other = bearer((await logged_in(site, "ada"))["access_token"])  # not the one that she asks with
    session = (await site.nobody.get("/gate/auth/me", headers=other)).json()["session_id"]
    gate = f"held-{conversation.id}"
    seen = len(site.ollama.requests)
    site.ollama.script(Script(gate=gate))
    asking = [asyncio.create_task(ada.post("/gate/chat", json=start(keep=False)))]
    await site.ollama.request(seen)
    try:
        (turn,) = (await ada.get("/gate/chat")).json()["data"]
        asking.append(asyncio.create_task(ada.post("/api/chat", json={**CHAT, "stream": False})))
        await site.gateway.waiting(1)
        (waiting,) = (await ada.get("/gate/queue")).json()["data"]
        owns = {"conversation": conversation.id, "message": answer.id, "image": image, "key": key}
        owns |= {"session": session, "turn": turn["turn"], "request_id": waiting["ticket_id"]}
        yield Victim(ada, owns)
    finally:
        site.ollama.release(gate)
        await asyncio.gather(*asking)
        await site.admin.delete(f"/admin/v1/keys/{key}")


def routes_with_ids(site: Site) -> list[tuple[str, str]]:
    """Method and path of each route for users that names something by an id."""
    application = site.gateway.server.config.app
    assert isinstance(application, Application)
    return [
        (method, path)
        for path, methods in sorted(methods_by_path(application).items())
        if "{" in path and not path.startswith("/admin/v1") and path not in NOT_ONES_OWN
        for method in sorted(methods - {"HEAD"})
    ]


def filled(path: str, values: Mapping[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda found: values[found[1]], path)


def by_routes_of(noun: str) -> Callable[[Site], Awaitable[None]]:
    """What is Ada's answers as what there never was does: the same status, the same text."""

    async def run(site: Site) -> None:
        stranger = bearer((await a_user(site))[1]["access_token"])
        async with victim_of(site) as ada:
            none = dict.fromkeys(ada.owns, MISSING)
            for method, path in routes_with_ids(site):
                if noun not in names_in(path):
                    continue
                body = BODIES.get(f"{method} {path}")
                told = set()
                for values in (ada.owns, none):
                    asked = site.nobody.stream(method, filled(path, values), json=body, headers=stranger)
                    async with asked as answer:  # that of a turn would not end
                        repelled(answer.status_code == 404, f"{method} {path} answers with {answer.status_code}")
                        await answer.aread()
                        told.add(plain(answer))
                repelled(len(told) == 1, f"{method} {path} tells what exists: {told}")
            await nothing_has_changed(ada)

    return run


def names_in(path: str) -> set[str]:
    return set(re.findall(r"{(\w+)}", path))


async def by_admin_routes(site: Site) -> None:
    """With the ids of things that exist, and of those that do not: a user gets one answer."""
    stranger = bearer((await a_user(site))[1]["access_token"])
    made = await site.made("keys", name=name("k"))
    root = (await site.admin.get("/gate/auth/me")).json()
    real = {"key": made["id"], "user": root["id"], "session": root["session_id"], "upstream": "fake", "pool": "fake"}
    real |= {"model": "llama3.2", "seq": "1"}
    application = site.gateway.server.config.app
    assert isinstance(application, Application)
    for path, methods in sorted(methods_by_path(application).items()):
        if not path.startswith("/admin/v1") or "{" not in path:
            continue
        for method in sorted(methods):
            parameters = sorted(names_in(path))
            answers = set()
            for values in ({one: real.get(one, "0") for one in parameters}, dict.fromkeys(parameters, MISSING)):
                answer = await site.nobody.request(method, filled(path, values), headers=stranger)
                answers.add(plain(answer))
                repelled(answer.status_code == 403, f"{method} {path} answers a user with {answer.status_code}")
            repelled(len(answers) == 1, f"{method} {path} tells what exists: {answers}")
    assert (await site.admin.delete(f"/admin/v1/keys/{made['id']}")).status_code == 204


async def by_every_list(site: Site) -> None:
    stranger = bearer((await a_user(site))[1]["access_token"])
    application = site.gateway.server.config.app
    assert isinstance(application, Application)
    lists = [
        path
        for path, methods in sorted(methods_by_path(application).items())
        if path.startswith("/gate/") and "GET" in methods and "{" not in path
    ]
    asked = ("", "?search=Adas%20answer", "?state=active", "?by=key")
    async with victim_of(site) as ada:
        for path in lists:
            for query in asked if path != "/gate/about" else ("",):
                answer = await site.nobody.get(path + query, headers=stranger)
                assert answer.status_code in (200, 400), f"{path}{query}: {answer.text}"
                shown = [secret for secret in ada.owns.values() if secret in answer.text]
                repelled(not shown, f"{path}{query} shows a stranger {shown}")


async def by_cursors(site: Site) -> None:
    """The cursor of a page of Ada's is no way into her list."""
    stranger = bearer((await a_user(site))[1]["access_token"])
    database = site.gateway.services.database
    user_id = (await site.user.get("/gate/auth/me")).json()["id"]
    ids = [(await begun(database, user_id, f"Adas {number}")).id for number in range(3)]
    async with database.read() as tx:
        place = (await conversations.get(tx, ids[-1], user_id)).place
    cursor = base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")
    answer = await site.nobody.get("/gate/conversations", params={"after": cursor}, headers=stranger)
    repelled(not any(one in answer.text for one in ids), f"the list goes on with Ada's: {answer.text}")


async def by_frames(site: Site) -> None:
    """Over the WebSocket: follow, stop or say good-bye to a turn of Ada's; ask in her conversation."""
    made, tokens = await a_user(site)
    stranger = Person(made["id"], made["name"], tokens["access_token"], "")
    async with victim_of(site) as ada, open_page(site.gateway, stranger) as page:
        for turn in (ada.owns["turn"], MISSING):
            await page.send({"type": "attach", "turn": turn})
            frame = await page.next()
            repelled(frame["type"] == "gone", f"a stranger follows a turn: {frame}")
            await page.send({"type": "stop", "turn": turn})
            frame = await page.next()
            repelled(frame["type"] == "gone", f"a stranger stops a turn: {frame}")
        left = {"turns": [ada.owns["turn"]]}  # as if Ada's page had been closed
        assert (await site.nobody.post("/gate/chat/bye", json=left, headers=stranger.headers)).status_code == 204
        refusals = set()
        for conversation in (ada.owns["conversation"], MISSING):
            for mode in ("send", "regenerate", "continue"):
                await page.send(start(conversation=conversation, parent=ada.owns["message"], mode=mode))
                frame = await page.next()
                repelled(frame["type"] == "refused", f"a stranger asks in a conversation: {frame}")
                refusals.add((mode, str(frame["error"])))
        repelled(len(refusals) == len({mode for mode, *_ in refusals}), f"refusals tell what exists: {refusals}")
        await nothing_has_changed(ada)


async def nothing_has_changed(ada: Victim) -> None:
    """Everything of Ada's is as it was, and goes on."""
    owns = ada.owns
    shown = (await ada.client.get(f"/gate/conversations/{owns['conversation']}")).json()
    repelled(shown["title"] == "Adas own", "the title is another one")
    repelled([said["content"] for said in shown["messages"]] == ["Adas question", "Adas answer"], "the text is another")
    keys_now = {row["id"]: row["state"] for row in (await ada.client.get("/gate/keys")).json()["data"]}
    repelled(keys_now[owns["key"]] == "active", "the key was revoked")
    turns = [row["turn"] for row in (await ada.client.get("/gate/chat")).json()["data"]]
    repelled(owns["turn"] in turns, "the turn was ended")
    waiting = [row["ticket_id"] for row in (await ada.client.get("/gate/queue")).json()["data"]]
    repelled(owns["request_id"] in waiting, "the request was ended")


# -- nobody asks whose it is -------------------------------------------------------------------------------


class Anybody(str):
    """The id of whoever is compared with it."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str)

    def __ne__(self, other: object) -> bool:
        return not isinstance(other, str)


def conversations_of_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def get(tx: Any, conversation_id: str, user_id: str) -> Any:
        row = (
            await tx.execute(select(*conversations._COLUMNS).where(chats.conversations.c.id == conversation_id))
        ).first()
        if row is None:
            raise conversations.missing()
        return conversations.Conversation(*row)

    monkeypatch.setattr(conversations, "get", get)


def images_of_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_anybody(image_id: str, user_id: str) -> Any:
        return select(chats.images.c.id, chats.images.c.media_type).where(chats.images.c.id == image_id)

    monkeypatch.setattr(images, "_of_user", of_anybody)


def rows_of_anybody(store: Any, column: str) -> Callable[[pytest.MonkeyPatch], None]:
    def switch_off(monkeypatch: pytest.MonkeyPatch) -> None:
        get: Callable[[Any, str], Awaitable[Any]] = store.get

        async def of_anybody(tx: Any, row_id: str) -> Any:
            return replace(await get(tx, row_id), **{column: Anybody("x")})

        monkeypatch.setattr(store, "get", of_anybody)

    return switch_off


def sessions_of_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one ends one's own; who a session belongs to is asked elsewhere as well."""

    async def of_anybody(tx: Any, session_id: str) -> Any:
        return replace(await sessions.get(tx, session_id), user_id=Anybody("x"))

    lenient = SimpleNamespace(**{**vars(sessions), "get": of_anybody})
    monkeypatch.setattr("llmgate.daemon.gate.sessions.sessions", lenient)


def turns_of_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Turns, "_of", lambda self, _, turn_id: self._turns.get(turn_id))


def places_of_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    position = MemoryQueueManager.position

    async def of_anybody(self: MemoryQueueManager, ticket_id: str) -> Any:
        found = await position(self, ticket_id)
        return None if found is None else replace(found, owner=Anybody("x"))

    monkeypatch.setattr(MemoryQueueManager, "position", of_anybody)


def lists_of_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    page = keys.page

    async def everybodys(tx: Any, **filters: Any) -> Any:
        return await page(tx, **{**filters, "user_id": None})

    monkeypatch.setattr(keys, "page", everybodys)


def conversations_of_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def everybodys(tx: Any, **filters: Any) -> Any:
        return [] if filters.get("after") else await all_conversations(tx)

    monkeypatch.setattr(conversations, "page", everybodys)


def cursors_of_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def everybodys(tx: Any, **filters: Any) -> Any:
        return await all_conversations(tx) if filters.get("after") else []

    monkeypatch.setattr(conversations, "page", everybodys)


async def all_conversations(tx: Any) -> Any:
    rows = await tx.execute(select(*conversations._COLUMNS).order_by(chats.conversations.c.id))
    return [conversations.Conversation(*row) for row in rows]


def everybody_administers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The routes hold the function that checks: it gets another body."""

    async def unchecked(caller: Principal) -> Principal:
        return caller

    monkeypatch.setattr(dependencies.admin, "__code__", unchecked.__code__)


TRIED = {"conversation", "message", "image", "key", "session", "turn", "request_id"}
"""What users own and name by an id in paths."""
ATTACKS: list[Attack[Site]] = [
    Attack("conversations by id", by_routes_of("conversation"), conversations_of_anybody, "found only with their user"),
    Attack("messages by id", by_routes_of("message"), conversations_of_anybody, "found only in their conversation"),
    Attack("pictures by id", by_routes_of("image"), images_of_anybody, "found only with their user"),
    Attack("keys by id", by_routes_of("key"), rows_of_anybody(keys, "user_id"), "compared with the caller"),
    Attack("sessions by id", by_routes_of("session"), sessions_of_anybody, "compared with the caller"),
    Attack("turns by id", by_routes_of("turn"), turns_of_anybody, "found only with their user"),
    Attack("places in the line by id", by_routes_of("request_id"), places_of_anybody, "compared with the caller"),
    Attack("another's turns over a WebSocket", by_frames, turns_of_anybody, "found only with their user"),
    Attack("another's conversations over a WebSocket", by_frames, conversations_of_anybody, "found with their user"),
    Attack("keys in lists", by_every_list, lists_of_everybody, "lists are narrowed to the caller"),
    Attack("conversations in lists", by_every_list, conversations_of_everybody, "lists are narrowed to the caller"),
    Attack("ids of the admin API", by_admin_routes, everybody_administers, "the role is checked before the id"),
    Attack("another's cursor", by_cursors, cursors_of_everybody, "lists are narrowed to the caller"),
]
