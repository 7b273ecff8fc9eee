"""A turn from the question to its answer, and everything that can end it earlier."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llmgate.daemon.chat.turns import MOST_TURNS
from llmgate.daemon.queue.ticket import Outcome
from llmgate.daemon.store import messages
from tests.chat.harness import Page, Person, log_in, open_page, start, text_of
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT, Running

HELD = Script(gate="held")


async def kept(gateway: Running, conversation: str) -> list[messages.Message]:
    async with gateway.services.database.read() as tx:
        return await messages.tree(tx, conversation)


async def test_a_question_is_answered_and_both_are_kept(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    ollama.script(Script(thinking=["Hm", "m."]))
    async with open_page(gateway, ann) as page:
        accepted = await page.ask("What is it?\nReally?")
        done = await page.next("done")
    types = [frame["type"] for frame in page.frames]
    assert types[:2] == ["hello", "accepted"]
    assert set(types[2:-1]) <= {"queued", "started", "thinking", "token"}
    assert text_of(page.frames) == done["message"]["content"] == "Hello, world!"
    assert text_of(page.frames, "thinking") == done["message"]["thinking"] == "Hmm."
    assert (done["outcome"], done["error"]) == ("completed", None)
    assert done["message"]["id"] == accepted["message"]
    assert (done["usage"]["input_tokens"], done["usage"]["output_tokens"]) == (7, 4)
    assert done["usage"]["waited"] <= done["usage"]["first_token"] <= done["usage"]["duration"]
    question, answer = await kept(gateway, accepted["conversation"])
    assert (question.role, question.content, question.parent) == ("user", "What is it?\nReally?", None)
    assert question.id == accepted["user_message"]["id"] == accepted["parent"] == answer.parent
    assert (answer.content, answer.thinking, answer.outcome) == ("Hello, world!", "Hmm.", "completed")
    assert (answer.input_tokens, answer.output_tokens, answer.model) == (7, 4, "llama3.2")


async def test_it_is_counted_like_every_request(gateway: Running, ann: Person) -> None:
    async with open_page(gateway, ann) as page:
        await page.answer()
    finished = await gateway.outcome()
    assert (finished.protocol, finished.route, finished.outcome) == ("chat", "/api/chat", Outcome.COMPLETED)
    assert (finished.principal_kind, finished.user_id, finished.submitted_level) == ("session", ann.id, 3)
    await gateway.services.usage.flush()
    metrics = (await gateway.services.observers.metrics.render()).decode()
    assert 'llmgate_requests_total{level="3",outcome="completed",protocol="chat"} 1.0' in metrics


async def test_what_the_model_is_sent(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    async with open_page(gateway, ann) as page:
        first = await page.answer("One")
        parameters = {"temperature": 0.5, "num_predict": 9, "stop": ["END"], "think": False}
        conversation = (
            await page.ask(
                "Two",
                parent=first["message"]["id"],
                conversation=page.frames[1]["conversation"],
                system="Be brief.",
                parameters=parameters,
            )
        )["conversation"]
        await page.next("done")
    sent = ollama.requests[1].json
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Hello, world!"},
        {"role": "user", "content": "Two"},
    ]
    assert sent["options"] == {"temperature": 0.5, "num_predict": 9, "stop": ["END"]}
    assert (sent["think"], sent["stream"]) == (False, True)
    detail = (await gateway.client.get(f"/gate/conversations/{conversation}", headers=ann.headers)).json()
    assert (detail["system"], detail["parameters"]["temperature"]) == ("Be brief.", 0.5)


# -- in line -----------------------------------------------------------------------------------


async def test_who_waits_is_told_where_it_stands(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    ollama.script(HELD)
    holder = asyncio.create_task(gateway.post("/api/chat", {**CHAT, "stream": False}))
    await ollama.request(0)
    async with open_page(gateway, ann) as page:
        await page.ask("One")
        first = await page.next("queued")
        await page.ask("Two")
        second = await page.next("queued")
        assert (first["ahead"], first["level"], first["submitted_level"], first["aged"]) == (0, 3, 3, False)
        assert second["ahead"] == 1
        better = asyncio.create_task(gateway.post("/api/chat", {**CHAT, "stream": False}))
        grown = await page.next("queued")
        assert (grown["turn"], grown["ahead"]) == (first["turn"], 1)
        ollama.release("held")
        started = await page.next("started")
        assert (started["turn"], started["loading"]) == (first["turn"], False)
        assert started["waited"] > 0
        await page.next("done")
        assert (await page.next("done"))["turn"] == second["turn"]
    assert (await holder).status_code == (await better).status_code == 200


async def test_a_model_that_is_not_in_memory_is_loading(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    ollama.loaded = []
    await gateway.services.upstreams.refresh(["fake"])
    async with open_page(gateway, ann) as page:
        await page.ask()
        assert (await page.next("started"))["loading"] is True


async def test_one_that_is_stopped_in_line_never_starts(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    ollama.script(HELD)
    holder = asyncio.create_task(gateway.post("/api/chat", {**CHAT, "stream": False}))
    await ollama.request(0)
    async with open_page(gateway, ann) as page:
        turn = await page.ask()
        await page.next("queued")
        await page.send({"type": "stop", "turn": turn["turn"]})
        done = await page.next("done")
    assert (done["outcome"], done["error"], done["message"]["content"]) == ("stopped", None, "")
    assert (await gateway.outcome()).outcome is Outcome.CANCELLED_IN_QUEUE
    ollama.release("held")
    await holder
    assert len(ollama.requests) == 1
    # The question stays, to be asked again; an answer of no word is none.
    assert [message.role for message in await kept(gateway, turn["conversation"])] == ["user"]


# -- stopping and failing ------------------------------------------------------------------------


async def test_stop_ends_the_generation_at_once(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    ollama.script(Script(hang_after=2))
    async with open_page(gateway, ann) as page:
        turn = await page.ask()
        await page.until_text("Hello,")
        await page.send({"type": "stop", "turn": turn["turn"]})
        async with asyncio.timeout(1):
            await ollama.requests[0].disconnected.wait()
        done = await page.next("done")
    assert (done["outcome"], done["message"]["content"]) == ("stopped", "Hello,")
    assert (await gateway.outcome()).outcome is Outcome.CLIENT_DISCONNECTED
    answer = (await kept(gateway, turn["conversation"]))[1]
    assert (answer.content, answer.outcome, answer.output_tokens) == ("Hello,", "stopped", None)
    assert not await gateway.services.queue.running()


@pytest.mark.parametrize(
    ("script", "code", "text"),
    [
        (Script(status=500, body=b'{"error":"out of memory"}'), "upstream_rejected", ""),
        (Script(error_after=(1, "it broke")), "upstream_failed", "Hello"),
        (Script(cut_after=300), "upstream_cut", "Hello"),
        (Script(status=400, body=b"nonsense"), "upstream_rejected", ""),
    ],
)
async def test_a_failure_keeps_what_there_was_and_says_why(
    gateway: Running, ollama: FakeOllama, ann: Person, script: Script, code: str, text: str
) -> None:
    ollama.script(script)
    async with open_page(gateway, ann) as page:
        accepted = await page.ask()
        done = await page.next("done")
    assert (done["outcome"], done["error"]["code"]) == ("failed", code)
    assert {"type", "title", "status", "detail", "request_id"} <= set(done["error"])
    assert done["message"]["content"].startswith(text)
    found = await kept(gateway, accepted["conversation"])
    assert len(found) == (2 if text else 1)
    if text:
        assert (found[1].outcome, found[1].error_code) == ("failed", code)


async def test_the_words_of_the_upstream_are_told(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    ollama.script(Script(status=400, body=b'{"error":"\\"llama3.2\\" does not support thinking"}'))
    async with open_page(gateway, ann) as page:
        done = await page.answer(parameters={"think": True})
    assert done["error"]["detail"] == 'The model\'s server said: "llama3.2" does not support thinking'
    assert done["error"]["status"] == 400


async def test_a_model_that_is_not_there_starts_nothing(gateway: Running, ann: Person) -> None:
    async with open_page(gateway, ann) as page:
        await page.send(start(ref="mine", model="lama3.2"))
        refused = await page.next("refused")
        await page.send({"type": "here"})
        await page.next("here")
    assert (refused["ref"], refused["error"]["code"]) == ("mine", "model_not_found")
    assert "llama3.2" in refused["error"]["hint"]
    assert (await gateway.client.get("/gate/conversations", headers=ann.headers)).json()["data"] == []
    assert gateway.services.chat.turns.running(ann.id) == []


# -- the tree ------------------------------------------------------------------------------------


async def test_asking_again_going_on_and_editing_make_branches(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    async with open_page(gateway, ann) as page:
        first = await page.ask("One")
        conversation, question = first["conversation"], first["parent"]
        answer = (await page.next("done"))["message"]
        ollama.script(Script(tokens=["Other"]))
        other = await page.answer("", mode="regenerate", conversation=conversation, parent=question)
        ollama.script(Script(tokens=[" And", " more."]))
        longer = await page.answer("", mode="continue", conversation=conversation, parent=answer["id"])
        edited = await page.ask("Uno", conversation=conversation, parent=None)
        await page.next("done")
    found = {message.id: message for message in await kept(gateway, conversation)}
    assert len(found) == 6
    assert found[other["message"]["id"]].parent == question
    assert found[other["message"]["id"]].content == "Other"
    assert found[longer["message"]["id"]].parent == question
    assert found[longer["message"]["id"]].content == "Hello, world! And more."
    assert found[edited["parent"]].parent is None
    assert ollama.requests[1].json["messages"] == [{"role": "user", "content": "One"}]
    assert ollama.requests[2].json["messages"][-1] == {"role": "assistant", "content": "Hello, world!"}
    assert ollama.requests[3].json["messages"] == [{"role": "user", "content": "Uno"}]


async def test_going_on_tells_only_what_is_new(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    async with open_page(gateway, ann) as page:
        first = await page.ask("One")
        answer = (await page.next("done"))["message"]
    ollama.script(Script(tokens=[" And", " more."], token_gates={1: "go"}))
    async with open_page(gateway, ann) as page, open_page(gateway, ann) as late:
        turn = await page.ask("", mode="continue", conversation=first["conversation"], parent=answer["id"])
        await page.until_text(" And")
        await late.send({"type": "attach", "turn": turn["turn"]})
        snapshot = await late.next("snapshot")
        ollama.release("go")
        await page.next("done")
        await late.next("done")
    assert text_of(page.frames) == " And more."
    assert snapshot["content"] == "Hello, world! And"
    assert text_of(late.frames) == "Hello, world! And more."


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"content": "  "}, "content"),
        ({"mode": "regenerate"}, "conversation"),
        ({"mode": "continue", "keep": False}, "history"),
        ({"parent": "0" * 26}, "parent"),
        ({"history": [{"role": "user", "content": "x"}]}, "history"),
        ({"keep": False, "conversation": "0" * 26}, "conversation"),
        ({"images": [{"media_type": "image/png", "data": "nonsense!"}]}, "images"),
        ({"images": [{"media_type": "image/png", "data": "/9j/4AAQSkZJRg=="}]}, "images"),
    ],
)
async def test_what_does_not_go_together_is_refused(
    gateway: Running, ann: Person, changes: dict[str, Any], param: str
) -> None:
    async with open_page(gateway, ann) as page:
        await page.send(start(**changes))
        refused = await page.next("refused")
    assert (refused["error"]["code"], refused["error"]["param"]) == ("invalid_request", param)
    assert (await gateway.client.get("/gate/conversations", headers=ann.headers)).json()["data"] == []


async def test_conversations_of_others_are_not_there(gateway: Running, ann: Person) -> None:
    bob = await log_in(gateway, "bob")
    async with open_page(gateway, ann) as page:
        mine = await page.ask()
        await page.next("done")
    async with open_page(gateway, bob) as page:
        await page.send(start(conversation=mine["conversation"], parent=mine["message"]))
        assert (await page.next("refused"))["error"]["code"] == "not_found"
        for kind in ("attach", "stop"):
            await page.send({"type": kind, "turn": mine["turn"]})
            assert await page.next("gone") == {"type": "gone", "turn": mine["turn"]}


# -- bounds --------------------------------------------------------------------------------------


async def test_a_user_has_so_many_turns_at_once(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    ollama.script(HELD, times=None)
    async with open_page(gateway, ann) as page:
        turns = [await page.ask(keep=False) for _ in range(MOST_TURNS)]
        await page.send(start(ref="more"))
        refused = await page.next("refused")
        assert (refused["ref"], refused["error"]["code"]) == ("more", "too_many_concurrent")
        for turn in turns:
            await page.send({"type": "stop", "turn": turn["turn"]})
        for _ in turns:
            await page.next("done")
        await page.ask(keep=False)


async def _ask_twice(page: Page, other: Page, frame: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    await page.send(frame)
    accepted = await page.next("accepted")
    await other.send(frame)
    return accepted, await other.next("snapshot")


async def test_the_same_ref_is_the_same_turn(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    ollama.script(Script(token_gates={2: "go"}))
    async with open_page(gateway, ann) as page, open_page(gateway, ann) as other:
        accepted, snapshot = await _ask_twice(page, other, start(ref="once"))
        assert snapshot["turn"] == accepted["turn"]
        ollama.release("go")
        await page.next("done")
        await other.next("done")
        assert text_of(page.frames) == text_of(other.frames) == "Hello, world!"
        # Also when it has ended meanwhile.
        await page.send(start(ref="once"))
        assert (await page.next())["type"] == "snapshot"
        assert (await page.next())["type"] == "done"
    assert len(ollama.requests) == 1
