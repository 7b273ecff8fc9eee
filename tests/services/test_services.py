"""The servers and the proxy that other tests trust."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aio_pika
import pytest
import pytest_asyncio
from aiormq.exceptions import ChannelAccessRefused

from tests.services.fixtures import StartBroker
from tests.services.proxy import FaultProxy
from tests.services.rabbitmq import RabbitServer

HEADER = b"AMQP\x00\x00\x09\x01"
SILENCE = 0.2
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}  # as /proc/net/tcp and tcp6 write it


def greet(port: int, *, timeout: float = 5.0) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(HEADER)
        return connection.recv(1)


def listening(pid: int) -> set[tuple[str, int]]:
    """Address and port of every TCP socket on which this process listens."""
    sockets = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it closes others meanwhile
            sockets.add(str(file.readlink()))
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    own = [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]
    return {(address, int(port, 16)) for address, port in (local.split(":") for local in own)}


async def put(url: str, queue: str, *bodies: bytes) -> None:
    """Store messages durably; returns when the broker has them."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(queue, durable=True)
        for body in bodies:
            message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(message, queue)


def test_the_broker_answers_and_listens_on_its_own_loopback_ports_only(rabbit: RabbitServer) -> None:
    assert greet(rabbit.port) == b"\x01"
    assert rabbit._broker is not None
    assert rabbit._mapper is not None
    found = listening(rabbit._broker.pid) | listening(rabbit._mapper.pid)
    assert {address for address, _ in found} <= LOOPBACK
    assert {port for _, port in found} == {rabbit.port, rabbit._distribution_port, rabbit._mapper_port}
    assert {port for _, port in found}.isdisjoint({5672, 25672, 4369})


async def test_a_vhost_has_its_own_queues_and_exchanges(rabbit: RabbitServer, vhost_url: str) -> None:
    name = "odd/näme"
    rabbit.add_vhost(name)
    await put(rabbit.url(name), "line", b"first", b"second")
    async with await aio_pika.connect(rabbit.url(name)) as connection:
        channel = await connection.channel()
        await channel.declare_exchange("topics", aio_pika.ExchangeType.TOPIC)
        queue = await channel.get_queue("line")
        message = await queue.get()
        assert message is not None
        assert rabbit.queues(name) == {"line": 2}  # one is unacknowledged
        assert rabbit.exchanges(name) == {"topics": "topic"}
        await message.ack()
    rabbit.delete_vhost(name)
    await put(vhost_url, "other")
    assert rabbit.queues(vhost_url.rsplit("/", 1)[1]) == {"other": 0}


async def test_a_user_may_do_what_its_permissions_say(rabbit: RabbitServer, vhost_url: str) -> None:
    vhost = vhost_url.rsplit("/", 1)[1]
    rabbit.add_user("reader@home", "s3cret/:")
    rabbit.set_permissions("reader@home", vhost, "^mine", "", ".*")
    url = rabbit.url(vhost, "reader@home", "s3cret/:")
    await put(url, "mine")
    with pytest.raises(ChannelAccessRefused):
        await put(url, "yours")


def test_a_failure_tells_what_the_broker_said(rabbit: RabbitServer) -> None:
    with pytest.raises(RuntimeError, match=r"no_such_vhost(.|\n)*\[info\]"):
        rabbit.delete_vhost("nowhere")


@pytest.mark.long
async def test_a_killed_broker_starts_again_with_what_it_had(broker: StartBroker) -> None:
    server = broker(config={"channel_max": 77}, advanced="[{rabbit, [{consumer_timeout, 20000}]}].")
    settings = "[element(2, application:get_env(rabbit, Key)) || Key <- [channel_max, consumer_timeout]]"
    assert server.eval(settings) == [77, 20000]
    server.add_vhost("kept")
    await put(server.url("kept"), "line", b"one")
    server.sync()
    server.kill()
    with pytest.raises(ConnectionRefusedError):
        greet(server.port)
    with pytest.raises(RuntimeError, match="not running"):
        server.freeze()
    server.start()
    assert server.queues("kept") == {"line": 1}
    await put(server.url("kept"), "line", b"two")
    server.restart()
    assert server.queues("kept") == {"line": 2}
    server.freeze()
    server.kill()
    server.stop()
    assert not server.directory.exists()


@pytest.mark.slow
async def test_a_frozen_or_alarmed_broker_is_silent_until_it_is_not(broker: StartBroker) -> None:
    server = broker()
    server.freeze()
    with pytest.raises(TimeoutError):
        greet(server.port, timeout=SILENCE)
    server.thaw()
    assert greet(server.port) == b"\x01"
    server.alarm(True)
    blocked = asyncio.create_task(put(server.url(), "line", b"one"))
    done, _ = await asyncio.wait([blocked], timeout=SILENCE)
    assert not done
    server.alarm(False)
    await blocked
    assert server.queues() == {"line": 1}


@pytest_asyncio.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    """In front of a server that sends every byte back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, FaultProxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, proxy: FaultProxy) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", proxy.port))

    async def ask(self, text: bytes) -> bytes:
        self.writer.write(text)
        return await asyncio.wait_for(self.reader.readexactly(len(text)), SILENCE)

    async def flood(self, size: int) -> None:
        for _ in range(size // 100_000):
            self.writer.write(bytes(100_000))
            await self.writer.drain()


async def test_the_proxy_forwards_both_ways_and_ends(proxy: FaultProxy) -> None:
    client = await Client.connect(proxy)
    assert await client.ask(b"hello") == b"hello"
    client.writer.write(b"last words")
    client.writer.write_eof()
    assert await client.reader.read() == b"last words"
    client.writer.close()


async def test_a_black_hole_keeps_connections_and_forwards_nothing(proxy: FaultProxy) -> None:
    old = await Client.connect(proxy)
    assert await old.ask(b"hello") == b"hello"
    await proxy.blackhole()
    new = await Client.connect(proxy)
    for client in (old, new):
        with pytest.raises(TimeoutError):
            await client.ask(b"anybody?")
    await proxy.heal()
    for client in (old, new):
        with pytest.raises(ConnectionResetError):
            await client.ask(b"again")
        client.writer.close()
    fresh = await Client.connect(proxy)
    assert await fresh.ask(b"hello") == b"hello"
    await proxy.heal()  # does nothing to connections that work
    assert await fresh.ask(b"hello") == b"hello"
    fresh.writer.close()


async def test_refusing_resets_connections_until_it_heals_on_the_same_port(proxy: FaultProxy) -> None:
    old = await Client.connect(proxy)
    assert await old.ask(b"hello") == b"hello"
    await proxy.refuse()
    with pytest.raises(ConnectionResetError):
        await old.ask(b"hello")
    old.writer.close()
    with pytest.raises(ConnectionRefusedError):
        await Client.connect(proxy)
    await proxy.heal()
    new = await Client.connect(proxy)
    assert await new.ask(b"hello") == b"hello"
    new.writer.close()


@pytest.mark.parametrize("silent", ["black hole", "receiver"])
async def test_the_proxy_does_not_store_what_nobody_takes(proxy: FaultProxy, silent: str) -> None:
    """The echo server stops reading when nobody reads its answers, as we do not."""
    client = await Client.connect(proxy)
    if silent == "black hole":
        await proxy.blackhole()
    flood = asyncio.create_task(client.flood(100_000_000))
    done, _ = await asyncio.wait([flood], timeout=3 * SILENCE)
    assert not done
    flood.cancel()
    client.writer.transport.abort()


async def test_a_client_of_a_dead_server_behind_the_proxy_is_reset(proxy: FaultProxy) -> None:
    async with FaultProxy(1) as dead:
        client = await Client.connect(dead)
        with pytest.raises(ConnectionResetError):
            await client.reader.read()
        client.writer.close()
