"""The same for one's own affairs under ``/gate``: keys, and conversations, which are no part of the activity log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from tests.admin.attempts import MISSING, Attempt, Stage, attempt
from tests.chat.harness import start
from tests.chat.keeping import begun, exchange
from tests.fakes import Script

KEYS, CONVERSATIONS, CHAT = "/gate/keys", "/gate/conversations", "/gate/chat"


# -- keys ----------------------------------------------------------------------------------------


@attempt("POST", KEYS)
async def create_own_key(stage: Stage) -> AsyncIterator[Attempt]:
    body, ada = {"name": stage.name("own")}, stage.site.user
    bad = stage.call("POST", KEYS, ada, json={**body, "level": 1})
    yield Attempt(stage.call("POST", KEYS, ada, json=body), bad, ("key.create",))


@attempt("POST", f"{KEYS}/{{key}}/revoke")
async def revoke_own_key(stage: Stage) -> AsyncIterator[Attempt]:
    ada = stage.site.user
    made = (await stage.call("POST", KEYS, ada, json={"name": stage.name("own")})()).json()
    foreign = await stage.made("keys", name=stage.name("key"))
    bad = stage.call("POST", f"{KEYS}/{foreign['id']}/revoke", ada)
    yield Attempt(stage.call("POST", f"{KEYS}/{made['id']}/revoke", ada), bad, ("key.revoke",))


# -- conversations -------------------------------------------------------------------------------


async def own_conversation(stage: Stage) -> tuple[str, str]:
    """The path of one of Ada's, and the id of the answer in it."""
    database = stage.site.gateway.services.database
    ada = (await stage.site.user.get("/gate/auth/me")).json()["id"]
    conversation = await begun(database, ada)
    answer = await exchange(database, conversation, "Why?", "Because.")
    return f"{CONVERSATIONS}/{conversation.id}", answer.id


@attempt("PATCH", f"{CONVERSATIONS}/{{conversation}}")
async def update_conversation(stage: Stage) -> AsyncIterator[Attempt]:
    (path, _), ada = await own_conversation(stage), stage.site.user
    bad = stage.call("PATCH", path, stage.site.admin, json={"title": "Mine now"})
    yield Attempt(stage.call("PATCH", path, ada, json={"title": "Named"}), bad)


@attempt("PATCH", f"{CONVERSATIONS}/{{conversation}}/messages/{{message}}")
async def correct_answer(stage: Stage) -> AsyncIterator[Attempt]:
    (path, answer), ada = await own_conversation(stage), stage.site.user
    bad = stage.call("PATCH", f"{path}/messages/{MISSING}", ada, json={"content": "x"})
    yield Attempt(stage.call("PATCH", f"{path}/messages/{answer}", ada, json={"content": "Therefore."}), bad)


@attempt("DELETE", f"{CONVERSATIONS}/{{conversation}}")
async def delete_conversation(stage: Stage) -> AsyncIterator[Attempt]:
    (path, _), ada = await own_conversation(stage), stage.site.user
    yield Attempt(stage.call("DELETE", path, ada), stage.call("DELETE", path, stage.site.admin))


@attempt("DELETE", CONVERSATIONS)
async def delete_conversations(stage: Stage) -> AsyncIterator[Attempt]:
    await own_conversation(stage)
    ada = stage.site.user
    bad = stage.call("DELETE", CONVERSATIONS, ada, params={"search": "x"})
    yield Attempt(stage.call("DELETE", CONVERSATIONS, ada), bad)


# -- turns ---------------------------------------------------------------------------------------


@attempt("POST", CHAT)
async def start_turn(stage: Stage) -> AsyncIterator[Attempt]:
    ada = stage.site.user
    bad = stage.call("POST", CHAT, ada, json=start(model="none"))
    yield Attempt(stage.call("POST", CHAT, ada, json=start(keep=False)), bad)


@attempt("POST", f"{CHAT}/{{turn}}/stop")
async def stop_turn(stage: Stage) -> AsyncIterator[Attempt]:
    site, gate = stage.site, stage.name("gate")
    site.ollama.script(Script(gate=gate))
    begun_before = len(site.ollama.requests)
    running = asyncio.ensure_future(stage.call("POST", CHAT, site.user, json=start(keep=False))())
    await site.ollama.request(begun_before)
    (turn,) = (await site.user.get(CHAT)).json()["data"]
    bad = stage.call("POST", f"{CHAT}/{turn['turn']}/stop", site.admin)
    yield Attempt(stage.call("POST", f"{CHAT}/{turn['turn']}/stop", site.user), bad)
    await running
    site.ollama.release(gate)


@attempt("POST", f"{CHAT}/bye")
async def leave_turns(stage: Stage) -> AsyncIterator[Attempt]:
    ada = stage.site.user
    bad = stage.call("POST", f"{CHAT}/bye", ada, json={"turns": "all"})
    yield Attempt(stage.call("POST", f"{CHAT}/bye", ada, json={"turns": [MISSING]}), bad)
