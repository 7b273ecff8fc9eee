"""The one place that talks HTTP to upstreams.

``UpstreamClient.send`` posts an inference request and hands the answer over as it arrives; ``read`` fetches a small
JSON document (listings, probes).

Which failure is which: until there is an open connection nothing was written (UpstreamUnreachable, may be tried
elsewhere); after it the upstream may have begun to work, also where a kept connection turns out to be closed
(UpstreamCut, never repeated). So that this does not happen, connections are kept only to Ollama: Go never closes an
idle one. llama.cpp closes each a quarter of a millisecond after a stream, unannounced, and others after 5 idle
seconds; a new connection costs them nothing beside an answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from llmgate.config import UpstreamSettings
from llmgate.daemon.hops import via
from llmgate.daemon.upstreams.base import Quick, UpstreamAnswer
from llmgate.daemon.upstreams.connection import BadAnswer, Connection, ConnectionCut, Incoming
from llmgate.daemon.upstreams.connections import Connections, ForbiddenAddress
from llmgate.daemon.upstreams.messages import document_in
from llmgate.daemon.upstreams.silence import Silence
from llmgate.errors import (
    LLMGateError,
    UpstreamCut,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)

DOCUMENT_BYTES: Final = 8 * 1024 * 1024
"""Largest JSON document that ``read`` takes."""
RETRY_AFTER_MAX: Final = 3600.0
_FORBIDDEN: Final = ("\r", "\n", "\0")
"""In a header: they would end it and begin something else."""


class UpstreamClient:
    """The connections to one upstream. Opened by its first request."""

    def __init__(self, settings: UpstreamSettings) -> None:
        self._settings = settings
        self._connections = Connections(settings.url, settings.connect_timeout, keeps=settings.kind == "ollama")
        self._heads: dict[tuple[str, str], bytes] = {}

    async def send(self, path: str, body: bytes, headers: Mapping[str, str]) -> UpstreamAnswer:
        """Post ``body`` and wait for the head of the answer.

        Raises UpstreamUnreachable, UpstreamTimeout, UpstreamCut or UpstreamProtocolError.
        """
        settings = self._settings
        return await self._ask("POST", path, body, headers, settings.first_byte_timeout, settings.idle_timeout)

    async def read(self, method: str, path: str, timeout: float, body: dict[str, Any] | None = None) -> Any:
        """A JSON document, fetched within ``timeout`` seconds; None when the answer is empty.

        Raises UpstreamUnreachable, UpstreamTimeout, UpstreamRefused (429), UpstreamRejected (any other
        status than 200) or UpstreamProtocolError.
        """
        name = self._settings.name
        sent = b"" if body is None else json.dumps(body).encode()
        try:
            async with asyncio.timeout(timeout):
                answer = await self._ask(method, path, sent, {"accept": "application/json"}, 2 * timeout, 2 * timeout)
                try:
                    document = await answer.read(DOCUMENT_BYTES)
                finally:
                    await answer.close()
        except TimeoutError:
            raise UpstreamTimeout(f"The upstream {name} did not answer {path} within {timeout:g} s.") from None
        except UpstreamCut as failure:
            raise UpstreamUnreachable(f"The upstream {name} cannot be reached.") from failure
        if answer.status == 429:
            raise UpstreamRefused(f"The upstream {name} limits our rate.", retry_after=answer.retry_after)
        if answer.status != 200:
            message = f"The upstream {name} answered {path} with status {answer.status}."
            raise UpstreamRejected(message, status=answer.status)
        try:
            return document_in(document) if document.strip() else None
        except (ValueError, RecursionError):
            raise UpstreamProtocolError(f"The upstream {name} answered {path} with something else than JSON.") from None

    async def close(self) -> None:
        """Close all connections."""
        self._connections.close()
        await asyncio.sleep(0)  # the event loop closes them in its next round, which may be the last one

    async def _ask(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], first: float, idle: float
    ) -> _Answer:
        head = self._head(method, path, body, headers)
        try:
            connection = await self._connections.take()
        except (OSError, RuntimeError) as failure:  # uvloop raises either
            why = _why_unreachable(failure)
            raise UpstreamUnreachable(f"The upstream {self._settings.name} cannot be reached: {why}.") from failure
        silence = Silence(first, idle, connection.abort)
        try:
            incoming = await connection.ask(head, body, silence)
        except (BadAnswer, ConnectionCut) as failure:
            silence.stop()
            connection.abort()
            raise explained(failure, silence, self._settings.name) from failure
        except BaseException:  # cancelled: the upstream must see it now, not when a large body has been sent
            silence.stop()
            connection.abort()
            raise
        answer = _Answer(self._settings.name, self._connections, connection, incoming, silence)
        if incoming.headers.get(b"content-encoding", b"identity") != b"identity":
            await answer.close()
            raise UpstreamProtocolError(f"The upstream {self._settings.name} encodes its answers, unasked.")
        return answer

    def _head(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """The request line and all headers. Raises UpstreamUnreachable when they cannot be written."""
        known = self._heads.get((method, path))
        try:
            if known is None:
                known = self._heads[method, path] = _encoded(self._unchanging(method, path))
            more = "".join([f"{name}: {_harmless(value)}\r\n" for name, value in headers.items()])
            return known + _encoded(f"{more}content-length: {len(body)}\r\n\r\n")
        except ValueError:
            message = f"The upstream {self._settings.name} cannot be asked: check its url and api_key."
            raise UpstreamUnreachable(message) from None

    def _unchanging(self, method: str, path: str) -> str:
        connections = self._connections
        lines = [
            f"{method} {connections.path}{path} HTTP/1.1",
            f"host: {connections.authority}",
            "accept-encoding: identity",
            "user-agent: llmgate",
            f"via: {via()}",
            "content-type: application/json",
        ]
        if key := self._settings.api_key.get_secret_value():
            lines.append(f"authorization: Bearer {key}")
        if not connections.keeps:
            lines.append("connection: close")
        return "".join([f"{_harmless(line)}\r\n" for line in lines])


class _Answer(UpstreamAnswer):
    def __init__(
        self, name: str, connections: Connections, connection: Connection, incoming: Incoming, silence: Silence
    ) -> None:
        self.status = incoming.status
        self.content_type = incoming.header(b"content-type")
        self.retry_after = seconds(incoming.header(b"retry-after"))
        self._name = name
        self._connections = connections
        self._connection: Connection | None = connection
        self._incoming = incoming
        self._silence = silence

    async def chunks(self, quick: Quick | None = None) -> AsyncIterator[bytes]:
        try:
            async for piece in self._incoming.pieces(quick):
                yield piece
        except (BadAnswer, ConnectionCut) as failure:
            self._silence.stop()
            raise explained(failure, self._silence, self._name) from failure
        self._silence.stop()

    async def read(self, limit: int) -> bytes:
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                raise UpstreamProtocolError(f"The upstream's answer is larger than {limit} bytes.")
        return bytes(body)

    async def close(self) -> None:
        self._silence.stop()
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._incoming.is_over:
            self._connections.give_back(connection)
        else:
            connection.abort()


def explained(failure: Exception, silence: Silence, name: str) -> LLMGateError:
    """What a failure of an open connection means."""
    if silence.is_over:
        return UpstreamTimeout(f"The upstream {name} said nothing for {silence.allowed:g} s.")
    if isinstance(failure, BadAnswer):
        return UpstreamProtocolError(f"The upstream {name} does not speak HTTP as it should.")
    return UpstreamCut(f"The upstream {name} closed the connection before its answer was complete.")


def _why_unreachable(failure: OSError | RuntimeError) -> str:
    """The reason, without the address: clients read it."""
    if isinstance(failure, ForbiddenAddress):
        return "its name means an address that no upstream may have"
    if isinstance(failure, socket.gaierror):
        return "its name does not resolve"
    if isinstance(failure, ssl.SSLCertVerificationError):
        return "its certificate is not valid"
    if isinstance(failure, ssl.SSLError):
        return "it does not speak TLS"
    if isinstance(failure, OSError) and failure.errno:
        return os.strerror(failure.errno).lower()
    return "it does not take connections"


def _harmless(line: str) -> str:
    """Raises ValueError for what would be more than one line."""
    if any(character in line for character in _FORBIDDEN):
        raise ValueError("not a line")
    return line


def _encoded(text: str) -> bytes:
    """As it came: what a client has sent was read as Latin-1. Only a key can hold anything else."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8")


def seconds(retry_after: str | None) -> float | None:
    """A Retry-After given in seconds (RFC 9110, 10.2.3); None for anything else."""
    if retry_after is None or not (retry_after.isascii() and retry_after.isdigit()):
        return None
    return min(float(retry_after[:9]), RETRY_AFTER_MAX)
