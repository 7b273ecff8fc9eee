"""The chat over plain HTTP, for clients that have no WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any, cast

import httpx
import pytest

from llmgate.daemon import outgoing
from llmgate.daemon.admin import large
from llmgate.daemon.chat import stream as chat_stream
from llmgate.daemon.chat.connections import MOST_CONNECTIONS
from llmgate.daemon.queue.ticket import Outcome
from llmgate.daemon.store.sessions import revoke
from tests.chat.harness import Frame, Person, http_of, log_in, open_page, start, text_of, until
from tests.chat.test_kinds_of_turns import PNG, picture
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import Running


class Lines:
    """The frames of an answer, as they come."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.frames: list[Frame] = []
        self.blank = 0
        self._lines = answer.aiter_lines()

    async def next(self, *types: str, timeout: float = 5.0) -> Frame:
        async with asyncio.timeout(timeout):
            async for line in self._lines:
                if not line:
                    self.blank += 1
                    if types == ("blank",):
                        return {}
                    continue
                self.frames.append(json.loads(line))
                if not types or self.frames[-1]["type"] in types:
                    return self.frames[-1]
        raise EOFError

    async def rest(self) -> list[Frame]:
        with_all = [line async for line in self._lines if line]
        self.frames += map(json.loads, with_all)
        return self.frames


@asynccontextmanager
async def ask(client: httpx.AsyncClient, **changes: Any) -> AsyncIterator[Lines]:
    async with client.stream("POST", "/gate/chat", json=start(**changes)) as answer:
        yield Lines(answer)


@asynccontextmanager
async def follow(client: httpx.AsyncClient, turn: str) -> AsyncIterator[Lines]:
    async with client.stream("GET", f"/gate/chat/{turn}") as answer:
        yield Lines(answer)


async def test_ask_and_read(gateway: Running, ann: Person) -> None:
    async with http_of(gateway, ann) as client, ask(client, content="Hello") as lines:
        assert lines.answer.status_code == 200
        assert lines.answer.headers["content-type"] == "application/x-ndjson"
        assert lines.answer.headers["x-accel-buffering"] == "no"
        assert lines.answer.headers["cache-control"] == "no-store, no-transform"
        frames = await lines.rest()
    assert [frames[0]["type"], frames[-1]["type"]] == ["accepted", "done"]
    assert text_of(frames) == frames[-1]["message"]["content"] == "Hello, world!"
    assert frames[-1]["error"] is None  # nulls are written: a page need not tell absent from null


async def test_running_turns_can_be_listed_followed_and_stopped(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    ollama.script(Script(hang_after=2))
    async with http_of(gateway, ann) as client, ask(client) as lines:
        turn = (await lines.next("accepted"))["turn"]
        await lines.next("token")
        listed = (await client.get("/gate/chat")).json()
        assert [(one["turn"], one["state"]) for one in listed["data"]] == [(turn, "answering")]
        async with follow(client, turn) as other:
            assert (await other.next())["type"] == "snapshot"
            assert (await client.post(f"/gate/chat/{turn}/stop")).status_code == 204
            assert (await other.next("done"))["outcome"] == "stopped"
            assert (await lines.next("done"))["outcome"] == "stopped"
            assert text_of(lines.frames) == text_of(other.frames) == "Hello,"
        assert (await client.get("/gate/chat")).json()["data"] == []
    assert ollama.requests[0].disconnected.is_set()


async def test_a_lost_stream_is_taken_up_again(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    gateway.services.chat.turns.grace = 2.0
    ollama.script(Script(token_gates={1: "go"}))
    async with http_of(gateway, ann) as client:
        async with ask(client, ref="mine") as lines:
            turn = (await lines.next("accepted"))["turn"]
            await lines.next("token")
        async with ask(client, ref="mine") as again:  # as who does not know whether it was heard
            assert (await again.next())["turn"] == turn
            ollama.release("go")
            frames = await again.rest()
    assert frames[0]["type"] == "snapshot"
    assert text_of(frames) == "Hello, world!"
    assert len(ollama.requests) == 1


@pytest.mark.parametrize("first", ["bye", "stream"])
async def test_a_closed_page_ends_its_turn_at_once(
    gateway: Running, ollama: FakeOllama, ann: Person, first: str
) -> None:
    """The stream's end and the good-bye come in any order."""
    ollama.script(Script(hang_after=1))
    chat = gateway.services.chat
    async with http_of(gateway, ann) as client, http_of(gateway, ann) as beacon:
        async with ask(client) as lines:
            turn = (await lines.next("accepted"))["turn"]
            await lines.next("token")
            if first == "bye":
                assert (await beacon.post("/gate/chat/bye", json={"turns": [turn]})).status_code == 204
        await until(lambda: len(chat.connections) == 0)
        if first == "stream":
            assert chat.turns.running(ann.id)
            assert (await beacon.post("/gate/chat/bye", json={"turns": [turn]})).status_code == 204
    async with asyncio.timeout(1):
        await ollama.requests[0].disconnected.wait()
    assert (await gateway.outcome()).outcome is Outcome.CLIENT_DISCONNECTED


async def test_a_good_bye_does_not_end_what_others_follow(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    ollama.script(Script(token_gates={1: "go"}))
    async with http_of(gateway, ann) as client, open_page(gateway, ann) as page:
        async with ask(client) as lines:
            turn = (await lines.next("accepted"))["turn"]
            await page.send({"type": "attach", "turn": turn})
            await page.next("snapshot")
            await client.post("/gate/chat/bye", json={"turns": [turn, "another"]})
        ollama.release("go")
        assert (await page.next("done"))["outcome"] == "completed"


async def test_an_empty_line_keeps_a_silent_stream_open(
    gateway: Running, ollama: FakeOllama, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chat_stream.BLANK_SECONDS == 5
    monkeypatch.setattr(chat_stream, "BLANK_SECONDS", 0.05)
    ollama.script(Script(gate="go"))
    async with http_of(gateway, ann) as client, ask(client) as lines:
        await lines.next("started")
        await lines.next("blank")
        ollama.release("go")
        await lines.next("done")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"model": "nothing"}, 404, "model_not_found"),
        ({"content": ""}, 400, "invalid_request"),
        ({"content": 7}, 400, "invalid_request"),
        ({"conversation": "0" * 26}, 404, "not_found"),
        ({"ref": ""}, 400, "invalid_request"),
    ],
)
async def test_what_is_refused_is_refused_with_a_status(
    gateway: Running, ann: Person, changes: dict[str, Any], status: int, code: str
) -> None:
    async with http_of(gateway, ann) as client:
        answer = await client.post("/gate/chat", json=start(**changes))
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert len(gateway.services.chat.connections) == 0


async def test_nobody_elses_turn_is_there(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    bob = await log_in(gateway, "bob")
    ollama.script(Script(hang_after=1))
    async with http_of(gateway, ann) as client, http_of(gateway, bob) as other, ask(client) as lines:
        turn = (await lines.next("accepted"))["turn"]
        assert (await other.get(f"/gate/chat/{turn}")).status_code == 404
        assert (await other.post(f"/gate/chat/{turn}/stop")).status_code == 404
        assert (await other.post("/gate/chat/bye", json={"turns": [turn]})).status_code == 204
        assert (await other.get("/gate/chat")).json()["data"] == []
        assert gateway.services.chat.turns.running(ann.id)
        await client.post(f"/gate/chat/{turn}/stop")


async def test_pictures_need_larger_bodies_and_have_their_own_bound(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    pictures = [picture(PNG + bytes(3_000_000))] * 2
    async with http_of(gateway, ann) as client:
        async with ask(client, images=pictures, keep=False) as lines:
            assert (await lines.rest())[-1]["outcome"] == "completed"
        assert ollama.requests[0].json["messages"][0]["images"] == [one["data"] for one in pictures]
        answer = await client.post("/gate/chat", content=b" " * (large.LARGEST + 1))
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert "24576 KiB" in answer.json()["detail"]
        assert (await client.post("/gate/chat/bye", content=b" " * 300_000)).status_code == 413


async def test_nothing_of_a_large_body_is_read_for_a_stranger(gateway: Running) -> None:
    """Else it would be found out that it is too large."""
    body = b" " * (large.LARGEST + 1)
    answer = await gateway.client.post("/gate/chat", content=body, headers={"authorization": "Bearer nonsense"})
    assert answer.status_code == 401
    assert (await gateway.client.post("/gate/chat", content=body)).status_code == 403  # a key is no person


async def test_streams_count_as_connections_and_end_with_the_session(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    ollama.script(Script(hang_after=1))
    async with http_of(gateway, ann) as client, ask(client) as lines:
        turn = (await lines.next("accepted"))["turn"]
        chat = gateway.services.chat
        chat.connections._of_user[ann.id] |= {cast("Any", object()) for _ in range(MOST_CONNECTIONS - 1)}
        answer = await client.get(f"/gate/chat/{turn}")
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_concurrent")
        chat.connections._of_user[ann.id] = {
            one for one in chat.connections._of_user[ann.id] if isinstance(one, chat_stream.TurnStream)
        }
        async with gateway.services.database.begin() as tx:
            await revoke(tx, ann.session)
        async with asyncio.timeout(1):
            gateway.services.rights_changed()
            await lines.rest()
            await ollama.requests[0].disconnected.wait()


async def test_a_client_that_takes_nothing_is_let_go(
    gateway: Running, ollama: FakeOllama, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outgoing.STALL_SECONDS == 60
    monkeypatch.setattr(outgoing, "STALL_SECONDS", 0.2)
    # Else the kernel would take all of it.
    gateway.server.servers[0].sockets[0].setsockopt(SOL_SOCKET, SO_SNDBUF, 4096)
    ollama.script(Script(tokens=["x" * 10_000] * 90, token_gates={89: "end"}))
    chat = gateway.services.chat
    async with http_of(gateway, ann) as client:
        request = client.build_request("POST", "/gate/chat", json=start(keep=False))
        answer = await client.send(request, stream=True)
        await until(lambda: len(chat.connections) == 0)
        (turn,) = chat.turns.running(ann.id)  # it may come back
        assert (await client.post(f"/gate/chat/{turn.turn}/stop")).status_code == 204
        with pytest.raises(httpx.HTTPError):
            await answer.aread()
