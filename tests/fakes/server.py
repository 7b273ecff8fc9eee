"""What both fakes share: scripts, gates, the record of what happened, and how an answer is played."""

from __future__ import annotations

import asyncio
import gzip
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

from tests.fakes.dialects import Answer
from tests.fakes.http import Connection
from tests.fakes.script import Script, Seen


class FakeServer(ABC):
    """A real HTTP server on loopback that does as it is told and remembers what it saw.

    Use it with ``async with``. ``requests`` are the inference requests, ``reads`` all others.
    """

    inference_paths: frozenset[str]

    def __init__(self, *, models: tuple[str, ...] = ("llama3.2:latest",), port: int = 0) -> None:
        self.models = list(models)
        self.loaded = list(models)
        self.port = port
        self.requests: list[Seen] = []
        self.reads: list[Seen] = []
        self.running = 0
        self.max_concurrency = 0
        self.default = Script()
        self._scripts: list[tuple[str | None, list[Script | None]]] = []
        self._gates: dict[str, asyncio.Event] = {}
        self._connections: set[Connection] = set()
        self._waiters: set[asyncio.Event] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after a ``stop`` on the same port as before."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._serve, self._connections, self._changed), "127.0.0.1", self.port, backlog=4096
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut every connection, as a crash does."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.cut(reset=True)
        await self._server.wait_closed()
        self._server = None
        await self.wait_for(lambda: not self._connections)

    # what tests say

    def script(self, script: Script, *, path: str | None = None, times: int | None = 1) -> None:
        """Answer the next ``times`` requests so (None: all of them from now on).

        Without a path it applies to inference requests. Scripts are used up in the order they came.
        """
        repeated: list[Script | None] = [script, None] if times is None else [script] * times
        self._scripts.append((path, repeated))

    def forget_scripts(self) -> None:
        """Be good again."""
        self._scripts.clear()

    def release(self, gate: str) -> None:
        """Let everything pass that waits, or will wait, at a gate."""
        self._gate(gate).set()

    async def wait_for(self, condition: Callable[[], bool], timeout: float = 5.0) -> None:
        """Wait until something about this fake is true. Raises TimeoutError."""
        signal = asyncio.Event()
        self._waiters.add(signal)
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    await signal.wait()
                    signal.clear()
        finally:
            self._waiters.discard(signal)

    async def request(self, number: int, timeout: float = 5.0) -> Seen:
        """The inference request with this number (from 0), waiting for it to arrive."""
        await self.wait_for(lambda: len(self.requests) > number, timeout)
        return self.requests[number]

    # what happens

    @abstractmethod
    def answer(self, seen: Seen, script: Script) -> Answer | None:
        """The good answer to a request; None for an unknown path."""

    @abstractmethod
    def error(self, text: str) -> bytes:
        """The body of an error."""

    def unknown_model(self, seen: Seen) -> str | None:
        """The error for a model that this server does not have."""
        model = str(seen.json.get("model", ""))
        known = {name.removesuffix(":latest") for name in self.models}
        return None if model.removesuffix(":latest") in known else f"model '{model}' not found"

    async def _serve(self, connection: Connection, seen: Seen) -> None:
        inference = seen.path in self.inference_paths and seen.method == "POST"
        if not inference:
            self.reads.append(seen)
            self._changed()
            await self._play(connection, seen, self._choose(seen, Script()))
            return
        self.requests.append(seen)
        self.running += 1
        self.max_concurrency = max(self.max_concurrency, self.running)
        self._changed()
        try:
            await self._play(connection, seen, self._choose(seen, self.default))
        finally:
            self.running -= 1

    def _choose(self, seen: Seen, default: Script) -> Script:
        inference = seen.path in self.inference_paths
        for path, scripts in self._scripts:
            if scripts and (path == seen.path or (path is None and inference)):
                chosen = scripts[0]
                if scripts[1:] != [None]:
                    scripts.pop(0)
                assert chosen is not None
                return chosen
        return default

    async def _play(self, connection: Connection, seen: Seen, script: Script) -> None:
        if script.gate is not None:
            await self._gate(script.gate).wait()
        if script.delay:
            await asyncio.sleep(script.delay)
        if script.hang:
            await asyncio.Event().wait()
        if script.cut_before_head:
            connection.cut(reset=script.reset)
            return
        if script.raw is not None:
            await connection.raw(script.raw)
            connection.cut()
            return
        if script.status != 200 or script.body is not None:
            body = script.body if script.body is not None else self.error(f"scripted error {script.status}")
            await self._whole(connection, script, script.status, body)
            return
        if seen.path in {*self.inference_paths, "/api/show"} and (problem := self.unknown_model(seen)):
            await self._whole(connection, script, 404, self.error(problem))
            return
        answer = self.answer(seen, script)
        if answer is None:
            await self._whole(connection, script, 404, b"404 page not found", "text/plain")
        elif answer.whole:
            await self._whole(connection, script, answer.status, answer.tokens[0])
        else:
            await self._stream(connection, seen, script, answer)

    async def _whole(
        self,
        connection: Connection,
        script: Script,
        status: int,
        body: bytes,
        content_type: str = "application/json; charset=utf-8",
    ) -> None:
        headers = dict(script.headers)
        if script.gzip:
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        await connection.head(status, script.content_type or content_type, len(body), headers)
        await connection.piece(body if script.cut_after is None else body[: script.cut_after])
        if script.cut_after is not None:
            connection.cut(reset=script.reset)

    async def _stream(self, connection: Connection, seen: Seen, script: Script, answer: Answer) -> None:
        headers = {**script.headers, **({"Content-Encoding": "gzip"} if script.gzip else {})}
        await connection.head(200, script.content_type or answer.content_type, None, headers)
        if script.endless_line:
            while True:
                await connection.piece(b"x" * 65536)
        for piece in answer.before:
            await self._piece(connection, seen, script, piece)
        for number, piece in enumerate(answer.tokens):
            if script.error_after is not None and number == script.error_after[0]:
                await connection.piece(answer.error)
                await connection.end()
                return
            if script.hang_after == number:
                await asyncio.Event().wait()
            if number in script.token_gates:
                await self._gate(script.token_gates[number]).wait()
            if script.interval and number:
                await asyncio.sleep(script.interval)
            await self._piece(connection, seen, script, piece)
            seen.tokens_sent += 1
            self._changed()
        answer.then()
        for piece in answer.after:
            await self._piece(connection, seen, script, piece)
        await connection.end()

    async def _piece(self, connection: Connection, seen: Seen, script: Script, piece: bytes) -> None:
        if script.cut_after is None or seen.sent + len(piece) < script.cut_after:
            await connection.piece(piece)
            return
        await connection.piece(piece[: script.cut_after - seen.sent])
        connection.cut(reset=script.reset)
        await asyncio.Event().wait()  # ended by the loss of the connection

    def _gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())

    def _changed(self) -> None:
        for signal in self._waiters:
            signal.set()
