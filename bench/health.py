"""Asks a daemon how it does, again and again, and notes how long each answer takes.

Run: ``python -m bench.health URL PATH …`` asks for each path every 20 milliseconds, over a connection of its own, until
its input ends. It prints "asking" when it begins, and at the end a list of ``[path, due, seconds]`` as JSON. It is a
process of its own, so that nothing else that measures can delay it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import uvloop

EVERY: Final = 0.02
LIMIT: Final = 64 * 1024 * 1024
"""Of the line in which all of the answers are told."""


@dataclass(frozen=True, slots=True)
class Answers:
    """How long each answer took. ``seconds`` are counted from when the question was due, on the monotonic clock: one
    that was late because the answer before it was late has waited all that time."""

    all: list[tuple[str, float, float]] = field(default_factory=list)

    def between(self, path: str, begin: float, end: float) -> list[float]:
        """Milliseconds of the questions of this time."""
        return [1000 * seconds for of, due, seconds in self.all if of == path and begin <= due < end]


async def ask(url: str, path: str, found: list[tuple[str, float, float]]) -> None:
    """Until it is cancelled. Raises RuntimeError for any answer but 200."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    message = f"GET {path} HTTP/1.1\r\nhost: {parts.netloc}\r\n\r\n".encode()
    due = time.monotonic()
    while True:
        due += EVERY
        if (rest := due - time.monotonic()) > 0:
            await asyncio.sleep(rest)
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{path}: {head!r}")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        found.append((path, due, time.monotonic() - due))


async def main(url: str, paths: Sequence[str]) -> None:
    found: list[tuple[str, float, float]] = []
    asking = [asyncio.create_task(ask(url, path, found)) for path in paths]
    print("asking", flush=True)
    over = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait([*asking, over], return_when=asyncio.FIRST_COMPLETED)
    for task in asking:
        if task.done():
            task.result()
        task.cancel()
    print(json.dumps(found), flush=True)


@asynccontextmanager
async def asked(url: str, *paths: str) -> AsyncIterator[Answers]:
    """Ask for the time of the block; the answers are known after it."""
    answers = Answers()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.health", url, *paths, stdin=PIPE, stdout=PIPE, limit=LIMIT
    )
    assert child.stdout is not None
    await child.stdout.readline()
    try:
        yield answers
    finally:
        out, _ = await child.communicate(b"")  # closes its input
    if child.returncode:
        raise RuntimeError(f"health was not answered as it should: {url}")
    answers.all.extend((path, due, seconds) for path, due, seconds in json.loads(out))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2:]))
