"""The moment in which a daemon stops to listen: whoever is connected by then is served, nobody else gets in."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from llmgate.daemon.backlog import close_for_good, hear_no_more


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def test_who_was_there_before_is_accepted_and_can_be_talked_to(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname(), timeout=5) as client:
        client.sendall(b"early")
        hear_no_more(listener)
        client.sendall(b" and late")
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(5)
            said = b""
            while len(said) < len(b"early and late"):
                said += accepted.recv(100)
            accepted.sendall(b"heard")
            assert (said, client.recv(100)) == (b"early and late", b"heard")


def test_who_comes_after_it_is_not_connected_and_then_refused(listener: socket.socket) -> None:
    address = listener.getsockname()
    hear_no_more(listener)
    with pytest.raises(TimeoutError):  # not connected and then reset, which could have cost a request
        socket.create_connection(address, timeout=0.3)
    close_for_good(listener)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)
