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


def url_of(listener: socket.socket) -> str:
    """The URL under which this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
