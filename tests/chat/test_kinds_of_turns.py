"""Turns that are not kept, with pictures, too long for the model, on other servers; and whose user may no more."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from llmgate.config import ChatSettings
from llmgate.daemon.chat import hearing, keeping
from llmgate.daemon.chat.keeping import Keeper
from llmgate.daemon.chat.turn import LONGEST_ANSWER
from llmgate.daemon.queue.ticket import Outcome
from llmgate.daemon.store import chats, users
from llmgate.errors import StoreUnavailable
from llmgate.schemas.conversations import Message
from tests.chat.harness import Person, http_of, log_in, open_page, start, text_of, until
from tests.fakes import FakeOllama, FakeOpenAI, Script
from tests.gateway.harness import Running, run_gateway, settings_for, upstream_for

PNG = b"\x89PNG\r\n\x1a\n" + bytes(300)
GIF = b"GIF89a" + bytes(40)


def picture(data: bytes, media_type: str = "image/png") -> dict[str, str]:
    return {"media_type": media_type, "data": base64.b64encode(data).decode()}


async def rows(gateway: Running) -> int:
    """Of all tables that hold something of a chat."""
    async with gateway.services.database.read() as tx:
        counts = [
            len((await tx.execute(table.select())).all())
            for table in (chats.conversations, chats.messages, chats.images)
        ]
    return sum(counts)


async def test_a_temporary_chat_leaves_nothing(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    history = [
        {"role": "user", "content": "One", "images": [picture(PNG)]},
        {"role": "assistant", "content": "Two", "images": []},
    ]
    async with open_page(gateway, ann) as page:
        accepted = await page.ask("Three", keep=False, history=history)
        done = await page.next("done")
        partial = [*history, {"role": "assistant", "content": "Half"}]
        await page.answer("", keep=False, mode="continue", history=partial)
        await page.answer("", keep=False, mode="regenerate", history=history[:1])
    assert (accepted["conversation"], accepted["user_message"], accepted["parent"]) == (None, None, None)
    assert (done["message"]["id"], done["message"]["content"]) == (accepted["message"], "Hello, world!")
    assert await rows(gateway) == 0
    first, second, third = (request.json["messages"] for request in ollama.requests)
    assert first[0]["images"] == [picture(PNG)["data"]]
    assert first[-1] == {"role": "user", "content": "Three"}
    assert second[-1] == {"role": "assistant", "content": "Half"}
    assert len(third) == 1


async def test_where_nothing_is_kept_only_temporary_chats_are_taken(ollama: FakeOllama, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "state", [upstream_for(ollama)])
    settings = settings.model_copy(update={"chat": ChatSettings(conversation_days=0)})
    async with run_gateway(settings) as gateway:
        ann = await log_in(gateway)
        async with open_page(gateway, ann) as page:
            await page.send(start())
            assert (await page.next("refused"))["error"]["code"] == "forbidden"
            assert (await page.answer(keep=False))["outcome"] == "completed"
        assert await rows(gateway) == 0


async def test_pictures_reach_the_model_each_time(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    async with open_page(gateway, ann) as page:
        first = await page.ask("What is this?", images=[picture(PNG), picture(GIF, "image/gif")])
        answer = (await page.next("done"))["message"]
        await page.answer("And now?", conversation=first["conversation"], parent=answer["id"])
    sent = [picture(PNG)["data"], picture(GIF)["data"]]
    assert ollama.requests[0].json["messages"][0]["images"] == sent
    assert ollama.requests[1].json["messages"][0]["images"] == sent
    shown = first["user_message"]["images"]
    assert [(image["media_type"], image["size"]) for image in shown] == [("image/png", 308), ("image/gif", 46)]
    read = await gateway.client.get(f"/gate/images/{shown[0]['id']}", headers=ann.headers)
    assert read.content == PNG


async def test_old_pictures_are_left_out_when_a_request_would_grow_too_large(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    gateway.services.live.use({"server.max_body_bytes": 3 * 1024 * 1024})
    asked = {"images": [picture(PNG + bytes(600_000))], "parameters": {"num_ctx": 100_000}}
    async with open_page(gateway, ann) as page:
        turn = await page.ask("One", **asked)
        for text in ("Two", "Three"):
            answer = (await page.next("done"))["message"]
            await page.ask(text, conversation=turn["conversation"], parent=answer["id"], **asked)
        notice = await page.next("notice")
        await page.next("done")
    assert "Older pictures (1)" in notice["text"]
    assert notice["dropped"] == 0
    messages = [message for message in ollama.requests[2].json["messages"] if message["role"] == "user"]
    assert [len(message.get("images", ())) for message in messages] == [0, 1, 1]


async def test_what_does_not_fit_is_left_out_and_told(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    async with open_page(gateway, ann) as page:
        first = await page.ask("x" * 3000)
        answer = (await page.next("done"))["message"]
        await page.ask("Two", conversation=first["conversation"], parent=answer["id"], parameters={"num_ctx": 512})
        notice = await page.next("notice")
        done = await page.next("done")
    assert (notice["kind"], notice["dropped"], notice["kept"], notice["window"]) == ("trimmed", 2, 1, 512)
    assert done["message"]["notice"] == notice["text"]
    assert [message["content"] for message in ollama.requests[1].json["messages"]] == ["Two"]


async def test_a_window_that_the_settings_do_not_give_is_not_reckoned_with(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    gateway.services.live.use({"chat.titles": "first_line", "requests.max_num_ctx": 512})
    async with open_page(gateway, ann) as page:
        first = await page.ask("x" * 3000)
        answer = (await page.next("done"))["message"]
        wide = {"num_ctx": 100_000}
        await page.ask("Two", conversation=first["conversation"], parent=answer["id"], parameters=wide)
        notice = await page.next("notice")
        await page.next("done")
    assert (notice["dropped"], notice["window"]) == (2, 512)
    assert ollama.requests[1].json["options"]["num_ctx"] == 512


async def test_other_servers_than_ollama_answer_too(tmp_path: Path) -> None:
    async with FakeOpenAI(models=("qwen",)) as vllm:
        vllm.script(Script(thinking=["Hm"]))
        async with run_gateway(settings_for(tmp_path / "state", [upstream_for(vllm, "vllm")])) as gateway:
            gateway.services.live.use({"chat.titles": "first_line"})
            ann = await log_in(gateway)
            async with open_page(gateway, ann) as page:
                done = await page.answer(model="qwen", images=[picture(PNG)])
            assert (done["message"]["content"], done["message"]["thinking"]) == ("Hello, world!", "Hm")
            assert done["usage"]["output_tokens"] is not None
    assert vllm.requests[0].path == "/v1/chat/completions"
    parts = vllm.requests[0].json["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url"]


async def test_the_conversation_gets_a_title(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    gateway.services.live.use({"chat.titles": "model"})
    ollama.script(Script())
    ollama.script(Script(tokens=["A fine ", "title"]))
    async with open_page(gateway, ann) as page:
        turn = await page.ask("# How is it?")
        listed = (await gateway.client.get("/gate/conversations", headers=ann.headers)).json()["data"]
        assert listed[0]["title"] == "How is it?"
        titled = await page.next("title")
    assert titled == {"type": "title", "conversation": turn["conversation"], "title": "A fine title"}
    assert (await gateway.outcome(1)).submitted_level == 5


@pytest.mark.parametrize("which", ["one", "all"])
async def test_deleting_the_conversation_ends_what_is_answered_in_it(
    gateway: Running, ollama: FakeOllama, ann: Person, which: str
) -> None:
    ollama.script(Script(hang_after=1))
    async with open_page(gateway, ann) as page, http_of(gateway, ann) as client:
        turn = await page.ask()
        await page.until_text("Hello")
        path = f"/gate/conversations/{turn['conversation']}" if which == "one" else "/gate/conversations"
        assert (await client.delete(path)).is_success
        async with asyncio.timeout(1):
            await ollama.requests[0].disconnected.wait()
        done = await page.next("done")
    assert (done["outcome"], done["message"]["content"]) == ("stopped", "Hello")
    assert await rows(gateway) == 0


@pytest.mark.parametrize("away", [2, 100])
async def test_an_answer_is_kept_also_when_the_database_is_away_for_a_moment(
    gateway: Running, ollama: FakeOllama, ann: Person, monkeypatch: pytest.MonkeyPatch, away: int
) -> None:
    monkeypatch.setattr(keeping, "RETRIES", (0.0,) * 5)
    add, failures = Keeper._add, 0

    async def sometimes(self: Keeper, conversation: str, message: Message) -> Message:
        nonlocal failures
        failures += 1
        if failures <= away:
            raise StoreUnavailable
        return await add(self, conversation, message)

    monkeypatch.setattr(Keeper, "_add", sometimes)
    async with open_page(gateway, ann) as page:
        done = await page.answer()
    assert (done["outcome"], done["message"]["content"]) == ("completed", "Hello, world!")
    if away == 2:
        assert (done["error"], await rows(gateway)) == (None, 3)
    else:  # told, for it is shown nowhere else
        assert (done["error"]["code"], await rows(gateway)) == ("store_unavailable", 2)


async def test_an_answer_without_end_is_ended(
    gateway: Running, ollama: FakeOllama, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LONGEST_ANSWER == 1_000_000
    monkeypatch.setattr(hearing, "LONGEST_ANSWER", 1000)
    ollama.script(Script(tokens=["word "] * 1000, hang_after=300))
    async with open_page(gateway, ann) as page:
        done = await page.answer()
    assert (done["outcome"], done["error"]["code"]) == ("failed", "upstream_failed")
    assert 1000 < len(done["message"]["content"]) < 2000
    assert ollama.requests[0].disconnected.is_set()


# -- who may no more -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["session", "user"])
async def test_who_is_revoked_is_cut_off_at_once(gateway: Running, ollama: FakeOllama, ann: Person, how: str) -> None:
    ollama.script(Script(hang_after=1))
    async with open_page(gateway, ann) as page:
        await page.ask()
        await page.until_text("Hello")
        async with asyncio.timeout(1):
            if how == "session":
                async with http_of(gateway, ann) as client:
                    assert (await client.post("/gate/auth/logout")).status_code == 204
            else:
                async with gateway.services.database.begin() as tx:
                    await users.update(tx, ann.id, disabled=True)
                gateway.services.rights_changed()
            assert await page.closed() == 4401
            await ollama.requests[0].disconnected.wait()
    assert (await gateway.outcome()).outcome is Outcome.CLIENT_DISCONNECTED
    await until(lambda: not gateway.services.chat.turns.running(ann.id))


async def test_an_answer_outlives_the_token_it_was_asked_for_with(
    gateway: Running, ollama: FakeOllama, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    ollama.script(Script(token_gates={1: "go"}))
    async with open_page(gateway, ann) as page:
        await page.ask()
        await page.until_text("Hello")

        def is_over(token: str) -> None:
            raise AssertionError("the access token was asked for")

        monkeypatch.setattr(gateway.services.sessions._access, "read", is_over)
        gateway.services.rights_changed()
        ollama.release("go")
        assert (await page.next("done"))["outcome"] == "completed"
    assert text_of(page.frames) == "Hello, world!"
