"""A private connection between two daemons of one cluster: JSON objects, encrypted, over TCP.

Both know a key that is derived from the server's secret, and nobody else can take part, read or change anything:

    client    magic        8 bytes    "llmgate", version 1
              nonce       32 bytes    random
    server    nonce       32 bytes    random
    both      frames: the length in 4 bytes (big-endian), then a JSON object in AES-256-GCM (NIST SP 800-38D)

Each direction has a key of its own: HMAC-SHA256 (RFC 2104), under the common key, of the direction, the name of the
server and both nonces. Whoever can make a frame that opens has therefore the common key, means this server, and has
made it for this connection: what was recorded is of no use in another. The nonce of a frame is its number: one that is
missing, doubled or moved does not open. Before its first good frame a client costs little: few bytes, few seconds.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC: Final = b"llmgate\1"
NONCE_BYTES: Final = 32
HANDSHAKE_SECONDS: Final = 2.0
"""Longest wait for the other side's part of the handshake."""
STALL_SECONDS: Final = 30.0
"""Longest wait until the other side takes what was sent."""
LARGEST: Final = 16 * 1024 * 1024
"""Bytes of a frame to the one who follows: a snapshot holds a whole answer."""
LARGEST_ORDER: Final = 4 * 1024
"""Bytes of a frame to the daemon that is followed: ids."""
_LENGTH: Final = 4
_TAG: Final = 16


class ChannelLost(Exception):
    """The other side is gone, silent, or not who it should be."""


class Channel:
    """One end of a connection. ``largest`` bounds what it takes, in bytes."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        seals: bytes,
        opens: bytes,
        largest: int,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._seals = AESGCM(seals)
        self._opens = AESGCM(opens)
        self._largest = largest
        self._sent = self._received = 0

    def put(self, frame: Mapping[str, Any]) -> None:
        """Send something small, without waiting. Harmless when the connection is gone."""
        if self._writer.is_closing():
            return
        sealed = self._seals.encrypt(_number(self._sent), json.dumps(frame, ensure_ascii=False).encode(), None)
        self._sent += 1
        self._writer.write(len(sealed).to_bytes(_LENGTH, "big") + sealed)

    async def send(self, frame: Mapping[str, Any]) -> None:
        """Send, and wait while the other side takes nothing. Raises ChannelLost."""
        self.put(frame)
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await self._writer.drain()
        except (TimeoutError, OSError) as failure:
            raise ChannelLost(repr(failure)) from None

    async def receive(self, seconds: float) -> dict[str, Any]:
        """The next frame, waited for so long. Raises ChannelLost."""
        try:
            async with asyncio.timeout(seconds):
                length = int.from_bytes(await self._reader.readexactly(_LENGTH), "big")
                if not _TAG < length <= self._largest:
                    raise ChannelLost(f"a frame of {length} bytes")
                sealed = await self._reader.readexactly(length)
            frame = json.loads(self._opens.decrypt(_number(self._received), sealed, None))
        except (TimeoutError, OSError, EOFError, InvalidTag, ValueError) as failure:
            raise ChannelLost(repr(failure)) from None
        self._received += 1
        if not isinstance(frame, dict):
            raise ChannelLost("a frame that is no object")
        return frame

    @property
    def is_closing(self) -> bool:
        return self._writer.is_closing()

    def close(self) -> None:
        """Close it, once what was sent has gone out."""
        self._writer.close()

    def abort(self) -> None:
        """Close it at once."""
        self._writer.transport.abort()


async def connect(host: str, port: int, key: bytes, server: str) -> Channel:
    """Connect to the daemon whose private name is ``server``. Raises ChannelLost.

    Whether it is that daemon is known with its first frame.
    """
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                own = secrets.token_bytes(NONCE_BYTES)
                writer.write(MAGIC + own)
                theirs = await reader.readexactly(NONCE_BYTES)
            except BaseException:
                writer.transport.abort()
                raise
    except (TimeoutError, OSError, EOFError) as failure:
        raise ChannelLost(repr(failure)) from None
    asks, answers = _keys(key, server, own, theirs)
    return Channel(reader, writer, seals=asks, opens=answers, largest=LARGEST)


async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes, server: str) -> Channel:
    """The same at the other end; who connected is known with its first frame. Raises ChannelLost."""
    own = secrets.token_bytes(NONCE_BYTES)
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            begin = await reader.readexactly(len(MAGIC) + NONCE_BYTES)
            if not begin.startswith(MAGIC):
                raise ChannelLost("it speaks something else")
            writer.write(own)
            await writer.drain()
    except (TimeoutError, OSError, EOFError) as failure:
        raise ChannelLost(repr(failure)) from None
    asks, answers = _keys(key, server, begin[len(MAGIC) :], own)
    return Channel(reader, writer, seals=answers, opens=asks, largest=LARGEST_ORDER)


def _keys(key: bytes, server: str, client_nonce: bytes, server_nonce: bytes) -> tuple[bytes, bytes]:
    """Those of what the client sends, and of what the server sends."""
    context = b"\0" + server.encode() + b"\0" + client_nonce + server_nonce
    asks, answers = (hmac.digest(key, direction + context, "sha256") for direction in (b"client", b"server"))
    return asks, answers


def _number(count: int) -> bytes:
    return count.to_bytes(12, "big")
