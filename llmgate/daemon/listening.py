"""The listening socket. It needs nothing of the daemon, so that a parent of workers stays small."""

from __future__ import annotations

import errno
import socket

from llmgate.config import ServerSettings
from llmgate.errors import AddressInUse, StartupError

BACKLOG = 4096


def listen(settings: ServerSettings) -> socket.socket:
    """A listening socket. Raises AddressInUse or StartupError, saying what to do."""
    host, port = settings.host, settings.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as failure:
        raise StartupError(
            f"Cannot listen on {host!r}: {failure}.", hint="Set server.host to a local address."
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        _set_options(listener)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as failure:
        listener.close()
        if failure.errno == errno.EADDRINUSE:
            raise AddressInUse(
                f"Port {port} on {host} is taken by another program.",
                hint="Stop it, or choose another one with --port (0 takes any free one).",
            ) from None
        raise StartupError(f"Cannot listen on {host} port {port}: {failure.strerror}.") from None
    return listener


def _set_options(listener: socket.socket) -> None:
    """What each connection inherits: pieces of an answer go out as they come, the system takes little more of one than
    it can send, and a client that is not there any more, though no word of its leaving has arrived, is found out within
    a minute."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # By itself Linux keeps megabytes for one who reads slowly, and takes the next only when a third of them is gone:
    # for a minute and more such a client looks like one that takes nothing.
    options = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_NOTSENT_LOWAT", 64 * 1024))
    for option, value in options:
        if hasattr(socket, option):  # not everywhere
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def url_of(listener: socket.socket) -> str:
    """The URL under which this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
