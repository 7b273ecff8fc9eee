"""The model is asked for a title once a conversation has had its first exchange, and delays nobody by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from llmgate.config import ChatSettings, QueueSettings
from llmgate.daemon.chat import titler as titler_module
from llmgate.daemon.chat.conduct import Exchanged
from llmgate.daemon.chat.titler import EXCERPT, TOPIC
from llmgate.daemon.chat.turn import Turn
from llmgate.daemon.queue.ticket import Outcome
from llmgate.daemon.store import conversations
from llmgate.daemon.store.conversations import Conversation
from llmgate.schemas.chat import Start
from tests.chat.harness import Frame, Page, Person, log_in, open_page, until
from tests.fakes import FakeOllama, Script, Seen
from tests.gateway.harness import CHAT, Running, run_gateway, settings_for, upstream_for

TITLE = Script(tokens=["Title: ", '"Monads', " explained", '."'])


@pytest.fixture
async def gateway(ollama: FakeOllama, tmp_path: Path) -> AsyncIterator[Running]:
    """One that asks for titles."""
    async with titling(ollama, tmp_path) as running:
        yield running


@asynccontextmanager
async def titling(
    ollama: FakeOllama, tmp_path: Path, titles: Literal["model", "first_line"] = "model", **queue: Any
) -> AsyncIterator[Running]:
    settings = settings_for(
        tmp_path / "state", [upstream_for(ollama)], queue=QueueSettings.model_validate({"settle_ms": 0, **queue})
    )
    async with run_gateway(settings.model_copy(update={"chat": ChatSettings(titles=titles)})) as running:
        yield running


async def stored(gateway: Running, person: Person, page: Page) -> Conversation:
    """The conversation of this page."""
    accepted = next(frame for frame in page.frames if frame["type"] == "accepted")
    async with gateway.services.database.read() as tx:
        return await conversations.get(tx, accepted["conversation"], person.id)


async def title_told(page: Page) -> Frame:
    """It may come before the last frame of the turn, which is gathered with others."""
    told = [frame for frame in page.frames if frame["type"] == "title"]
    return told[0] if told else await page.next("title")


def asks_for_title(seen: Seen) -> bool:
    return b"Write a title" in seen.body


async def settled(gateway: Running) -> None:
    """Wait until no title is asked for any more."""
    await until(lambda: not gateway.services.chat.titler._tasks)


async def test_the_model_gives_a_title_that_all_pages_of_the_user_are_told(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    ollama.script(Script(tokens=["A monad is", " a monoid."]))
    ollama.script(TITLE)
    async with open_page(gateway, ann) as page, open_page(gateway, ann) as other:
        await page.answer("What is a monad?", parameters={"num_ctx": 8192, "temperature": 1.5})
        conversation = await stored(gateway, ann, page)
        for one in (page, other):
            frame = await title_told(one)
            assert frame == {"type": "title", "conversation": conversation.id, "title": "Monads explained"}
        after = await stored(gateway, ann, page)
        assert (after.title, after.titled_by) == ("Monads explained", "auto")
        assert after.updated_at == conversation.updated_at
    asked = ollama.requests[1].json
    (message,) = asked["messages"]
    assert "What is a monad?" in message["content"]
    assert "A monad is a monoid." in message["content"]
    assert asked["options"] == {"num_predict": 40, "temperature": 0.2, "num_ctx": 8192}
    assert asked["think"] is False
    first, second = gateway.finished
    assert (first.submitted_level, second.submitted_level) == (3, 5)
    assert second.outcome is Outcome.COMPLETED
    assert second.principal_id == ann.id


async def test_the_title_of_a_whole_book_is_asked_for_with_its_beginning(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    async with open_page(gateway, ann) as page:
        await page.answer("long " * 1000)
        await ollama.wait_for(lambda: len(ollama.requests) == 2)
    assert len(ollama.requests[1].json["messages"][0]["content"]) < EXCERPT + 500


async def test_a_model_that_says_the_question_again_gives_no_title(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    ollama.script(Script())
    ollama.script(Script(tokens=["At most six words, in the ", "language of the conversation."]))
    async with open_page(gateway, ann) as page:
        await page.answer("Say hello.")
        await ollama.wait_for(lambda: len(ollama.requests) == 2)
        await settled(gateway)
        assert (await stored(gateway, ann, page)).title == "Say hello."


async def test_only_the_first_exchange_of_a_kept_conversation_asks(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    ollama.script(Script())
    ollama.script(TITLE)
    async with open_page(gateway, ann) as page:
        done = await page.answer("First")
        await title_told(page)
        conversation = await stored(gateway, ann, page)
        await page.answer("Second", conversation=conversation.id, parent=done["message"]["id"])
        await page.answer("Temporary", keep=False)
        await settled(gateway)
    assert [asks_for_title(seen) for seen in ollama.requests] == [False, True, False, False]


async def test_the_first_line_is_enough_where_the_operator_says_so(ollama: FakeOllama, tmp_path: Path) -> None:
    async with titling(ollama, tmp_path, "first_line") as gateway:
        ann = await log_in(gateway)
        async with open_page(gateway, ann) as page:
            await page.answer("# What is *this*?\nReally")
            assert (await stored(gateway, ann, page)).title == "What is this?"
            await settled(gateway)
    assert len(ollama.requests) == 1


async def test_a_user_who_was_faster_keeps_the_own_name(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    ollama.script(Script())
    ollama.script(Script(tokens=["Monads"], gate="named"))
    async with open_page(gateway, ann) as page:
        await page.answer("What is a monad?")
        conversation = await stored(gateway, ann, page)
        await ollama.request(1)
        async with gateway.services.database.begin() as tx:
            await conversations.update(tx, conversation.id, title="Mine", titled_by="user")
        ollama.release("named")
        await settled(gateway)
        assert (await stored(gateway, ann, page)).title == "Mine"
        assert "title" not in [frame["type"] for frame in page.frames]


@pytest.mark.parametrize(
    "script",
    [
        Script(tokens=["I'm sorry, I cannot do that."]),
        Script(tokens=[" ", "..."]),
        Script(thinking=["Hm"], tokens=[]),
        Script(status=500, body=b'{"error":"no"}'),
        Script(cut_after=10),
        Script(error_after=(1, "out of memory")),
    ],
)
async def test_whatever_goes_wrong_the_first_line_stays(
    gateway: Running, ollama: FakeOllama, ann: Person, script: Script
) -> None:
    ollama.script(Script())
    ollama.script(script)
    async with open_page(gateway, ann) as page:
        await page.answer("What is a monad?")
        await ollama.request(1)
        await settled(gateway)
        assert (await stored(gateway, ann, page)).title == "What is a monad?"


async def test_an_answer_that_was_stopped_is_no_exchange(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    ollama.script(Script(token_gates={1: "never"}))
    async with open_page(gateway, ann) as page:
        accepted = await page.ask("What is a monad?")
        await page.until_text("Hello")
        await page.send({"type": "stop", "turn": accepted["turn"]})
        await page.next("done")
        await settled(gateway)
    assert len(ollama.requests) == 1


async def test_a_title_waits_behind_everybody_and_not_for_long(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    gateway.services.chat.titler._seconds = 0.2
    ollama.script(Script(token_gates={1: "first"}))
    ollama.script(Script(tokens=["busy"], gate="busy"))
    async with open_page(gateway, ann) as page:
        await page.ask("What is a monad?")
        await page.until_text("Hello")
        batch = asyncio.create_task(gateway.post("/api/chat", CHAT))
        await gateway.waiting(1)
        ollama.release("first")
        await page.next("done")
        await gateway.waiting(1)
        await settled(gateway)
        await gateway.waiting(0)
        ollama.release("busy")
        assert (await batch).status_code == 200
    assert [event.outcome for event in gateway.finished] == [
        Outcome.COMPLETED,
        Outcome.CANCELLED_IN_QUEUE,
        Outcome.COMPLETED,
    ]
    assert [asks_for_title(seen) for seen in ollama.requests] == [False, False]


async def test_where_the_line_is_full_no_title_waits(ollama: FakeOllama, tmp_path: Path) -> None:
    async with titling(ollama, tmp_path, max_waiting=1) as gateway:
        ann = await log_in(gateway)
        async with gateway.services.database.begin() as tx:
            made = await conversations.create(
                tx, user_id=ann.id, title="First", model="llama3.2", system=None, parameters={}
            )
        turn = Turn(Start(ref="r", model="llama3.2"), user_id=ann.id, session_id=ann.session)
        turn.conversation = made.id
        ollama.script(Script(gate="busy"), times=2)
        batches = []
        for number in range(2):
            batches.append(asyncio.create_task(gateway.post("/api/chat", CHAT)))
            await ollama.request(0)
            await gateway.waiting(number)
        gateway.services.chat.titler.exchanged(Exchanged(turn, "What?", "That."))
        await settled(gateway)
        assert gateway.finished[0].outcome is Outcome.REJECTED_FULL
        ollama.release("busy")
        assert [answer.status_code for answer in await asyncio.gather(*batches)] == [200, 200]


async def test_only_so_many_are_asked_for_at_once(
    gateway: Running, ollama: FakeOllama, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(titler_module, "AT_ONCE", 0)
    async with open_page(gateway, ann) as page:
        await page.answer("What is a monad?")
        await settled(gateway)
        assert (await stored(gateway, ann, page)).title == "What is a monad?"
    assert len(ollama.requests) == 1


async def test_a_deleted_conversation_and_an_ended_session_need_no_title(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    ollama.script(Script())
    ollama.script(Script(gate="title"))
    async with open_page(gateway, ann) as page:
        await page.answer("What is a monad?")
        conversation = await stored(gateway, ann, page)
        await ollama.request(1)
        async with gateway.services.database.begin() as tx:
            await conversations.delete(tx, conversation.id)
        ollama.release("title")
        await settled(gateway)
        assert "title" not in [frame["type"] for frame in page.frames]


async def test_a_daemon_that_shuts_down_waits_for_no_title(ollama: FakeOllama, tmp_path: Path) -> None:
    ollama.script(Script())
    ollama.script(Script(gate="never"))
    async with titling(ollama, tmp_path) as gateway:
        ann = await log_in(gateway)
        async with open_page(gateway, ann) as page:
            await page.answer("What is a monad?")
            await ollama.request(1)
            await gateway.services.chat.titler.close()
            assert not gateway.services.chat.titler._tasks
    assert ollama.requests[1].disconnected.is_set()


async def test_a_title_that_another_daemon_has_given_is_told_here(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    async with gateway.services.database.begin() as tx:
        made = await conversations.create(tx, user_id=ann.id, title="From afar", model="m", system=None, parameters={})
    titler = gateway.services.chat.titler
    async with open_page(gateway, ann) as page:
        titler._heard("other", [ann.id, made.id])
        assert (await title_told(page))["title"] == "From afar"
        titler._heard("other", ["somebody else", made.id])
        titler._heard("other", [ann.id, "unknown"])
        await settled(gateway)
    assert not titler._tasks


async def test_the_other_daemons_are_told_ids_and_not_the_title(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    told: list[tuple[str, Any]] = []
    gateway.services.queue.tell = lambda topic, body, to=None: told.append((topic, body))  # type: ignore[method-assign]
    ollama.script(Script())
    ollama.script(TITLE)
    async with open_page(gateway, ann) as page:
        await page.answer("What is a monad?")
        await title_told(page)
        await settled(gateway)
        conversation = await stored(gateway, ann, page)
    assert [body for topic, body in told if topic == TOPIC] == [[ann.id, conversation.id]]
