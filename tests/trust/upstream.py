"""Upstreams that answer as the plan of each request says, and write down what they were asked."""

from __future__ import annotations

import asyncio
import random
from itertools import chain

from tests.fakes import FakeOllama, Script, Seen
from tests.fakes.http import Connection
from tests.trust.answers import answer_to, plan
from tests.trust.journal import How, Journal, Start


class WitnessOllama(FakeOllama):
    """A fake Ollama that keeps a journal. ``name`` is the upstream's in the gateway's configuration."""

    def __init__(self, name: str, seed: int, journal: Journal) -> None:
        super().__init__()
        self.name = name
        self.cuts = 0
        """Answers that were cut as planned."""
        self._seed = seed
        self._journal = journal
        self._begun: dict[str, asyncio.Event] = {}

    def begun(self, nonce: str) -> asyncio.Event:
        """Set when this request arrives."""
        return self._begun.setdefault(nonce, asyncio.Event())

    def forget(self, nonce: str) -> None:
        self._begun.pop(nonce, None)

    async def _serve(self, connection: Connection, seen: Seen) -> None:
        nonce = seen.nonce if seen.path in self.inference_paths else None
        if nonce is None:
            await super()._serve(connection, seen)
            self.reads.clear()  # many hours of them would be kept
            return
        self.running += 1
        how, ended = await self._witnessed(connection, nonce)
        self.running -= 1
        self.cuts += how == "cut"
        self._journal.write(Start(nonce, self.name, seen.started_at, ended, how))

    async def _witnessed(self, connection: Connection, nonce: str) -> tuple[How, float]:
        """How it ended, and when: as soon as its end mark was out, though the framing comes later."""
        if nonce in self._begun:
            self._begun[nonce].set()
        try:
            return await self._answer(connection, nonce)
        except asyncio.CancelledError:  # the caller has hung up
            return "left", asyncio.get_running_loop().time()

    async def _answer(self, connection: Connection, nonce: str) -> tuple[How, float]:
        clock = asyncio.get_running_loop().time
        wanted = plan(self._seed, nonce)
        answer = answer_to(wanted)
        await asyncio.sleep(wanted.delay)
        if answer.whole:
            [body] = answer.tokens
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {answer.content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
            pieces = [head.encode() + body]
        else:
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {answer.content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
            parts = chain(answer.before, answer.tokens, answer.after)
            pieces = [head.encode(), *(b"%x\r\n%b\r\n" % (len(part), part) for part in parts), b"0\r\n\r\n"]
        left = wanted.cut if wanted.cut is not None and wanted.cut < sum(map(len, pieces)) else None
        said = clock()
        for number, piece in enumerate(pieces):
            if number > 1:
                await asyncio.sleep(wanted.interval)
            if left is not None and len(piece) > left:
                await connection.raw(piece[:left])
                connection.cut(reset=wanted.reset)
                return "cut", clock()
            left = left - len(piece) if left is not None else None
            if number < len(pieces) - 1 or answer.whole:
                said = clock()
            await connection.raw(piece)
        return "whole", said

    def _choose(self, seen: Seen, default: Script) -> Script:
        """Probes and listings are answered at once."""
        return Script()


def nonces(seed: int, client: int) -> str:
    """The beginning of this client's nonces: other runs have others."""
    return f"nonce-{random.Random(f'nonces/{seed}').randrange(16**6):06x}c{client:02}x"  # noqa: S311 - as above
