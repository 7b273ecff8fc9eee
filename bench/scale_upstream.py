"""A fake Ollama that takes a while for each answer and counts how many it works on at once.

The model ``think-20-20`` says nothing for 20 milliseconds and then all of its 20 chunks. ``/most`` tells the largest
number of requests that there were at any moment. Run: ``python -m bench.scale_upstream PORT MODEL``.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import ClassVar

import uvloop

from bench.upstream import HEAD, LISTINGS, TOKEN, Upstream, end

MOST = b"/most"


class Thinker(Upstream):
    """One connection."""

    at_work: ClassVar[set[Thinker]] = set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.at_work.discard(self)
        super().connection_lost(exc)

    def _answer(self, body: bytes) -> None:
        asked = re.search(rb'"think-(\d+)-(\d+)"', body)
        assert asked is not None
        self.at_work.add(self)
        LISTINGS[MOST] = b"%d" % max(len(self.at_work), int(LISTINGS[MOST]))
        asyncio.get_running_loop().call_later(int(asked[1]) / 1000, self._say, int(asked[2]))

    def _say(self, chunks: int) -> None:
        """It has a slot until the end is written."""
        self._write(HEAD + chunks * TOKEN)
        self.at_work.discard(self)
        self._write(end(chunks))


async def main(port: int, model: str) -> None:
    listed = json.dumps({"models": [{"name": model, "model": model}]}).encode()
    LISTINGS.update({b"/api/tags": listed, b"/api/ps": listed, MOST: b"0"})
    server = await asyncio.get_running_loop().create_server(Thinker, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
