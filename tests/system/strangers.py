"""Bare connections to a daemon that is a process of its own, and what comes over them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.system.commands import PASSWORD, Command, running
from tests.system.processes import START_SECONDS, run


@dataclass(frozen=True, slots=True)
class Site:
    """A daemon that serves, and somebody who has logged in there."""

    command: Command
    url: str
    token: str
    lines: list[Line] = field(default_factory=list)
    """All that were opened; dropped at the end."""

    def asking(self, *, stream: bool = False, connection: str = "keep-alive") -> bytes:
        """A request for an answer."""
        body = json.dumps({"model": "llama3.2", "messages": [], "stream": stream}).encode()
        head = (
            f"POST /api/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}\r\n"
            f"Connection: {connection}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def connect(self, said: bytes = b"") -> Line:
        parts = urlsplit(self.url)
        line = Line(*await asyncio.open_connection(parts.hostname, parts.port))
        self.lines.append(line)
        line.writer.write(said)
        return line

    async def until(self, asked: Callable[[], Awaitable[int]], count: int) -> None:
        """Wait until the answer to a question is so much."""
        async with asyncio.timeout(START_SECONDS):
            while await asked() < count:
                await asyncio.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Line:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def until(self, words: bytes) -> bytes:
        async with asyncio.timeout(START_SECONDS):
            return await self.reader.readuntil(words)

    async def rest(self) -> bytes:
        """All that comes until the other side closes it."""
        async with asyncio.timeout(START_SECONDS):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    def drop(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def site(home: Path, upstream: str, *more: str) -> AsyncIterator[Site]:
    """A daemon in front of this upstream; ``more`` are lines for ``[server]``."""
    config = home / "llmgate.toml"
    code, _, err = await run(
        "init", "--config", str(config), "--state-dir", str(home / "state"), "--upstream", upstream,
        "--port", "0", "--password-stdin", home=home, stdin=PASSWORD + "\n",
    )  # fmt: skip
    assert code == 0, err
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("[server]", "\n".join(["[server]", *more]), 1), encoding="utf-8")
    async with running("llmgate", "serve", "--config", str(config), home=home) as command:
        (url,) = await command.out.have(r"llmgate serves at (\S+)")
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            login = await client.post("/gate/auth/login", json={"name": "admin", "password": PASSWORD})
        there = Site(command, url, login.json()["access_token"])
        try:
            yield there
        finally:
            for line in there.lines:
                line.drop()
            await asyncio.gather(*(line.writer.wait_closed() for line in there.lines), return_exceptions=True)
