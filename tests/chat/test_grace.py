"""A turn whose followers go: lost ones may come back, those who say so do not."""

from __future__ import annotations

import asyncio

import pytest

from llmgate.daemon.chat.turns import GRACE_SECONDS, Turns
from llmgate.daemon.queue.ticket import Outcome
from tests.chat.harness import Page, Person, open_page, text_of, until
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import Running

GRACE = 1.0


@pytest.fixture(autouse=True)
async def short(gateway: Running) -> None:
    gateway.services.chat.turns.grace = GRACE


async def test_the_grace_is_half_a_minute(gateway: Running, ann: Person) -> None:
    async def conduct(*_: object) -> None:
        """Nothing."""

    assert GRACE_SECONDS == Turns(conduct).grace == 30


async def talking(page: Page, ollama: FakeOllama) -> str:
    """A turn in the middle of its answer."""
    ollama.script(Script(token_gates={1: "go"}))
    turn = await page.ask()
    await page.until_text("Hello")
    return str(turn["turn"])


@pytest.mark.parametrize("how", ["1000", "1001", "bye"])
async def test_who_says_so_ends_its_turn_at_once(gateway: Running, ollama: FakeOllama, ann: Person, how: str) -> None:
    async with open_page(gateway, ann) as page:
        await talking(page, ollama)
        if how == "bye":
            await page.send({"type": "bye"})
        else:
            await page.leave(int(how))
        async with asyncio.timeout(GRACE * 0.8):
            await ollama.requests[0].disconnected.wait()
    assert (await gateway.outcome()).outcome is Outcome.CLIENT_DISCONNECTED


@pytest.mark.parametrize("how", ["cut", "4000"])
async def test_who_is_lost_has_the_grace_to_come_back(
    gateway: Running, ollama: FakeOllama, ann: Person, how: str
) -> None:
    async with open_page(gateway, ann) as page:
        turn = await talking(page, ollama)
        await (page.lose() if how == "cut" else page.leave(4000))
    connections = gateway.services.chat.connections
    await until(lambda: not connections.is_here(ann.id))
    left = asyncio.get_running_loop().time()
    async with asyncio.timeout(GRACE * 3):
        await ollama.requests[0].disconnected.wait()
    assert asyncio.get_running_loop().time() - left > GRACE * 0.8
    assert (await gateway.outcome()).outcome is Outcome.CLIENT_DISCONNECTED
    async with open_page(gateway, ann) as page:
        await page.send({"type": "attach", "turn": turn})
        assert (await page.next("done"))["outcome"] == "stopped"


async def test_who_comes_back_loses_nothing_and_gets_nothing_twice(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    words = [f"word{number} " for number in range(40)]
    ollama.script(Script(tokens=words, token_gates={6: "five", 21: "twenty"}, thinking=["Hm"]))
    async with open_page(gateway, ann) as page:
        turn = (await page.ask())["turn"]
        await page.until_text("word4")
        await page.lose()
    ollama.release("five")
    await ollama.wait_for(lambda: ollama.requests[0].tokens_sent == 21)
    async with open_page(gateway, ann) as page:
        assert [running["turn"] for running in page.frames[0]["turns"]] == [turn]
        await page.send({"type": "attach", "turn": turn})
        snapshot = await page.next("snapshot")
        assert snapshot["state"] == "answering"
        assert snapshot["thinking"] == "Hm"
        assert "".join(words).startswith(snapshot["content"])
        ollama.release("twenty")
        done = await page.next("done")
    assert text_of(page.frames) == done["message"]["content"] == "".join(words)
    assert done["outcome"] == "completed"


async def test_a_page_that_lost_the_thread_gets_a_new_one(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    async with open_page(gateway, ann) as page:
        turn = await talking(page, ollama)
        await page.send({"type": "attach", "turn": turn})
        await page.next("snapshot")
        ollama.release("go")
        await page.next("done")
        assert text_of(page.frames) == "Hello, world!"
        await page.leave()


async def test_two_pages_follow_one_turn(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    async with open_page(gateway, ann) as page, open_page(gateway, ann) as other:
        turn = await talking(page, ollama)
        await other.send({"type": "attach", "turn": turn})
        await other.next("snapshot")
        await page.leave()  # says so, but is not the last one
        ollama.release("go")
        done = await other.next("done")
    assert text_of(other.frames) == "Hello, world!"
    assert done["outcome"] == "completed"


async def test_the_last_one_who_says_so_does_not_end_it_for_one_who_may_come_back(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    async with open_page(gateway, ann) as page, open_page(gateway, ann) as other:
        turn = await talking(page, ollama)
        await other.send({"type": "attach", "turn": turn})
        await other.next("snapshot")
        await page.lose()
        watched = gateway.services.chat.turns._turns[turn]
        await until(lambda: len(watched.followers) == 1)
        await other.leave()
        await until(lambda: not watched.followers)
    assert not watched.turn.stopping.is_set()
    async with open_page(gateway, ann) as page:
        await page.send({"type": "attach", "turn": turn})
        ollama.release("go")
        assert (await page.next("done"))["outcome"] == "completed"


async def test_an_ended_turn_is_forgotten_after_the_grace(gateway: Running, ann: Person) -> None:
    async with open_page(gateway, ann) as page:
        turn = (await page.ask())["turn"]
        await page.next("done")
        turns = gateway.services.chat.turns
        assert turns.has(ann.id, turn)
        await until(lambda: not turns.has(ann.id, turn))
        await page.send({"type": "attach", "turn": turn})
        assert await page.next() == {"type": "gone", "turn": turn}
    assert not any((turns._turns, turns._by_ref, turns._ended, turns._running))


async def test_who_leaves_while_its_question_is_taken_ends_it(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    """A page that sends a question and is closed in the same moment."""
    ollama.script(Script(hang=True))
    async with open_page(gateway, ann) as page:
        await page.send('{"type":"start","ref":"quick","content":"Hello","model":"llama3.2"}')
        await page.leave()
    await gateway.until(lambda: bool(gateway.finished or gateway.refused))
    turns = gateway.services.chat.turns
    await until(lambda: not turns._running)
