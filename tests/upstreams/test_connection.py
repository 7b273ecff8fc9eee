"""What arrives on a connection to an upstream, byte by byte, from a server that sends just what a test says."""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from llmgate.daemon.upstreams import connection as module
from llmgate.daemon.upstreams.base import UpstreamAnswer
from llmgate.daemon.upstreams.transport import UpstreamClient
from llmgate.errors import UpstreamCut, UpstreamProtocolError, UpstreamTimeout, UpstreamUnreachable
from tests.limits.support import eventually
from tests.queue.rabbitmq.certificates import Authority
from tests.upstreams.support import settings_for

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


@asynccontextmanager
async def served(serve: Serve, context: ssl.SSLContext | None = None) -> AsyncIterator[UpstreamClient]:
    """A client of a server that does this on each connection, after it has read a request's head."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    scheme = "http" if context is None else "https"
    client = UpstreamClient(settings_for(f"{scheme}://127.0.0.1:{port}", first_byte_timeout=2, idle_timeout=2))
    try:
        yield client
    finally:
        await client.close()
        server.close()


def saying(*parts: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return serve


async def ask(client: UpstreamClient, body: bytes = b"{}") -> UpstreamAnswer:
    return await client.send("/v1/chat/completions", body, {})


async def whole(client: UpstreamClient, body: bytes = b"{}") -> bytes:
    answer = await ask(client, body)
    try:
        return await answer.read(1_000_000)
    finally:
        await answer.close()


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((HEAD + b"content-length: 5\r\n\r\nhello",), b"hello"),
        ((HEAD + b"content-length: 0\r\n\r\n",), b""),
        ((CHUNKED, b"5\r\nhel", b"lo\r\n0\r\n\r\n"), b"hello"),
        ((CHUNKED + b"3;ext=1\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: x\r\n\r\n",), b"hello"),
        ((HEAD + b"\r\n", b"until the end"), b"until the end"),
        ((b"HTTP/1.1 100 Continue\r\n\r\n", HEAD + b"content-length: 2\r\n\r\nok"), b"ok"),
        ((b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + HEAD + b"content-length: 2\r\n\r\nok",), b"ok"),
        ((b"HTTP/1.0 200 OK\r\n\r\nold",), b"old"),
        ((b"HTTP/1.1 204 No Content\r\n\r\n",), b""),
    ],
)
async def test_every_way_in_which_a_body_ends(parts: tuple[bytes, ...], expected: bytes) -> None:
    async with served(saying(*parts)) as client:
        assert await whole(client) == expected


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((HEAD + b"content-length: 9\r\n\r\nhello",), UpstreamCut),
        ((CHUNKED + b"5\r\nhello\r\n",), UpstreamCut),
        ((b"HTTP/1.1 200 OK\r\ncontent-le",), UpstreamCut),
        ((b"",), UpstreamCut),
        ((b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000,), UpstreamProtocolError),
        ((b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000,), UpstreamProtocolError),
        ((b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",), UpstreamProtocolError),
        ((HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",), UpstreamProtocolError),
        ((HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\nhello",), UpstreamProtocolError),
        ((CHUNKED + b"zz\r\n",), UpstreamProtocolError),
        ((CHUNKED + b"0\r\n" + b"x: y\r\n" * 20_000,), UpstreamProtocolError),
        ((HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n",), UpstreamProtocolError),
        ((HEAD + b"transfer-encoding: gzip\r\n\r\n",), UpstreamProtocolError),
        (
            (b"HTTP/1.1 099 Odd\r\ncontent-length: 5\r\n\r\nfirst" + HEAD + b"content-length: 2\r\n\r\nok",),
            UpstreamProtocolError,
        ),
        ((HEAD + b"content-encoding: gzip\r\ncontent-length: 1\r\n\r\nx",), UpstreamProtocolError),
    ],
)
async def test_what_is_no_answer_is_named(parts: tuple[bytes, ...], expected: type[Exception]) -> None:
    async with served(saying(*parts)) as client:
        with pytest.raises(expected):
            await whole(client)


async def test_what_nobody_asked_for_belongs_to_no_other_request() -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(HEAD + b"content-length: 5\r\n\r\nfirstHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstray")
        await reader.read()

    async with served(serve) as client:
        assert await whole(client) == b"first"
        assert await whole(client) == b"first"
    assert connections == 2


async def test_an_answer_that_comes_before_the_whole_body_was_sent_is_taken() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno!")
        await writer.drain()
        await reader.read()

    async with served(serve) as client:
        answer = await ask(client, b"x" * 20_000_000)
        assert (answer.status, await answer.read(100)) == (413, b"no!")
        await answer.close()


async def test_a_connection_on_which_half_a_request_was_sent_is_not_used_again() -> None:
    """Else the next request would be taken for the rest of it."""
    bodies: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 3\r\n\r\nno!")
        await writer.drain()
        bodies.append(await reader.read())

    async with served(serve) as client:
        for letter in (b"a", b"b"):
            answer = await ask(client, letter * 20_000_000)
            assert (answer.status, await answer.read(100)) == (401, b"no!")
            await answer.close()
        await eventually(lambda: len(bodies) == 2)
    assert [set(body) for body in bodies] == [{ord("a")}, {ord("b")}]


async def test_a_connection_whose_reading_is_paused_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_BYTES", 10)
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(HEAD + b"content-length: 100\r\n\r\n" + b"x" * 100)
        await reader.read()

    async with served(serve) as client:
        answer = await ask(client)
        await eventually(lambda: answer._incoming.is_complete)  # type: ignore[attr-defined]  # nobody has read it
        await answer.close()
        assert await whole(client) == b"x" * 100
    assert connections == 2


async def test_what_comes_between_two_requests_ends_the_connection() -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(HEAD + b"content-length: 5\r\n\r\nfirst")
        await writer.drain()
        await reader.readuntil(b"{}")
        writer.write(HEAD + b"content-length: 5\r\n\r\nstray")
        writer.close()

    async with served(serve) as client:
        answer = await ask(client)
        assert await answer.read(100) == b"first"
        [connection] = client._connections._all
        look = select.poll()
        look.register(connection.transport.get_extra_info("socket").fileno(), select.POLLIN)
        await answer.close()
        assert look.poll(5000), "the event loop did not look in between"
        assert await whole(client) == b"first"
    assert connections == 2


async def test_an_answer_that_we_cut_ourselves_is_not_whole() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"\r\nhalf of it")
        await reader.read(10)
        await reader.read()

    async with served(serve) as client:
        answer = await ask(client)
        reading = asyncio.create_task(answer.read(1000))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(UpstreamCut):
            await reading


async def test_a_trailer_is_no_header() -> None:
    parts = (CHUNKED + b"2\r\nok\r\n0\r\ncontent-encoding: gzip\r\ncontent-type: x/y\r\n\r\n",)
    async with served(saying(*parts)) as client:
        answer = await ask(client)
        assert (answer.content_type, await answer.read(10)) == ("text/plain", b"ok")
        await answer.close()


async def test_a_name_is_looked_up_once_for_all_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    looked, go = 0, asyncio.Event()
    loop = asyncio.get_running_loop()
    really = loop.getaddrinfo

    async def slowly(*arguments: Any, **more: Any) -> Any:
        nonlocal looked
        looked += 1
        await go.wait()
        return await really(*arguments, **more)

    async with served(saying(HEAD + b"content-length: 2\r\n\r\nok")) as client:
        monkeypatch.setattr(loop, "getaddrinfo", slowly)
        client._connections.keeps = False
        asking = [asyncio.create_task(whole(client)) for _ in range(5)]
        await eventually(lambda: looked == 1)
        go.set()
        assert await asyncio.gather(*asking) == [b"ok"] * 5
        assert await whole(client) == b"ok"
        assert looked == 1


async def test_a_large_body_arrives_whole() -> None:
    received = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        while received < 5_000_000:
            received += len(await reader.read(100_000))
        writer.write(HEAD + b"content-length: 2\r\n\r\nok")
        await writer.drain()

    async with served(serve) as client:
        assert await whole(client, b"x" * 5_000_000) == b"ok"
    assert received == 5_000_000


async def test_an_upstream_waits_for_a_client_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_BYTES", 100_000)
    size, sent = 50_000_000, 0
    stuck = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(HEAD + b"content-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * 100_000)
            sent += 100_000
            try:
                async with asyncio.timeout(0.3):
                    await writer.drain()
            except TimeoutError:
                stuck.set()
                await writer.drain()

    async with served(serve) as client:
        answer = await ask(client)
        async with asyncio.timeout(10):
            await stuck.wait()
        assert sent < size / 2
        received = 0
        async for piece in answer.chunks():
            received += len(piece)
        assert received == size
        await answer.close()


async def test_pieces_are_seen_in_the_moment_when_they_come_and_in_order() -> None:
    """What is dealt with at once does not come out, what is not does, and nothing overtakes anything."""
    go, arrived = asyncio.Event(), asyncio.Semaphore(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        for number in range(1, 6):
            writer.write(b"1\r\n%d\r\n" % number)
            await arrived.acquire()
            if number == 3:
                await go.wait()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    seen: list[bytes] = []

    def quick(piece: bytes) -> bytes | None:
        seen.append(piece)
        arrived.release()
        return piece if b"3" in piece else None

    async with served(serve) as client:
        answer = await ask(client)
        waited = []
        async for piece in answer.chunks(quick):
            waited.append(piece)
            go.set()
        assert seen == [b"1", b"2", b"3", b"4", b"5"]
        assert waited == [b"3"]
        await answer.close()


async def test_what_goes_wrong_at_once_is_raised_where_the_pieces_are_waited_for() -> None:
    def quick(piece: bytes) -> bytes | None:
        raise UpstreamProtocolError("It is too long.")

    async with served(saying(CHUNKED, b"5\r\nhello\r\n0\r\n\r\n")) as client:
        answer = await ask(client)
        with pytest.raises(UpstreamProtocolError, match="too long"):
            [piece async for piece in answer.chunks(quick)]
        await answer.close()


async def test_silence_is_noticed_also_behind_pieces_that_were_dealt_with_at_once() -> None:
    arrived = asyncio.Semaphore(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        for _ in range(5):
            writer.write(b"1\r\nx\r\n")
            await arrived.acquire()
        await reader.read()

    async with served(serve) as client:
        client._settings = client._settings.model_copy(update={"idle_timeout": 0.2})
        answer = await ask(client)
        with pytest.raises(UpstreamTimeout, match=r"0\.2 s"):
            [piece async for piece in answer.chunks(lambda _: arrived.release())]
        await answer.close()


async def test_a_header_cannot_become_two() -> None:
    async with served(saying(HEAD + b"content-length: 2\r\n\r\nok")) as client:
        with pytest.raises(UpstreamUnreachable, match="cannot be asked"):
            await client.send("/v1/chat/completions", b"{}", {"accept": "a\r\nx-evil: b"})


async def test_tls_is_spoken_and_the_certificate_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("upstream"))
    serve = saying(HEAD + b"content-length: 6\r\n\r\nsecret")
    async with served(serve, context) as client:
        with pytest.raises(UpstreamUnreachable, match="its certificate is not valid"):
            await whole(client)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with served(serve, context) as client:
        assert await whole(client) == b"secret"
    async with served(serve) as client:
        client._connections = type(client._connections)(
            f"https://{client._connections.authority}", connect_timeout=0.5, keeps=False
        )
        with pytest.raises(UpstreamUnreachable, match=r"does not speak TLS|does not take connections"):
            await whole(client)
