"""What a second review has found, and must not come back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from llmgate.daemon.auth.principals import Principal, PrincipalKind, Role
from llmgate.daemon.chat import asking, turns
from llmgate.daemon.chat.following import Follower
from llmgate.daemon.chat.turn import Turn
from llmgate.daemon.chat.turns import Turns
from llmgate.daemon.store import messages
from llmgate.schemas.chat import Start
from tests.chat.harness import MODEL, Person, http_of, open_page, start, until
from tests.chat.test_mended import filled
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import Running

# -- deleted in the moment in which it is accepted ---------------------------------------------------


@pytest.mark.parametrize("which", ["one", "all"])
@pytest.mark.parametrize("is_new", [True, False])
async def test_a_conversation_that_is_deleted_before_its_turn_is_accepted_ends_it(
    gateway: Running, ollama: FakeOllama, ann: Person, monkeypatch: pytest.MonkeyPatch, which: str, is_new: bool
) -> None:
    keeper, kept, go = gateway.services.chat.conductor._keeper, asyncio.Event(), asyncio.Event()
    begin = keeper.begin

    async def slowly(*of: Any) -> Any:
        asked = await begin(*of)
        kept.set()
        await go.wait()
        return asked

    async with open_page(gateway, ann) as page, http_of(gateway, ann) as client:
        where: dict[str, Any] = {}
        if not is_new:
            done = await page.answer("First")
            where = {"conversation": page.frames[1]["conversation"], "parent": done["message"]["id"]}
        monkeypatch.setattr(keeper, "begin", slowly)
        await page.send(start("Forget me", **where))
        await kept.wait()
        [found] = (await client.get("/gate/conversations")).json()["data"]
        path = f"/{found['id']}" if which == "one" else ""
        assert (await client.delete(f"/gate/conversations{path}")).status_code in (200, 204)
        go.set()
        assert (await page.next("done"))["outcome"] == "stopped"
    assert "Forget me" not in json.dumps([request.json for request in ollama.requests])


# -- one good-bye is that of one page ----------------------------------------------------------------


@asynccontextmanager
async def followed(count: int) -> AsyncIterator[tuple[Turns, Turn, list[Follower]]]:
    """A turn that so many pages follow."""

    async def conduct(turn: Turn, *_: object) -> None:
        turn.accept(None, None, None, "")
        await turn.stopping.wait()

    those = Turns(conduct, grace=60)
    caller = Principal(PrincipalKind.SESSION, "ann", "ann", Role.USER, 3, "ann", session_id="s")
    first = those.start(caller, Start(ref="r", model="m", content="what?", keep=False), lambda: None)
    await first.turn.settled.wait()
    others = [cast("Follower", those.attach("ann", first.turn_id, lambda: None)) for _ in range(count - 1)]
    yield those, first.turn, [first, *others]
    first.turn.stop()
    await those.close()


async def test_who_is_lost_behind_the_good_bye_of_another_may_come_back() -> None:
    async with followed(2) as (those, turn, (one, other)):
        those.bye("ann", [turn.id])
        those.leave(one, bye=False)
        those.leave(other, bye=False)
        assert not turn.stopping.is_set()


async def test_a_good_bye_when_nobody_is_left_takes_the_grace_of_one_alone() -> None:
    async with followed(2) as (those, turn, (one, other)):
        those.leave(one, bye=False)
        those.leave(other, bye=False)
        those.bye("ann", [turn.id, turn.id])
        assert not turn.stopping.is_set()
        those.bye("ann", [turn.id])
        assert turn.stopping.is_set()


@pytest.mark.parametrize("seconds", [5.0, 0.0])
async def test_who_was_lost_before_the_good_bye_of_another_may_come_back(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    async with followed(2) as (those, turn, (one, other)):
        those.leave(other, bye=False)
        those.bye("ann", [turn.id])
        those.leave(one, bye=False)
        monkeypatch.setattr(turns, "BYE_SECONDS", seconds)
        assert not turn.stopping.is_set()
        again = those.attach("ann", turn.id, lambda: None)
        assert again is not None
        those.leave(again, bye=True)
        assert turn.stopping.is_set()


async def test_as_many_good_byes_as_pages_end_it() -> None:
    async with followed(3) as (those, turn, pages):
        for _ in pages:
            those.bye("ann", [turn.id])
        for page in pages:
            assert not turn.stopping.is_set()
            those.leave(page, bye=False)
        assert turn.stopping.is_set()


async def test_a_page_that_was_lost_long_before_it_is_closed_ends_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "BYE_SECONDS", 0.0)
    async with followed(1) as (those, turn, (page,)):
        those.leave(page, bye=False)
        assert not turn.stopping.is_set()
        those.bye("ann", [turn.id])
        assert turn.stopping.is_set()


async def test_who_came_back_and_says_good_bye_ends_it() -> None:
    async with followed(1) as (those, turn, (page,)):
        those.leave(page, bye=False)
        again = those.attach("ann", turn.id, lambda: None)
        assert again is not None
        those.leave(again, bye=True)
        assert turn.stopping.is_set()


# -- memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["{id}", "{id}/export", "{id}/export?format=markdown"])
async def test_large_answers_are_bounded_before_they_are_read(
    gateway: Running, ann: Person, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    url = f"/gate/conversations/{path.format(id=await filled(gateway, ann, 10))}"
    name = "path" if "markdown" in path else "tree"
    read, go, reading = getattr(messages, name), asyncio.Event(), 0

    async def slowly(*of: Any) -> Any:
        nonlocal reading
        reading += 1
        await go.wait()
        return await read(*of)

    monkeypatch.setattr(messages, name, slowly)
    async with http_of(gateway, ann) as client:
        first = [asyncio.create_task(client.get(url)) for _ in range(4)]
        await until(lambda: reading == 4)
        refused = await client.get(url)
        export = await client.get("/gate/conversations/export")
        go.set()
        answers = await asyncio.gather(*first)
        for one in (refused, export):
            assert (one.status_code, one.json()["code"]) == (429, "too_many_concurrent")
            assert one.headers["retry-after"] == "1"
        assert [answer.status_code for answer in answers] == [200] * 4
        assert (await client.get(url)).status_code == 200
    await until(lambda: not gateway.services.reads._of)


def test_one_wide_character_makes_all_of_its_text_wide() -> None:
    wide = "x" * 9_999 + "\N{GRINNING FACE}"
    said = [{"role": "user", "content": wide}]
    question = Start.model_validate({"ref": "r", "model": MODEL, "content": wide, "system": wide, "history": said})
    assert asking.size_of(question) >= 3 * 40_000


async def test_a_question_counts_as_what_it_takes(
    gateway: Running, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, bodies, go = gateway.services.chat, gateway.services.gateway.bodies, asyncio.Event()
    caller = chat.caller

    async def slowly(session_id: str) -> Principal:
        await go.wait()
        return await caller(session_id)

    monkeypatch.setattr(chat, "caller", slowly)
    async with open_page(gateway, ann) as page:
        await page.send(json.dumps(start("x" * 199_999 + "\N{GRINNING FACE}"), ensure_ascii=False))
        await until(lambda: bodies._held >= 800_000)
        gateway.services.live.use({"queue.max_waiting_bytes": 1024 * 1024})
        go.set()
        refused = await page.next("refused")
        assert refused["error"]["code"] == "limit_exceeded"
        await page.send(json.dumps(start("x" * 199_999 + "\N{GRINNING FACE}", ref="two"), ensure_ascii=False))
        refused = await page.next("refused")
        assert (refused["ref"], refused["error"]["code"]) == ("two", "limit_exceeded")
    await until(lambda: bodies._held == 0)


# -- whose words these are ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, b'{"error":"boom"}', "boom"),
        (500, b'{"detail":"boom"}', "boom"),
        (200, b'{"error":"boom"}\n', "boom"),
        (500, b"", "status 500."),
    ],
)
async def test_the_words_of_a_models_server_are_told_as_such(
    gateway: Running, ollama: FakeOllama, ann: Person, status: int, body: bytes, words: str
) -> None:
    ollama.default = Script(status=status, body=body, content_type="application/x-ndjson")
    async with open_page(gateway, ann) as page:
        done = await page.answer()
    assert done["error"]["detail"] == f"The model's server said: {words}"
    question = {"model": MODEL, "messages": [{"role": "user", "content": "?"}]}
    assert "The model's server" not in (await gateway.client.post("/api/chat", json=question)).text


# -- a question that is repeated ---------------------------------------------------------------------


async def test_only_who_repeats_a_question_makes_the_other_daemons_look_for_it(
    gateway: Running, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def follow_ref(_: str, ref: str, __: Any) -> None:
        asked.append(ref)

    async def running(_: str) -> list[Any]:
        return []

    async def close() -> None:
        """Nothing."""

    peers = SimpleNamespace(follow_ref=follow_ref, running=running, close=close)
    monkeypatch.setattr(gateway.services.chat, "peers", peers)
    async with open_page(gateway, ann) as page:
        await page.ask(ref="one")
        await page.send(start(ref="one"))
        await page.next("snapshot")
        await page.send(start(ref="one", again=True))
        await page.next("snapshot")
        assert asked == []
        await page.ask(ref="two", again=True)
        assert asked == ["two"]
