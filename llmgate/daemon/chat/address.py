"""Where the daemons of a cluster reach each other."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

import structlog
from yarl import URL

from llmgate.config import Settings
from llmgate.errors import StartupError

PORTS: Final = 64
"""So many workers of one machine can share a configured ``server.peer_port``: each takes the first that is free."""
LOOK_UP_SECONDS: Final = 3.0
"""Longest wait for the address of a name."""
_FAR_AWAY: Final = "192.0.2.1"
"""An address of nobody (RFC 5737): the way to it is the one to the world outside."""
_DISCARD: Final = 9


async def private_address(settings: Settings) -> tuple[str, Sequence[int]]:
    """Where a daemon with these settings listens to the others: the address, and the ports to try.

    A daemon that listens on all addresses takes the one from which it reaches the broker, which all of them reach.
    Raises StartupError for a configured name that means no address.
    """
    server = settings.server
    first = server.peer_port
    ports = range(first, min(first + PORTS, 65536)) if first else (0,)
    name = server.peer_host or server.host
    try:
        host = (await _look_up(name, socket.SOCK_STREAM))[1][0]
    except (OSError, TimeoutError) as failure:
        raise StartupError(
            f"Other daemons of the cluster cannot reach this one at {name}: {failure or 'no answer in time'}.",
            hint="Set server.peer_host to an address of this machine.",
        ) from None
    if ipaddress.ip_address(host).is_unspecified:
        host = await _way_to(str(URL(settings.queue.url.get_secret_value()).host), _FAR_AWAY)
    return host, ports


async def _way_to(*names: str) -> str:
    """The own address from which the first of these is reached that can be looked up at all."""
    for name in names:
        try:
            family, address = await _look_up(name, socket.SOCK_DGRAM)
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect(address)  # sends nothing: it only chooses the way
                return str(probe.getsockname()[0])
        except (OSError, TimeoutError):
            continue
    advice = "chats cannot be followed from other machines; set server.peer_host to an address of this one"
    structlog.get_logger("llmgate.chat").warning("own_address_unknown", advice=advice)
    return "127.0.0.1"


async def _look_up(name: str, kind: socket.SocketKind) -> tuple[socket.AddressFamily, tuple[str, int]]:
    async with asyncio.timeout(LOOK_UP_SECONDS):
        found = await asyncio.get_running_loop().getaddrinfo(name, _DISCARD, type=kind)
    return found[0][0], (str(found[0][4][0]), _DISCARD)
