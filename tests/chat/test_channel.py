"""The private connection between two daemons: who can take part in it, and what does not open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from llmgate.daemon.chat import channel as channels
from llmgate.daemon.chat.channel import MAGIC, NONCE_BYTES, Channel, ChannelLost, accept, connect

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
SECONDS = 5.0


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """A server; when everybody has left, it has let go of everything."""
    served: set[asyncio.Task[None]] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.create_task(serve_one(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*served)


@asynccontextmanager
async def pair(client_key: bytes = KEY, name: str = "two") -> AsyncIterator[tuple[Channel, Channel]]:
    """The client's end and the server's, whose name is "two"."""
    accepted: asyncio.Queue[Channel] = asyncio.Queue()
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accepted.put(await accept(reader, writer, KEY, "two"))
        await left.wait()

    async with listening(serve) as port:
        ours = await connect("127.0.0.1", port, client_key, name)
        theirs = await accepted.get()
        try:
            yield ours, theirs
        finally:
            left.set()
            ours.abort()
            theirs.abort()


async def test_frames_go_both_ways_in_order() -> None:
    async with pair() as (one, two):
        for number in range(5):
            one.put({"number": number})
            await two.send({"text": "grüße 你好 " * number})
        for number in range(5):
            assert await two.receive(SECONDS) == {"number": number}
            assert await one.receive(SECONDS) == {"text": "grüße 你好 " * number}


async def test_what_was_sent_before_a_close_still_arrives() -> None:
    async with pair() as (one, two):
        one.put({"do": "bye"})
        one.close()
        assert one.is_closing
        assert await two.receive(SECONDS) == {"do": "bye"}
        with pytest.raises(ChannelLost):
            await two.receive(SECONDS)


@pytest.mark.parametrize(("key", "name"), [(OTHER_KEY, "two"), (KEY, "three")])
async def test_without_the_key_or_the_servers_name_nothing_opens_on_either_side(key: bytes, name: str) -> None:
    async with pair(key, name) as (one, two):
        one.put({"turn": "a"})
        two.put({"frame": "b"})
        for end in (one, two):
            with pytest.raises(ChannelLost, match="InvalidTag"):
                await end.receive(SECONDS)


class Wire:
    """Somebody in the middle, who sees what the client sends, and may change it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.seen = b""
        self.change: Callable[[bytes], bytes] = lambda data: data

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        back = asyncio.create_task(self.pump(far_reader, writer))
        with suppress(OSError):
            while data := await reader.read(65536):
                self.seen += data
                far_writer.write(self.change(data))
        far_writer.close()
        await back

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()


@asynccontextmanager
async def through_a_wire() -> AsyncIterator[tuple[Channel, asyncio.Queue[Any], Wire]]:
    """A client's end, what the server made of each connection's first frame, and the wire between them."""
    first: asyncio.Queue[Any] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            channel = await accept(reader, writer, KEY, "two")
            await first.put(await channel.receive(SECONDS))
        except ChannelLost as lost:
            await first.put(lost)

    async with listening(serve) as port:
        wire = Wire(port)
        async with listening(wire) as wire_port:
            channel = await connect("127.0.0.1", wire_port, KEY, "two")
            yield channel, first, wire
            channel.abort()


async def test_what_was_recorded_is_of_no_use_in_another_connection() -> None:
    async with through_a_wire() as (channel, first, wire):
        channel.put({"turn": "secret-id"})
        assert await first.get() == {"turn": "secret-id"}
        assert b"secret-id" not in wire.seen
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        writer.write(wire.seen)
        assert isinstance(await first.get(), ChannelLost)
        assert len(await reader.read()) == NONCE_BYTES
        writer.close()


async def test_what_was_changed_on_the_way_does_not_open() -> None:
    async with through_a_wire() as (channel, first, wire):
        wire.change = lambda data: data[:-1] + bytes([data[-1] ^ 1])
        channel.put({"turn": "a"})
        assert isinstance(await first.get(), ChannelLost)


async def test_a_frame_that_comes_twice_does_not_open_again() -> None:
    async with pair() as (one, two):
        sealed = one._seals.encrypt(channels._number(0), b"{}", None)
        one._writer.write((len(sealed).to_bytes(4, "big") + sealed) * 2)
        assert await two.receive(SECONDS) == {}
        with pytest.raises(ChannelLost, match="InvalidTag"):
            await two.receive(SECONDS)


async def test_what_comes_back_is_not_taken_for_an_answer() -> None:
    async def mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begin = await reader.readexactly(len(MAGIC) + NONCE_BYTES)
        writer.write(begin[len(MAGIC) :])
        while data := await reader.read(65536):
            writer.write(data)

    async with listening(mirror) as port:
        channel = await connect("127.0.0.1", port, KEY, "two")
        channel.put({"turn": "a"})
        with pytest.raises(ChannelLost, match="InvalidTag"):
            await channel.receive(SECONDS)
        channel.abort()


@pytest.mark.parametrize("length", [0, 16, 4 * 1024 + 1, 2**32 - 1])
async def test_a_frame_that_is_too_large_or_none_is_not_read(length: int) -> None:
    async with pair() as (one, two):
        one._writer.write(length.to_bytes(4, "big"))
        with pytest.raises(ChannelLost, match="a frame of"):
            await two.receive(SECONDS)


@pytest.mark.parametrize("text", [b"[1]", b"{", b"\xff"])
async def test_what_is_no_object_is_refused(text: bytes) -> None:
    async with pair() as (one, two):
        sealed = one._seals.encrypt(channels._number(0), text, None)
        one._writer.write(len(sealed).to_bytes(4, "big") + sealed)
        with pytest.raises(ChannelLost):
            await two.receive(SECONDS)


@pytest.mark.parametrize("begin", [b"GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n", b"llmgate\2" + b"n" * 32])
async def test_who_speaks_something_else_gets_no_answer(begin: bytes) -> None:
    async with through_a_wire() as (_, first, wire):
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        writer.write(begin)
        assert isinstance(await first.get(), ChannelLost)
        assert await reader.read() == b""
        writer.close()


async def test_silence_ends_the_handshake_at_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "HANDSHAKE_SECONDS", 0.05)
    ended: asyncio.Queue[bytes] = asyncio.Queue()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.put(await reader.read(-1))

    async with listening(silent) as port:
        with pytest.raises(ChannelLost, match="Timeout"):
            await connect("127.0.0.1", port, KEY, "two")
        assert await ended.get() != b""
    async with through_a_wire() as (_, first, wire):
        _, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        assert isinstance(await first.get(), ChannelLost)
        writer.close()


async def test_who_does_not_take_what_is_sent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "STALL_SECONDS", 0.05)
    async with pair() as (_, two):
        text = {"text": "x" * 1_000_000}
        with pytest.raises(ChannelLost, match="Timeout"):
            await asyncio.gather(*(two.send(text) for _ in range(20)))


async def test_nobody_there_is_told_as_such() -> None:
    async with pair() as (_, two):
        port = two._writer.get_extra_info("sockname")[1]
    with pytest.raises(ChannelLost):
        await connect("127.0.0.1", port, KEY, "two")
