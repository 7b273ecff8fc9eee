"""A fake Ollama that serves one request at a time, as they come, and remembers when they came and when it began.

``turn-100`` takes 100 milliseconds: the first word at once, the rest at the end. The question begins with the
request's name, ``request-low-3``. GET /log tells of each name when it came and when it was begun (0: not yet), by the
clock that all processes share.

Run: ``python -m bench.turns_upstream PORT MODEL …``.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import deque

import uvloop

from bench.upstream import HEAD, LISTINGS, TOKEN, Upstream, end, list_models


class Line:
    """Who is served, and who waits for it in the order of arrival."""

    def __init__(self) -> None:
        self._log: dict[str, tuple[float, float]] = {}
        self._waiting: deque[tuple[OneByOne, str, float]] = deque()
        self._served: OneByOne | None = None
        self._end: asyncio.TimerHandle | None = None

    def join(self, who: OneByOne, name: str, seconds: float) -> None:
        self._note(name, time.monotonic(), 0.0)
        self._waiting.append((who, name, seconds))
        if self._served is None:
            self._next()

    def leave(self, who: OneByOne) -> None:
        """Its connection is gone: nobody wants the rest of the answer."""
        self._waiting = deque(one for one in self._waiting if one[0] is not who)
        if self._served is who and self._end is not None:
            self._end.cancel()
            self._next()

    def _next(self) -> None:
        self._served = None
        if self._waiting:
            who, name, seconds = self._waiting.popleft()
            self._served = who
            self._note(name, self._log[name][0], time.monotonic())
            who.begin()
            self._end = asyncio.get_running_loop().call_later(seconds, self._done, who)

    def _done(self, who: OneByOne) -> None:
        who.finish()
        self._next()

    def _note(self, name: str, came: float, begun: float) -> None:
        self._log[name] = (came, begun)
        LISTINGS[b"/log"] = json.dumps(self._log).encode()


class OneByOne(Upstream):
    """One connection."""

    line: Line

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.line.leave(self)

    def begin(self) -> None:
        self._write(HEAD + TOKEN)

    def finish(self) -> None:
        self._write(end(1))

    def _answer(self, body: bytes) -> None:
        milliseconds = re.search(rb'"turn-(\d+)"', body)
        name = re.search(rb"request-([a-z0-9-]+)", body)
        self.line.join(self, name[1].decode() if name else "", int(milliseconds[1]) / 1000 if milliseconds else 0)


async def main(port: int, models: list[str]) -> None:
    list_models(models, slots=1)
    LISTINGS[b"/log"] = b"{}"
    OneByOne.line = Line()
    server = await asyncio.get_running_loop().create_server(OneByOne, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2:]))
