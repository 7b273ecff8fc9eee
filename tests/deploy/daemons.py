"""Daemons that only a proxy would meet: each does one thing with every request, and counts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Answer = bytes | None
"""A whole HTTP answer; None hangs up without one."""


@dataclass(slots=True, eq=False)
class Stub:
    """What stands behind nginx. ``heads`` and ``bodies`` are the requests that it has read."""

    url: str = ""
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def stub(answer: Callable[[bytes], Answer]) -> AsyncIterator[Stub]:
    """A daemon that answers each request as ``answer`` says, which is given its head."""
    made = Stub()
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        with suppress(EOFError, OSError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1])) if length else b""
                made.heads.append(head)
                made.bodies.append(body)
                said = answer(head)
                if said is None:
                    break
                writer.write(said)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


def says(status: int, body: bytes = b"{}", *headers: str) -> bytes:
    """An HTTP answer."""
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
