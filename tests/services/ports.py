"""Free ports on the loopback interface."""

from __future__ import annotations

import errno
import secrets
import socket

# Below the range from which Linux takes the source ports of connections. A client that keeps dialling a
# port of that range while its server is down connects to itself, sooner or later.
_LOWEST, _HIGHEST = 15_000, 32_000
_STANDARD = {25672}  # RabbitMQ's own, between its nodes


def free_ports(count: int) -> list[int]:
    """As many different ports, on which nothing listens now."""
    found: set[int] = set()
    while len(found) < count:
        port = _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST)
        if port not in _STANDARD and _is_free(port):
            found.add(port)
    return list(found)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        return True
