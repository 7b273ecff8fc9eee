"""The WebSocket itself: who may open one, what may be said, and clients that misbehave."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from llmgate import __version__
from llmgate.config import ServerSettings
from llmgate.daemon import http, websocket
from llmgate.daemon.auth.credentials import cookie_name
from llmgate.daemon.chat import connections
from llmgate.daemon.chat import socket as chat_socket
from llmgate.daemon.chat.connections import MOST_CONNECTIONS
from llmgate.daemon.chat.websocket import is_our_page
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.sessions import revoke
from llmgate.errors import StoreUnavailable
from tests.chat.harness import Page, Person, log_in, open_page, start, text_of, until
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import Running, run_gateway, settings_for, upstream_for


def cookie(gateway: Running, person: Person) -> dict[str, str]:
    return {"cookie": f"{cookie_name(gateway.services.settings.server)}={person.token}"}


async def refused(gateway: Running, **headers: str) -> int:
    """With which status the handshake ends."""
    url = gateway.url.replace("http://", "ws://") + "/gate/ws"
    with pytest.raises(InvalidStatus) as caught:
        await connect(url, additional_headers=headers, proxy=None)
    return caught.value.response.status_code


# -- who may open one ------------------------------------------------------------------------------


async def test_it_says_hello_first(gateway: Running, ann: Person) -> None:
    async with open_page(gateway, ann, compression="deflate") as page:
        assert page.frames == [{"type": "hello", "version": __version__, "grace_seconds": 30.0, "turns": []}]
        assert not page.socket.protocol.extensions
        await page.send({"type": "here"})
        assert await page.next() == {"type": "here"}


async def test_our_own_page_opens_it_with_its_cookie(gateway: Running, ann: Person) -> None:
    async with open_page(gateway, ann, headers=cookie(gateway, ann), origin=gateway.url) as page:
        assert (await page.answer())["outcome"] == "completed"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "{url}.evil.example"])
@pytest.mark.parametrize("bearer", [True, False])
async def test_a_foreign_page_is_refused_whatever_it_brings(
    gateway: Running, ann: Person, origin: str, bearer: bool
) -> None:
    headers = ann.headers if bearer else cookie(gateway, ann)
    assert await refused(gateway, origin=origin.format(url=gateway.url), **headers) == 403


@pytest.mark.parametrize(
    ("origins", "host", "public_url", "ours"),
    [
        (["https://a.example"], "a.example", "https://a.example/ai", True),
        (["https://a.example"], "inner:11435", "https://a.example", True),
        (["http://inner:11435"], "inner:11435", "https://a.example", False),
        (["http://a.example"], "a.example", "https://a.example", False),
        (["https://a.example"], "a.example", "", True),
        (["http://a.example:8080"], "a.example:8080", "", True),
        (["http://a.example"], "b.example", "", False),
        (["null"], "a.example", "", False),
        (["https://a.example", "https://evil.example"], "a.example", "https://a.example", False),
    ],
)
def test_which_page_is_ours(origins: list[str], host: str, public_url: str, ours: bool) -> None:
    server = ServerSettings(public_url=public_url)
    assert is_our_page(origins, [(b"host", host.encode())], server) is ours


async def test_without_an_origin_a_cookie_is_not_looked_at(gateway: Running, ann: Person) -> None:
    assert await refused(gateway, **cookie(gateway, ann)) == 401


async def test_keys_addresses_and_strangers_are_refused(gateway: Running) -> None:
    assert await refused(gateway, authorization=f"Bearer {gateway.key}") == 403
    assert await refused(gateway) == 401


async def test_a_page_whose_session_is_over_is_told_so(gateway: Running, ann: Person) -> None:
    async with gateway.services.database.begin() as tx:
        await revoke(tx, ann.session)
    gateway.services.rights_changed()
    url = gateway.url.replace("http://", "ws://") + "/gate/ws"
    async with connect(url, additional_headers=cookie(gateway, ann), origin=gateway.url, proxy=None) as socket:  # type: ignore[arg-type]
        with pytest.raises(ConnectionClosed) as caught:
            await socket.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4401


async def test_a_user_has_so_many_sockets(gateway: Running, ann: Person) -> None:
    opened = gateway.services.chat.connections
    async with asyncio.TaskGroup() as group:
        done = asyncio.Event()

        async def hold() -> None:
            async with open_page(gateway, ann):
                await done.wait()

        for _ in range(MOST_CONNECTIONS):
            group.create_task(hold())
        await until(lambda: len(opened) == MOST_CONNECTIONS)
        url = gateway.url.replace("http://", "ws://") + "/gate/ws"
        async with connect(url, additional_headers=ann.headers, proxy=None) as socket:
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert socket.close_code == 4429
        done.set()
    await until(lambda: len(opened) == 0)
    async with open_page(gateway, ann):
        pass


async def test_other_paths_have_no_websocket(gateway: Running, ann: Person) -> None:
    """They answer as if nobody had asked for one."""
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert (await gateway.client.get("/api/version", headers=upgrade)).status_code == 200
    assert (await gateway.client.get("/gate/wss", headers=upgrade)).status_code == 404
    assert (await gateway.client.get("/gate/ws")).status_code == 404
    bad = {**upgrade, "sec-websocket-key": "x", **ann.headers}
    assert (await gateway.client.get("/gate/ws", headers=bad)).status_code == 400
    long = {**upgrade, "x-filler": "x" * 20_000, **ann.headers}
    assert (await gateway.client.get("/gate/ws", headers=long)).status_code == 400


class Wire:
    """A connection on which everything is written by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, gateway: Running) -> Wire:
        return cls(*await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2])))

    def request(self, head: str, *headers: str) -> None:
        self.writer.write("\r\n".join([f"{head} HTTP/1.1", "host: gateway", *headers, "", ""]).encode())

    def upgrade(self, person: Person) -> None:
        self.request(
            "GET /gate/ws",
            "connection: Upgrade",
            "upgrade: websocket",
            "sec-websocket-version: 13",
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
            f"authorization: Bearer {person.token}",
        )

    async def until(self, text: bytes) -> bytes:
        async with asyncio.timeout(5):
            return await self.reader.readuntil(text)


async def test_a_connection_that_was_used_before_can_become_a_websocket(
    gateway: Running, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And then none of the bounds of requests hold for it."""
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.1)
    gateway.server.config.timeout_keep_alive = 1
    wire = await Wire.open(gateway)
    wire.request("GET /health/live")
    await wire.until(b'{"status":"live"}')
    wire.upgrade(ann)
    assert b" 101 " in await wire.until(b"\r\n\r\n")
    await wire.until(b'"hello"')
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await until(lambda: loop.time() > begun + 1.3)
    wire.writer.write(b"\x81\x8f" + bytes(4) + b'{"type":"here"}')
    await wire.until(b'{"type":"here"}')
    wire.writer.close()


async def test_behind_a_request_that_is_answered_there_is_no_websocket(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    """Nothing is taken on a connection before the answer that is under way has ended."""
    ollama.script(Script(gate="go"))
    wire = await Wire.open(gateway)
    body = b'{"model":"llama3.2","messages":[{"role":"user","content":"Hello"}],"stream":false}'
    wire.request("POST /api/chat", f"authorization: Bearer {ann.token}", f"content-length: {len(body)}")
    wire.writer.write(body)
    await ollama.request(0)
    wire.upgrade(ann)
    ollama.release("go")
    async with asyncio.timeout(5):
        everything = await wire.reader.read()
    assert everything.startswith(b"HTTP/1.1 200 ")
    assert b" 101 " not in everything
    assert len(gateway.services.chat.connections) == 0
    wire.writer.close()


# -- what may be said ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        "nonsense",
        "[]",
        '"start"',
        '{"type":"shutdown"}',
        '{"type":"start"}',
        '{"type":"stop"}',
        '{"type":"attach","turn":7}',
        '{"type":"start","ref":"a b","model":"llama3.2","content":"x"}',
        '{"type":"here","more":1}',
        '{"type":"here"',
        "[" * 100_000,
        '{"type":"start","ref":"r","model":"llama3.2","content":"\\ud800"}',
        '{"type":"start","ref":"r","model":"llama3.2","content":"x","history":[' + "{}," * 300_000 + "{}]}",
    ],
)
async def test_what_is_no_frame_is_refused_and_nothing_else_happens(gateway: Running, ann: Person, frame: str) -> None:
    async with open_page(gateway, ann) as page:
        await page.send(frame)
        answer = await page.next()
        assert (answer["type"], answer["error"]["code"]) == ("refused", "invalid_request")
        await page.send({"type": "here"})
        assert await page.next() == {"type": "here"}


async def test_a_bad_start_is_refused_by_its_ref(gateway: Running, ann: Person) -> None:
    async with open_page(gateway, ann) as page:
        await page.send({**start(ref="mine"), "content": 7})
        answer = await page.next()
        assert (answer["ref"], answer["error"]["detail"]) == ("mine", "start.content: input should be a valid string.")


async def test_bytes_are_no_frames(gateway: Running, ann: Person) -> None:
    async with open_page(gateway, ann) as page:
        await page.socket.send(b'{"type":"here"}')
        assert (await page.next())["type"] == "refused"


async def test_who_sends_only_nonsense_is_hung_up_on(gateway: Running, ann: Person) -> None:
    async with open_page(gateway, ann) as page:
        for _ in range(101):
            await page.send("nonsense")
        assert await page.closed() == 1008
    assert [frame["type"] for frame in page.frames].count("refused") == 101


async def test_a_message_may_be_so_large_and_no_larger(gateway: Running, ann: Person) -> None:
    async with open_page(gateway, ann) as page:
        await page.send('{"type":"here"}' + " " * (websocket.LARGEST - 15))
        assert await page.next() == {"type": "here"}
        with suppress(ConnectionClosed):
            await page.send('{"type":"here"}' + " " * (websocket.LARGEST - 14))
        assert await page.closed() == 1009


async def test_a_message_in_countless_pieces_is_refused(gateway: Running, ann: Person) -> None:
    async with open_page(gateway, ann) as page:
        await page.socket.send([" "] * (websocket.MOST_PIECES + 10))
        assert await page.closed() == 1009


async def test_large_messages_count_as_memory(gateway: Running, ann: Person) -> None:
    gateway.services.live.use({"queue.max_waiting_bytes": 2 * 1024 * 1024})
    async with open_page(gateway, ann) as page:
        await page.send('{"type":"here"}' + " " * 400_000)
        assert await page.next() == {"type": "here"}
        await page.send('{"type":"here"}' + " " * 1_000_000)
        assert await page.closed() == 1009
    await until(lambda: gateway.services.gateway.bodies._held == 0)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"\x81\x82\0\0\0\0\xff\xff", 1007),  # text that is not UTF-8
        (b"\x81\x02{}", 1002),  # not masked
        (b"\xc1\x82\0\0\0\0{}", 1002),  # a reserved bit
        (b"\x83\x82\0\0\0\0{}", 1002),  # a reserved opcode
        (b"\x80\x82\0\0\0\0{}", 1002),  # a piece of nothing
        (b"\x89\xfe\0\x80\0\0\0\0" + bytes(128), 1002),  # a ping that is too long
        (b"\x88\x81\0\0\0\0\x03", 1002),  # half a close code
        (b"\x81\xff" + b"\x7f" + b"\xff" * 7 + bytes(4), 1009),  # announces more than there is in the world
    ],
)
async def test_what_is_no_websocket_is_closed(gateway: Running, ann: Person, raw: bytes, code: int) -> None:
    async with open_page(gateway, ann) as page:
        page.socket.transport.write(raw)
        assert await page.closed() == code
    await until(lambda: len(gateway.services.chat.connections) == 0)
    assert gateway.services.supervisor.failed == {}


async def test_who_sends_pings_and_reads_nothing_is_cut_off(
    gateway: Running, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert websocket.MOST_UNSENT == 1024 * 1024
    monkeypatch.setattr(websocket, "MOST_UNSENT", 10_000)
    async with open_page(gateway, ann) as page:
        Choked(gateway, page, ann)
        ping = b"\x89\xfd\0\0\0\0" + bytes(125)
        for _ in range(200):
            page.socket.transport.write(ping * 100)
            await asyncio.sleep(0)
        await until(lambda: len(gateway.services.chat.connections) == 0)
        page.socket.transport.abort()


async def test_below_a_path_of_a_proxy_it_is_there_too(ollama: FakeOllama, tmp_path: Path) -> None:
    server = ServerSettings(port=0, public_url="http://127.0.0.1:1/ai")
    async with run_gateway(settings_for(tmp_path / "state", [upstream_for(ollama)], server=server)) as gateway:
        ann = await log_in(gateway)
        for prefix in ("/ai", ""):
            url = gateway.url.replace("http://", "ws://") + f"{prefix}/gate/ws"
            async with connect(url, additional_headers=ann.headers, proxy=None) as socket:
                assert '"hello"' in str(await socket.recv())
        with pytest.raises(InvalidStatus):
            await connect(gateway.url.replace("http://", "ws://") + "/x/gate/ws", proxy=None)


# -- clients that are slow, silent or many ---------------------------------------------------------


class Choked:
    """The page takes nothing, and the kernel keeps little for it, until ``free``."""

    def __init__(self, gateway: Running, page: Page, person: Person) -> None:
        (found,) = gateway.services.chat.connections._of_user[person.id]
        assert isinstance(found, chat_socket.Socket)
        self.socket = found
        self._page = page
        found._wire.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_SNDBUF, 4096)
        page.socket.transport.pause_reading()

    def free(self) -> None:
        self._page.socket.transport.resume_reading()


async def test_a_client_that_takes_nothing_is_cut_off_and_its_turn_goes_on(
    gateway: Running, ollama: FakeOllama, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chat_socket.STALL_SECONDS == 30
    monkeypatch.setattr(chat_socket, "STALL_SECONDS", 0.2)
    ollama.script(Script(tokens=["x" * 5000] * 100, token_gates={98: "more", 99: "end"}))
    chat = gateway.services.chat
    async with open_page(gateway, ann) as slow:
        choked = Choked(gateway, slow, ann)
        await slow.send(start(ref="big", keep=False))
        await until(lambda: choked.socket._wire.unsent() > 100_000)
        ollama.release("more")
        await until(lambda: len(chat.connections) == 0)
        async with open_page(gateway, ann) as page:
            await page.send({"type": "attach", "turn": page.frames[0]["turns"][0]["turn"]})
            await page.next("snapshot")
            ollama.release("end")
            done = await page.next("done")
            assert text_of(page.frames) == done["message"]["content"] == "x" * 500_000
        choked.free()
        assert await slow.closed() == 4408


async def test_a_slow_client_gets_fewer_and_larger_frames(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    ollama.script(Script(tokens=["word " * 20] * 3000))
    async with open_page(gateway, ann) as page:
        await page.ask(keep=False)
        choked = Choked(gateway, page, ann)
        await gateway.outcome()
        choked.free()
        await page.next("done")
    assert text_of(page.frames) == "word " * 60_000
    assert [frame["type"] for frame in page.frames].count("token") < 100


async def test_the_first_word_comes_at_once_and_the_others_in_handfuls(
    gateway: Running, ollama: FakeOllama, ann: Person
) -> None:
    ollama.script(Script(tokens=["word "] * 200, token_gates={1: "go"}))
    async with open_page(gateway, ann) as page:
        await page.ask()
        assert (await page.next("token"))["text"] == "word "
        ollama.release("go")
        await page.next("done")
    assert text_of(page.frames) == "word " * 200
    assert [frame["type"] for frame in page.frames].count("token") < 50


async def test_a_flood_of_questions_is_answered_only_as_fast_as_it_is_read(gateway: Running, ann: Person) -> None:
    async with open_page(gateway, ann) as page:
        (socket,) = gateway.services.chat.connections._of_user[ann.id]
        assert isinstance(socket, chat_socket.Socket)
        socket._wire.writable.clear()  # as when the client takes nothing
        for number in range(3 * chat_socket.MOST_LOOSE):
            await page.send({"type": "stop", "turn": f"turn{number}"})
        await until(lambda: len(socket._loose) >= chat_socket.MOST_LOOSE)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert len(socket._loose) == chat_socket.MOST_LOOSE
        socket._wire.writable.set()
        gone = [await page.next() for _ in range(3 * chat_socket.MOST_LOOSE)]
    assert [frame["turn"] for frame in gone] == [f"turn{number}" for number in range(len(gone))]


async def test_a_silent_network_is_noticed(gateway: Running, ollama: FakeOllama, ann: Person) -> None:
    config = gateway.server.config
    assert (config.ws_ping_interval, config.ws_ping_timeout) == (10, 10)
    config.ws_ping_interval = config.ws_ping_timeout = 0.1
    gateway.services.chat.turns.grace = 0.1
    ollama.script(Script(hang=True))
    async with open_page(gateway, ann) as page:
        await page.ask()
        page.socket.transport.pause_reading()  # no pong
        async with asyncio.timeout(3):
            await (await ollama.request(0)).disconnected.wait()
        page.socket.transport.abort()


async def test_a_large_message_over_a_slow_line_is_no_silence(gateway: Running, ann: Person) -> None:
    """Behind it alone a client can answer a ping."""
    config = gateway.server.config
    config.ws_ping_interval = config.ws_ping_timeout = 0.6
    pieces = 140
    frame = b"\x81\xfe" + (pieces + 15).to_bytes(2, "big") + bytes(4) + b'{"type":"here"}'
    loop = asyncio.get_running_loop()
    async with open_page(gateway, ann) as page:
        page.socket.transport.pause_reading()
        page.socket.transport.write(frame)
        begun = loop.time()
        for number in range(pieces):
            await until(lambda due=begun + 0.01 * number: loop.time() > due)  # type: ignore[misc]
            page.socket.transport.write(b" ")
        assert loop.time() - begun > config.ws_ping_interval + config.ws_ping_timeout
        page.socket.transport.resume_reading()
        assert await page.next() == {"type": "here"}


async def test_fifty_idle_sockets_hold_no_connection_to_the_database(gateway: Running) -> None:
    people = [await log_in(gateway, f"user{number}") for number in range(5)]
    done = asyncio.Event()

    async def hold(person: Person) -> None:
        async with open_page(gateway, person):
            await done.wait()

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(hold(people[number % 5]))
        await until(lambda: len(gateway.services.chat.connections) == 50)
        pool: Any = gateway.services.database._opened.pool  # type: ignore[union-attr]
        await until(lambda: pool.checkedout() == 0)
        # Each has the task of its connection, and no other.
        sockets = [one for those in gateway.services.chat.connections._of_user.values() for one in those]
        await until(lambda: all(isinstance(one, chat_socket.Socket) and one._writer is None for one in sockets))
        done.set()


async def test_of_fifty_open_chats_none_holds_a_connection_to_the_database_while_half_are_answered(
    gateway: Running, ollama: FakeOllama
) -> None:
    """Neither those that are idle, nor those that wait in the line, nor those whose answer is being written."""
    ollama.script(Script(tokens=["Hello", "!"], token_gates={1: "go"}), times=None)
    people = [await log_in(gateway, f"user{number}") for number in range(5)]
    pool: Any = gateway.services.database._opened.pool  # type: ignore[union-attr]
    async with AsyncExitStack() as stack:
        pages = [await stack.enter_async_context(open_page(gateway, people[number % 5])) for number in range(50)]
        for page in pages[:25]:
            await page.ask()
        async with asyncio.TaskGroup() as group:
            for page in pages[:25]:
                group.create_task(page.next("queued", "token"))
        await ollama.wait_for(lambda: any(seen.tokens_sent for seen in ollama.requests))
        await until(lambda: pool.checkedout() == 0)
        ollama.release("go")
        async with asyncio.TaskGroup() as group:
            for page in pages[:25]:
                group.create_task(page.next("done", timeout=30))


async def test_a_session_that_ended_elsewhere_is_found_out(
    gateway: Running, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody told this daemon: it looks itself, every few seconds."""
    assert connections.LOOK_SECONDS == 4
    monkeypatch.setattr(connections, "LOOK_SECONDS", 0.1)
    async with open_page(gateway, ann) as page:
        gateway.services.chat.connections.look()
        async with gateway.services.database.begin() as tx:
            await revoke(tx, ann.session)
        assert await page.closed() == 4401


async def test_an_outage_of_the_database_ends_nobody(
    gateway: Running, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    def away(self: Database) -> None:
        asked.set()
        raise StoreUnavailable

    async with open_page(gateway, ann) as page:
        monkeypatch.setattr(Database, "read", away)
        gateway.services.chat.connections.look()
        await asked.wait()
        await page.send({"type": "here"})
        assert await page.next() == {"type": "here"}
        monkeypatch.undo()


# -- shutting down ---------------------------------------------------------------------------------


async def test_a_shutdown_tells_everybody_and_hangs_nowhere(ollama: FakeOllama, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "state", [upstream_for(ollama)])
    ollama.script(Script(token_gates={1: "go"}))
    async with run_gateway(settings) as gateway:
        ann = await log_in(gateway)
        async with open_page(gateway, ann) as page:
            running = await page.ask()
            await page.until_text("Hello")
            waiting = await page.ask("Two")
            await page.next("queued")
            gateway.server.should_exit = True
            first = await page.next("done")
            assert (first["turn"], first["outcome"], first["error"]["code"]) == (waiting["turn"], "failed", "draining")
            assert first["error"]["retry_after"] > 0
            await page.send(start(ref="late"))
            assert (await page.next("refused"))["error"]["code"] == "draining"
            ollama.release("go")
            last = await page.next("done")
            assert (last["turn"], last["outcome"]) == (running["turn"], "completed")
            assert await page.closed() == 1001
    assert gateway.services.supervisor.failed == {}


async def test_what_runs_too_long_is_cut_at_a_shutdown_and_kept(ollama: FakeOllama, tmp_path: Path) -> None:
    server = ServerSettings(port=0, drain_seconds=0.2)
    settings = settings_for(tmp_path / "state", [upstream_for(ollama)], server=server)
    ollama.script(Script(hang_after=1))
    async with run_gateway(settings) as gateway:
        ann = await log_in(gateway)
        async with open_page(gateway, ann) as page:
            await page.ask()
            await page.until_text("Hello")
            gateway.server.should_exit = True
            done = await page.next("done")
            assert (done["outcome"], done["error"]["code"]) == ("failed", "draining")
            assert done["message"]["content"] == "Hello"
            assert await page.closed() == 1001


async def test_a_dead_background_task_makes_the_daemon_not_ready(gateway: Running) -> None:
    names = gateway.services.supervisor._tasks
    assert {"chat positions", "chat connections"} <= set(names)
    names["chat connections"].cancel()
    await until(lambda: bool(gateway.services.supervisor.failed))
    assert (await gateway.client.get("/health/ready")).status_code == 503
