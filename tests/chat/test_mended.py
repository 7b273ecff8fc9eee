"""What a hostile review has found, and must not come back."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from llmgate.daemon import outgoing
from llmgate.daemon.auth.principals import Principal, PrincipalKind, Role
from llmgate.daemon.budget import SLICE_BYTES
from llmgate.daemon.chat.chat import Chat
from llmgate.daemon.chat.connections import BAD_FRAMES, GOING_AWAY, SESSION_OVER, Connections
from llmgate.daemon.chat.following import Follower
from llmgate.daemon.chat.keeping import answer_of
from llmgate.daemon.chat.socket import MOST_FAULTS, Socket
from llmgate.daemon.chat.stream import TurnStream
from llmgate.daemon.chat.turn import Ended, Turn
from llmgate.daemon.exchange import Message
from llmgate.daemon.gate import markdown
from llmgate.daemon.open_answers import OpenAnswers
from llmgate.daemon.outgoing import Outgoing
from llmgate.daemon.protocols.bodies import INLINE_BYTES
from llmgate.daemon.store import chats, conversations, messages
from llmgate.daemon.websocket import WIRE
from llmgate.schemas.chat import Start
from tests.chat.harness import Person, http_of, open_page, text_of, until
from tests.chat.test_peers import ANN, end, followers, world
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import Running

MEGABYTES = 2 * 1024 * 1024
HIGH, LOW = r"\ud83d", r"\ude00"
"""Both halves of an emoji, as JSON may have them."""


# -- memory of those who say nothing yet, or nothing any more ----------------------------------------


async def raw_client(gateway: Running, **headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket whose bytes the test makes itself, after the daemon's answer to its handshake."""
    host = gateway.url.removeprefix("http://")
    reader, writer = await asyncio.open_connection(*host.split(":"))
    lines = [
        "GET /gate/ws HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    return reader, writer


def unfinished(size: int) -> bytes:
    """The beginning of a message of 20 MiB: so many bytes of it."""
    return b"\x81\xff" + (20 * 1024 * 1024).to_bytes(8, "big") + bytes(4) + b" " * size


async def is_cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait until the daemon has closed the connection; it is given ten seconds for that by uvicorn itself."""
    async with asyncio.timeout(3):
        try:
            await writer.drain()
            while await reader.read(65536):
                pass
        except ConnectionError:
            pass
    writer.close()


async def test_a_stranger_who_is_turned_away_fills_no_memory(gateway: Running) -> None:
    reader, writer = await raw_client(gateway, Origin=gateway.url)
    writer.write(unfinished(MEGABYTES))
    await is_cut(reader, writer)


async def test_who_was_hung_up_on_holds_nothing_any_more(gateway: Running, ann: Person) -> None:
    reader, writer = await raw_client(gateway, Authorization=f"Bearer {ann.token}")
    writer.write(b"\x81\x81\0\0\0\0x" * (MOST_FAULTS + 1))
    closing = b"\x88\x02" + BAD_FRAMES.to_bytes(2, "big")
    async with asyncio.timeout(5):
        await reader.readuntil(closing)
    writer.write(unfinished(MEGABYTES))
    await is_cut(reader, writer)
    bodies = gateway.services.gateway.bodies
    assert (bodies._held, bodies._of) == (0, {})


async def test_a_message_that_arrives_while_another_is_worked_on_is_counted(
    gateway: Running, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies, go, taken = gateway.services.gateway.bodies, asyncio.Event(), asyncio.Event()
    obey = Socket._obey

    async def slowly(self: Socket, frame: Any) -> None:
        if frame.type == "stop":
            taken.set()
            await go.wait()
        await obey(self, frame)

    monkeypatch.setattr(Socket, "_obey", slowly)
    async with open_page(gateway, ann) as page:
        await page.send({"type": "stop", "turn": "x"})
        await taken.wait()
        page.socket.transport.write(unfinished(2 * INLINE_BYTES))
        await until(lambda: bodies._held > INLINE_BYTES)
        go.set()
        await page.next("gone")
        assert bodies._held > INLINE_BYTES
        await page.lose()
    await until(lambda: bodies._held == 0)


# -- halves of characters --------------------------------------------------------------------------


def line(content: str, **more: Any) -> bytes:
    """A line of an upstream; ``content`` is JSON already."""
    return (
        f'{{"message":{{"role":"assistant","content":"{content}"}},{json.dumps({"done": False, **more})[1:]}\n'.encode()
    )


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["x " + HIGH, LOW + " y"], "x \N{GRINNING FACE} y"),
        (["x " + HIGH + LOW + " y"], "x \N{GRINNING FACE} y"),
        (["x " + HIGH, " y"], "x \N{REPLACEMENT CHARACTER} y"),
        (["x " + LOW, "y"], "x \N{REPLACEMENT CHARACTER}y"),
        (["x", HIGH], "x\N{REPLACEMENT CHARACTER}"),
    ],
)
async def test_a_character_in_halves_breaks_nothing(
    gateway: Running, ollama: FakeOllama, ann: Person, pieces: list[str], expected: str
) -> None:
    body = b"".join(map(line, pieces)) + line("", done=True)
    ollama.default = Script(body=body, content_type="application/x-ndjson")
    async with open_page(gateway, ann) as page:
        done = await page.answer()
        assert (done["outcome"], done["error"]) == ("completed", None)
        assert text_of(page.frames) == done["message"]["content"] == expected
    async with http_of(gateway, ann) as client:
        kept = (await client.get(f"/gate/conversations/{page.frames[1]['conversation']}")).json()
        assert kept["messages"][1]["content"] == expected


@pytest.mark.parametrize("status", [200, 500])
async def test_half_a_character_in_the_words_of_an_upstream_breaks_nothing(
    gateway: Running, ollama: FakeOllama, ann: Person, status: int
) -> None:
    body = f'{{"error":"no {HIGH}"}}\n'.encode()
    ollama.default = Script(status=status, body=body, content_type="application/x-ndjson")
    async with open_page(gateway, ann) as page:
        done = await page.answer()
    assert (done["outcome"], done["error"]["detail"]) == ("failed", "The model's server said: no ?")


async def test_half_a_character_in_a_name_is_refused(gateway: Running, ann: Person) -> None:
    async with open_page(gateway, ann) as page:
        await page.send('{"type":"start","ref":"a\\ud800"}')
        assert (await page.next("refused"))["ref"] == "a?"


# -- texts that cost more than they look -------------------------------------------------------------


@pytest.mark.parametrize("marks", ["\u0301\u0316", "\u0345\u0334", "\u3099", "\uff9e"])
def test_folding_takes_no_time_that_grows_with_the_square(monkeypatch: pytest.MonkeyPatch, marks: str) -> None:
    """To order the marks of one character takes so long, and nobody else is served meanwhile."""
    longest = 0
    normalize = unicodedata.normalize

    def watched(form: Any, text: str) -> str:
        nonlocal longest
        longest = max(longest, len(text))
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", watched)
    chats.folded("a" + marks * 10_000)
    assert longest <= 1000


@pytest.mark.parametrize(
    "unit",
    ["e\u0301", "\u1112\u1161\u11ab", "\uff76\uff9e", "\u0995\u09c7\u09be", "\N{LATIN SMALL LIGATURE FI}ß", "é", "字"],
)
def test_folding_in_pieces_tears_nothing_apart(unit: str) -> None:
    for before in range(3):
        text = "x" * before + unit * 500
        assert chats.folded(text) == unicodedata.normalize("NFKC", text).casefold()


async def test_countless_backquotes_take_no_time_that_grows_with_the_square() -> None:
    text = "` " * 100_000
    async with asyncio.timeout(20):
        (quoted,) = await asyncio.to_thread(lambda: list(markdown.quoted(text)))
    assert quoted == f"> {text.strip()}"


# -- ends ------------------------------------------------------------------------------------------


def caller() -> Principal:
    return Principal(PrincipalKind.SESSION, "ann", "ann", Role.USER, 3, "ann", session_id="s")


async def streamed(close: int) -> list[str]:
    """What a stream tells of a turn that has ended, when it is closed before it has told that."""

    async def alive(_: Any) -> set[str]:
        return set()

    left: Callable[..., None] = lambda *_, **__: None  # noqa: E731
    chat = cast("Chat", SimpleNamespace(connections=Connections(alive, lambda _: None), leave=left))
    turn = Turn(Start(ref="r", model="m", content="what?", keep=False), user_id="ann", session_id="s")
    stream = TurnStream(chat, caller())
    stream._follower = Follower(turn, stream._news.set, snapshot=False)
    turn.accept(None, None, None, "")
    turn.end(Ended("stopped", answer_of(turn, "stopped", None), None, turn.usage()))
    stream.close(close)
    body = b""

    async def send(message: Message) -> None:
        nonlocal body
        body += message.get("body", b"")

    way_out = SimpleNamespace(says_why=lambda _: None)
    scope = {"type": "http", "state": {"outgoing": way_out}}
    await stream(scope, asyncio.Event().wait, send)  # type: ignore[arg-type]  # its client never leaves
    return [json.loads(one)["type"] for one in body.splitlines() if one]


async def test_a_stream_tells_the_end_of_its_turn_also_at_a_shutdown() -> None:
    assert await streamed(GOING_AWAY) == ["accepted", "done"]


async def test_a_stream_whose_session_is_over_tells_nothing_more() -> None:
    assert await streamed(SESSION_OVER) == []


async def test_who_stops_before_there_is_a_ticket_reaches_no_upstream(
    gateway: Running, ollama: FakeOllama, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows, go = gateway.services.chat.conductor._windows, asyncio.Event()

    async def slowly(*_: Any) -> int:
        await go.wait()
        return 4096

    monkeypatch.setattr(windows, "of", slowly)
    async with open_page(gateway, ann) as page:
        turn = (await page.ask())["turn"]
        await page.send({"type": "stop", "turn": turn})
        await page.send({"type": "here"})
        await page.next("here")
        go.set()
        assert (await page.next("done"))["outcome"] == "stopped"
    assert (ollama.requests, gateway.finished) == ([], [])
    assert gateway.refused[-1].error_code == "client_gone"


async def test_a_question_that_is_repeated_at_another_daemon_leaves_no_link_behind() -> None:
    async with world() as there:
        turn = await there.daemons[1].begin()

        def leave(follower: Any, *, bye: bool) -> None:
            follower.leave(bye=bye)

        scope = {"extensions": {WIRE: None}}
        receive = cast("Any", None)
        socket = Socket(cast("Chat", SimpleNamespace(leave=leave)), caller(), scope, receive, receive)
        socket._is_gone = True  # it writes nothing
        for _ in range(3):
            link = await there.here.follow_ref(ANN, turn.ref, lambda: None)
            assert link is not None
            socket._follow(link.turn_id, link)
            await until(lambda: len(there.here._links) == 1)
            await followers(turn, 1)
            assert not turn.stopping.is_set()
        socket._leave_all(bye=False)
        end(turn)


# -- large answers ---------------------------------------------------------------------------------


async def filled(gateway: Running, person: Person, size: int, count: int = 1) -> str:
    """A conversation of so many messages of so many bytes."""
    async with gateway.services.database.begin() as tx:
        made = await conversations.create(tx, user_id=person.id, title="Long", model="llama3.2")
        for _ in range(count):
            await messages.add(tx, conversation_id=made.id, parent=None, role="assistant", content="x" * size)
    return made.id


@pytest.mark.parametrize("path", ["{id}", "{id}/export", "{id}/export?format=markdown", "export"])
async def test_who_takes_nothing_has_only_its_share_of_the_memory(
    gateway: Running, ann: Person, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many answers, that is, as fit into it; each is cut when nothing of it is taken for long."""
    monkeypatch.setattr(conversations, "LARGEST_TEXT", 800_000)
    conversation, bodies = await filled(gateway, ann, 800_000), gateway.services.gateway.bodies
    gateway.services.live.use({"queue.max_waiting_bytes": 4 * 1024 * 1024})
    url = f"/gate/conversations/{path.format(id=conversation)}"
    send, stuck = Outgoing.send, asyncio.Event()

    async def take_nothing(answer: Outgoing, message: Message) -> None:
        if message.get("body"):
            stuck.set()
            await asyncio.Event().wait()
        await send(answer, message)

    monkeypatch.setattr(Outgoing, "send", take_nothing)
    async with http_of(gateway, ann) as client:
        first = asyncio.create_task(client.get(url))
        await stuck.wait()
        monkeypatch.setattr(Outgoing, "send", send)
        assert bodies._held >= 800_000
        refused = await client.get(url)
        assert (refused.status_code, refused.json()["code"]) == (429, "limit_exceeded")
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_one_large_answer_is_always_possible(gateway: Running, ann: Person) -> None:
    conversation = await filled(gateway, ann, 800_000)
    gateway.services.live.use({"queue.max_waiting_bytes": 1024 * 1024})
    async with http_of(gateway, ann) as client:
        assert (await client.get(f"/gate/conversations/{conversation}")).status_code == 200


async def test_a_large_answer_is_cut_when_nothing_of_it_is_taken(
    gateway: Running, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "STALL_SECONDS", 0.2)
    conversation, bodies = await filled(gateway, ann, 1_000_000, 12), gateway.services.gateway.bodies
    host = gateway.url.removeprefix("http://")
    reader, writer = await asyncio.open_connection(*host.split(":"), limit=1024)
    lines = (f"GET /gate/conversations/{conversation} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {ann.token}")
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    await until(lambda: bodies._held > 12_000_000)
    await until(lambda: bodies._held == 0)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(12_000_000)
    writer.close()


@pytest.mark.parametrize("size", [0, 1, SLICE_BYTES, SLICE_BYTES + 1, 3 * SLICE_BYTES])
async def test_slices_are_the_whole(size: int) -> None:
    body, sent = bytes(range(256)) * (size // 256) + b"x" * (size % 256), []

    async def send(message: Any) -> None:
        sent.append(message)

    answer = Outgoing({"state": {}}, send, cast("OpenAnswers", None), outgoing.anybody, "r1")
    await answer.send({"type": "http.response.body", "body": body, "more_body": False})
    assert b"".join(message["body"] for message in sent) == body
    assert [message["more_body"] for message in sent] == [True] * (len(sent) - 1) + [False]
    assert all(len(message["body"]) <= SLICE_BYTES for message in sent)
