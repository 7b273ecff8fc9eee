"""The clients of a soak and the upstream behind the gateway, both in this process: each request is known on both sides
by its nonce, and a client can hang up in the moment when the upstream begins.

An answer is short, takes 30 milliseconds and is another one for each nonce.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, cast
from urllib.parse import urlsplit

from bench.client import request
from bench.soak_journal import End, Journal, Plan
from bench.streams_client import Unchunked
from bench.streams_upstream import AFTER, BEFORE, ending
from bench.upstream import HEAD, LAST_CHUNK, Upstream, chunk, list_models

MODEL: Final = "soak"
SLOTS: Final = 12
CLIENTS: Final = 48
STEP_SECONDS: Final = 0.01
"""Before each of the three pieces of an answer."""

EVENTS: Final = 6
PIECES: Final = 3
PLANS: Final = ((Plan.LEAVES_LINE, 0.10), (Plan.LEAVES_MIDDLE, 0.08), (Plan.LEAVES_SILENCE, 0.02))
"""How many of the requests are given up; all others stay to the end."""

PATIENCE: Final = (0.002, 0.02)
"""Seconds that those have who leave the line: from, to."""

AGAIN_SECONDS: Final = 1.0
"""Before who got no connection tries again."""

DIGITS: Final = 9
_PLACE: Final = b"0" * DIGITS
_WORDS: Final = b"The quick"  # as long as a nonce
_NONCE: Final = re.compile(rb'"content": ?"(\d{9}) ')
_ENDING: Final = ending(EVENTS)


def said(nonce: int) -> list[bytes]:
    """The events of an answer that are this request's own."""
    return [BEFORE + b"%d.%d" % (nonce, number) + AFTER for number in range(EVENTS)]


def answer(nonce: int) -> bytes:
    """All that the client must get, without the chunks of the transfer."""
    return b"".join([*said(nonce), *_ENDING])


class Load:
    """Clients, each of which asks again when it has its answer or has given up, with keys of different levels."""

    def __init__(self, seed: int = 8) -> None:
        self.journal = Journal()
        self.asked: dict[int, tuple[Caller, float]] = {}
        """Those that are under way, and since when."""

        self.at_work: set[int] = set()
        """What the upstream works on and somebody waits for: of what is given up, it learns a little later."""

        self.most_at_work = 0

        self.closing = False
        self._chance = random.Random(seed)
        self._templates: list[list[bytes]] = []
        self._callers: list[Caller] = []

    def call(self, url: str, keys: Sequence[str]) -> None:
        """Let the clients come. ``url`` is the gateway's, ``keys`` are in the order of their levels."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        for key in keys:
            template = request(parts.netloc, key, MODEL, {"x-request-id": _PLACE.decode()})
            self._templates.append(template.replace(_WORDS, _PLACE, 1).split(_PLACE))
        self._callers = [Caller(self, (parts.hostname, parts.port)) for _ in range(CLIENTS)]
        for caller in self._callers:
            caller.connect()

    async def stop(self, seconds: float) -> None:
        """Nobody asks any more; wait so long for the answers that are under way."""
        self.closing = True
        deadline = time.monotonic() + seconds
        while self.asked and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        for caller in self._callers:
            caller.close()

    def new(self) -> tuple[int, Plan, bytes]:
        """The next request: its nonce, what its client has in mind, and its bytes."""
        plan, dice = Plan.STAYS, self._chance.random()
        for one, share in PLANS:
            if dice < share:
                plan = one
                break
            dice -= share
        # The first levels hardly ever wait: who wants to leave the line has to be in it.
        level = self._chance.randrange(3 if plan is Plan.LEAVES_LINE else 0, len(self._templates))
        nonce = self.journal.ask(plan)
        return nonce, plan, (b"%09d" % nonce).join(self._templates[level])

    def patience(self) -> float:
        return self._chance.uniform(*PATIENCE)

    def begin(self, nonce: int) -> None:
        """The upstream has begun this one."""
        self.journal.begin(nonce)
        if nonce in self.asked:
            self.at_work.add(nonce)
            self.most_at_work = max(self.most_at_work, len(self.at_work))
        if nonce in self.asked and self.journal.plan[nonce] in {Plan.LEAVES_LINE, Plan.LEAVES_SILENCE}:
            self.asked[nonce][0].leave(nonce)

    def oldest(self) -> float:
        """Seconds since the one was asked that is under way longest."""
        first = next(iter(self.asked.values()), None)
        return time.monotonic() - first[1] if first is not None else 0.0


class Caller(asyncio.Protocol):
    """A client with one connection at a time, made anew whenever it has hung up."""

    def __init__(self, load: Load, address: tuple[str, int]) -> None:
        self._load = load
        self._address = address
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._nonce: int | None = None
        self._plan = Plan.STAYS
        self._patience: asyncio.TimerHandle | None = None
        self._head: bytes | None = b""
        self._body = Unchunked()
        self._got = b""

    def connect(self) -> None:
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        while not self._load.closing:
            try:
                await asyncio.get_running_loop().create_connection(lambda: self, *self._address)
            except OSError as error:
                self._load.journal.troubles[f"failed: no connection ({type(error).__name__})"] += 1
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                return

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        assert self._transport is not None
        if self._load.closing:
            self._transport.close()
            return
        nonce, self._plan, message = self._load.new()
        self._nonce, self._head, self._body, self._got = nonce, b"", Unchunked(), b""
        self._load.asked[nonce] = (self, time.monotonic())
        self._transport.write(message)
        if self._plan is Plan.LEAVES_LINE:
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(self._load.patience(), self.leave, nonce)

    def leave(self, nonce: int) -> None:
        """Hang up, if this is still the request: with a goodbye or, every second time, without."""
        if self._nonce != nonce or self._transport is None:
            return
        self._over(End.LEFT)
        if nonce % 2:
            self._transport.abort()
        else:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._nonce is None:  # what comes after a hang-up is nothing to anybody
            return
        try:
            if self._head is not None:
                self._head, found, data = (self._head + data).partition(b"\r\n\r\n")
                if not found:
                    return
                if not self._head.startswith(b"HTTP/1.1 200"):
                    raise ValueError(self._head.split(b"\r\n")[0].decode("latin-1"))
                self._head = None
            self._got += self._body.feed(data)
        except ValueError as error:
            self._fail(str(error))
            return
        if self._plan is Plan.LEAVES_MIDDLE and self._got:
            self.leave(self._nonce)
        elif self._body.ended:
            if self._got != answer(self._nonce):
                self._fail("another answer than the one that was written")
                return
            self._over(End.WHOLE)
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._nonce is not None:
            self._fail("cut off")
        if not self._load.closing:
            self.connect()

    def _fail(self, reason: str) -> None:
        self._load.journal.troubles[f"failed: {reason}"] += 1
        self._over(End.FAILED)
        if self._transport is not None:
            self._transport.abort()

    def _over(self, end: End) -> None:
        assert self._nonce is not None
        self._load.journal.end[self._nonce] = end
        self._load.at_work.discard(self._nonce)
        del self._load.asked[self._nonce]
        self._nonce = None
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class Teller(Upstream):
    """One connection of the gateway to the upstream."""

    def __init__(self, load: Load) -> None:
        super().__init__()
        self._load = load

    def _answer(self, body: bytes) -> None:
        asked = _NONCE.search(body)
        if asked is None:
            self._load.journal.troubles["changed: a request without its nonce"] += 1
            return
        nonce = int(asked[1])
        self._load.begin(nonce)
        asyncio.get_running_loop().call_later(STEP_SECONDS, self._tell, nonce, 0)

    def _tell(self, nonce: int, piece: int) -> None:
        if self._transport is None:  # nobody wants it any more
            return
        size = EVENTS // PIECES
        text = b"".join(map(chunk, said(nonce)[piece * size : (piece + 1) * size]))
        if piece == 0:
            text = HEAD + text
        if piece < PIECES - 1:
            self._write(text)
            asyncio.get_running_loop().call_later(STEP_SECONDS, self._tell, nonce, piece + 1)
            return
        self._load.journal.told[nonce] = 1
        self._load.at_work.discard(nonce)
        self._write(text + b"".join(map(chunk, _ENDING)) + LAST_CHUNK)


@asynccontextmanager
async def upstream(load: Load) -> AsyncIterator[str]:
    """The fake: its address."""
    list_models([MODEL])
    server = await asyncio.get_running_loop().create_server(lambda: Teller(load), "127.0.0.1", 0, backlog=1024)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
