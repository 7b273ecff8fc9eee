"""Who gets a place, who has to make room, and how little is said about it."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from llmgate.config import ServerSettings
from llmgate.daemon import connections as module
from llmgate.daemon.acceptor import Acceptor
from llmgate.daemon.connections import (
    SPARE,
    Connections,
    Place,
    Refusal,
    most_connections,
    raise_descriptor_limit,
)
from llmgate.daemon.events import ConnectionRefused


class Book:
    """The connections of a gateway with these settings, and what it was told."""

    def __init__(self, **settings: object) -> None:
        self.settings = ServerSettings(**settings)
        self.now = 0.0
        self.told: list[str] = []
        self.connections = Connections(lambda: self.settings, self._hear, clock=lambda: self.now)

    def _hear(self, event: ConnectionRefused) -> None:
        self.told.append(event.reason)

    def enter(self, address: str = "192.0.2.1", closed: Callable[[], None] = lambda: None) -> Place:
        place = self.connections.enter(address)
        assert isinstance(place, Place)
        place.close, place.is_heard = closed, True
        return place


def test_the_one_that_has_rested_longest_makes_room() -> None:
    book, closed = Book(max_connections=3, max_connections_per_address=0), list[str]()
    first, second, _ = (book.enter(closed=lambda name=name: closed.append(name)) for name in "abc")  # type: ignore[misc]
    first.busy()
    second.busy()
    second.idle()  # later than the third
    book.enter()
    assert closed == ["c"]
    book.enter()
    assert closed == ["c", "b"]
    assert len(book.connections) == 3
    assert book.told == ["made_room", "made_room"]


def test_a_few_too_many_may_ask_a_short_question_and_all_others_nothing() -> None:
    book = Book(max_connections=2, max_connections_per_address=0)
    places = [book.enter() for _ in range(2)]
    for place in places:
        place.busy()
    closed = list[int]()
    spare = [book.enter(closed=lambda number=number: closed.append(number)) for number in range(SPARE)]  # type: ignore[misc]
    assert all(place.is_spare for place in spare)
    extra = book.enter()  # for which the first of the spare ones, that has not asked yet, makes room
    assert closed == [0]
    for place in [*spare[1:], extra]:
        place.busy()
    assert book.connections.enter("192.0.2.1") is Refusal.FULL
    places[0].leave()
    places[0].leave()
    spare[1].leave()
    assert isinstance(book.connections.enter("192.0.2.1"), Place)


def test_nobody_makes_room_before_what_it_said_at_once_was_read() -> None:
    book, closed = Book(max_connections=2, max_connections_per_address=0), list[int]()
    places = [book.enter(closed=lambda number=number: closed.append(number)) for number in range(2)]  # type: ignore[misc]
    for place in places:
        place.is_heard = False
    spare = book.enter()
    assert spare.is_spare
    assert not closed
    places[1].is_heard = True
    book.enter()
    assert closed == [1]


@pytest.mark.parametrize(
    "same", [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8:0:0:ffff::2"), ("192.0.2.1", "::ffff:192.0.2.1")]
)
@pytest.mark.parametrize("other", ["192.0.2.2", "2001:db8:0:1::1"])
def test_one_address_gets_its_share(same: tuple[str, str], other: str) -> None:
    book = Book(max_connections=100, max_connections_per_address=2)
    first, _ = (book.enter(address) for address in same)
    assert [book.connections.enter(address) for address in same] == [Refusal.ADDRESS] * 2
    book.enter(other)
    first.leave()
    book.enter(same[1])
    assert book.told == ["address"] * 2


def test_one_address_never_gets_more_than_half() -> None:
    book = Book(max_connections=10, max_connections_per_address=1000)
    for _ in range(5):
        book.enter()
    assert book.connections.enter("192.0.2.1") is Refusal.ADDRESS
    book.settings = ServerSettings(max_connections=10, max_connections_per_address=0)  # at run time
    book.enter()


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.0.1", "::1", "10.1.2.3", "fd00::7%eth0", "unix"])
def test_this_machine_and_trusted_proxies_are_many_people(address: str) -> None:
    book = Book(max_connections=100, max_connections_per_address=1, trusted_proxies=["10.1.0.0/16", "fd00::/64"])
    for _ in range(20):
        book.enter(address)


def test_the_limit_stays_below_that_of_file_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {128: 64, 1024: 768, 20_000: 15_000, 16: 16, resource.RLIM_INFINITY: module.MOST}
    for descriptors, most in limits.items():
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=descriptors: (soft, soft))
        assert most_connections() == most
        assert Book(max_connections=10).connections.limit == 10
        assert Book(max_connections=1_000_000).connections.limit == most


def test_a_daemon_takes_the_descriptors_that_it_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: taken.append(limits))
    for found in ((1024, 4096), (1024, resource.RLIM_INFINITY), (4096, 4096)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, found=found: found)
        raise_descriptor_limit()
    assert taken == [(4096, 4096), (2 * module.MOST, resource.RLIM_INFINITY)]


def test_a_flood_is_told_in_a_few_lines() -> None:
    book = Book(max_connections=1, max_connections_per_address=0)
    with capture_logs() as lines:
        for _ in range(60_000):  # one minute
            book.now += 0.001
            book.connections.refused(Refusal.FULL, "192.0.2.1")
    assert 1 < len(lines) <= 7
    assert sum(line["full"] for line in lines) > 50_000
    assert len(book.told) == 60_000


async def test_an_acceptor_that_can_open_nothing_rests_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmgate.daemon.acceptor.REST_SECONDS", 0.05)
    book, served = Book(), asyncio.Event()
    asked = 0

    class Listener(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            nonlocal asked
            asked += 1
            if asked <= 3:
                raise OSError(24, "Too many open files")
            return super().accept()

    class Served(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            served.set()
            transport.close()

    with Listener() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        acceptor = Acceptor(listener, book.connections, lambda _: Served())
        acceptor.open()
        _, writer = await asyncio.open_connection(*listener.getsockname())
        async with asyncio.timeout(5):
            await served.wait()
        assert book.told == ["descriptors"] * 3
        acceptor.close()
        acceptor.close()
        await acceptor.wait_closed()
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_who_is_in_the_backlog_when_the_doors_close_is_let_in() -> None:
    book, served = Book(), list[Place]()

    class Served(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.close()

    def serve(place: Place) -> Served:
        served.append(place)
        return Served()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        acceptor = Acceptor(listener, book.connections, serve)
        acceptor.open()
        clients = [socket.create_connection(listener.getsockname()) for _ in range(40)]
        acceptor.close()
        await acceptor.wait_closed()
        assert len(served) == 40
        for client in clients:
            client.close()
