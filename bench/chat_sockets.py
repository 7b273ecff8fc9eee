"""Fifty open chats: what they cost the daemon, idle and while half of them are answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench import processes
from bench.chat_upstream import MODEL

SOCKETS = 50
BUSY = 25
PAUSE_MS = 50
"""Between two tokens: 20 tokens a second are a quick reader's pace."""
SECONDS = 15.0
SETTLE = 3.0


@dataclass(slots=True)
class Cost:
    """CPU in percent of one core, memory in bytes, connections to the database that the daemon has open."""

    idle_cpu: float = 0.0
    busy_cpu: float = 0.0
    frames_per_second: float = 0.0
    frame_us: float = 0.0
    idle_memory: float = 0.0
    busy_memory: float = 0.0
    connections: list[int] = field(default_factory=list)
    """With no chat open, with all of them idle, with half of them answered."""


def database_connections(pid: int) -> int:
    """How often the process has the SQLite file open: once for each connection."""
    found = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found += link.readlink().name == "llmgate.db"
    return found


@dataclass(slots=True)
class Chat:
    """One open chat, and how many frames came for it."""

    socket: ClientConnection
    frames: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        """Count what comes, as long as it is open."""
        with suppress(ConnectionClosed):
            async for text in self.socket:
                kind = json.loads(text)["type"]
                self.frames += kind == "token"
                if kind in ("done", "refused"):
                    self.done.set()

    async def ask(self, words: int, ref: str) -> None:
        start = {"type": "start", "ref": ref, "conversation": None, "parent": None, "mode": "send"}
        question = {"content": f"write-{words}-{PAUSE_MS}", "model": MODEL, "keep": True}
        await self.socket.send(json.dumps({**start, **question}))


@asynccontextmanager
async def opened(url: str, tokens: Sequence[str]) -> AsyncIterator[list[Chat]]:
    """SOCKETS chats, of these users in turn."""
    address = url.replace("http://", "ws://") + "/gate/ws"
    async with AsyncExitStack() as stack:
        chats = []
        for number in range(SOCKETS):
            headers = {"authorization": f"Bearer {tokens[number % len(tokens)]}"}
            socket = await stack.enter_async_context(connect(address, additional_headers=headers, proxy=None))
            chats.append(Chat(socket))
        readers = [asyncio.create_task(chat.read()) for chat in chats]
        yield chats
    await asyncio.gather(*readers)


async def cpu(pid: int, seconds: float) -> float:
    """Percent of one core that the process takes over the next seconds."""
    loop = asyncio.get_running_loop()
    begun, used = loop.time(), processes.cpu_seconds([pid])
    await asyncio.sleep(seconds)
    return 100 * (processes.cpu_seconds([pid]) - used) / (loop.time() - begun)


async def measured(gateway: processes.Gateway, tokens: Sequence[str]) -> Cost:
    """Open them, look at the daemon, have half of them answered, and look again."""
    found = Cost()
    async with opened(gateway.url, tokens) as chats:  # so that everything has been used once
        await asked(chats[:BUSY], 20, "warm")
        await asyncio.gather(*(chat.done.wait() for chat in chats[:BUSY]))
    await asyncio.sleep(SETTLE)
    before = processes.memory_bytes(gateway.pid)
    found.connections.append(database_connections(gateway.pid))
    async with opened(gateway.url, tokens) as chats:
        await asyncio.sleep(SETTLE)
        found.idle_cpu = await cpu(gateway.pid, SECONDS)
        found.idle_memory = (processes.memory_bytes(gateway.pid) - before) / SOCKETS
        found.connections.append(database_connections(gateway.pid))
        await busy(gateway, chats[:BUSY], found)
        found.busy_memory = (processes.memory_bytes(gateway.pid) - before) / SOCKETS
        found.connections.append(database_connections(gateway.pid))
        await asyncio.gather(*(chat.done.wait() for chat in chats[:BUSY]))
    return found


async def asked(chats: Sequence[Chat], words: int, name: str) -> None:
    for number, chat in enumerate(chats):
        await chat.ask(words, f"{name}-{number}")


async def busy(gateway: processes.Gateway, chats: Sequence[Chat], found: Cost) -> None:
    """While they are answered: what a frame costs more than silence."""
    words = int(1000 * (SECONDS + 2 * SETTLE) / PAUSE_MS)
    await asked(chats, words, "busy")
    await asyncio.sleep(SETTLE)
    loop = asyncio.get_running_loop()
    begun, frames = loop.time(), sum(chat.frames for chat in chats)
    found.busy_cpu = await cpu(gateway.pid, SECONDS)
    count = sum(chat.frames for chat in chats) - frames
    found.frames_per_second = count / (loop.time() - begun)
    if not count:
        raise RuntimeError("nothing was answered")
    found.frame_us = 10_000 * (found.busy_cpu - found.idle_cpu) / found.frames_per_second
