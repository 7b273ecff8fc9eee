"""Many streams at once, each checked to the last byte, and how late each chunk is.

Run: ``python -m bench.streams_client URL KEY MODEL STREAMS SECONDS``, the model one of ``bench.streams_upstream``; the
streams begin evenly over so many seconds. Prints what it ``Heard`` as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import statistics
import sys
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, cast
from urllib.parse import urlsplit

import uvloop

from bench.client import request
from bench.streams_upstream import CLOCK, CLOCK_DIGITS, digest_event, ending

STRETCHES: Final = 5
"""Equal ones, of the time of all streams together: each has its delays."""


class Unchunked:
    """The body of an answer in chunked transfer encoding."""

    def __init__(self) -> None:
        self._rest = b""
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        """What is whole now. Raises ValueError for what is no chunk."""
        data = self._rest + data if self._rest else data
        found, begin = [], 0
        while (line := data.find(b"\r\n", begin)) >= 0:
            size = int(data[begin:line], 16)
            end = line + 2 + size
            if len(data) < end + 2:
                break
            if data[end : end + 2] != b"\r\n":
                raise ValueError("a chunk does not end where it should")
            if size == 0:
                self.ended = True
            found.append(data[line + 2 : end])
            begin = end + 2
        self._rest = data[begin:]
        return b"".join(found)


class Proof:
    """Whether a stream of so many chunks is what the upstream wrote, byte for byte."""

    def __init__(self, chunks: int) -> None:
        self._left = chunks
        self._digest = hashlib.sha256()
        self._rest = b""
        self._ending = b"".join(ending(chunks))
        self._end: bytes | None = None
        """What has come after the digest, once that was there and right."""

    def feed(self, data: bytes, now: float) -> list[tuple[float, float]]:
        """When each of the chunks that are whole now was written, and how long it took to here. Raises ValueError when
        something was changed."""
        if self._end is not None:
            self._end += data
            return []
        events = (self._rest + data).split(b"\n\n")
        self._rest = events.pop()
        delays = []
        for number, event in enumerate(events):
            if self._left:
                self._digest.update(event + b"\n\n")
                self._left -= 1
                at = event.index(CLOCK) + len(CLOCK)
                written = float(event[at : at + CLOCK_DIGITS])
                delays.append((written, now - written))
                continue
            if event + b"\n\n" != digest_event(self._digest.hexdigest()):
                raise ValueError("the digest is another one")
            self._end = b"".join(one + b"\n\n" for one in events[number + 1 :]) + self._rest
            break
        return delays

    @property
    def holds(self) -> bool:
        """Everything has come, and nothing else."""
        return self._end == self._ending


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds, of the chunks that were written in one stretch of the time."""

    p50: float
    p99: float
    longest: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What the streams brought. ``exact`` were so to the last byte, ``wrong`` says what the others had; ``cpu`` is what
    this process used, in seconds."""

    streams: int
    exact: int
    wrong: dict[str, int]
    chunks: int
    stretches: list[Delays]
    cpu: float


class Ear(asyncio.Protocol):
    """Hears one stream; what it finds goes to where all of them tell it."""

    def __init__(self, message: bytes, chunks: int, written: array[float], delays: array[float]) -> None:
        self._message = message
        self._written, self._delays = written, delays
        self._body, self._proof = Unchunked(), Proof(chunks)
        self._head: bytes | None = b""
        self._transport: asyncio.Transport | None = None
        self.wrong: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """What was wrong with the stream; empty when nothing was."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("cut off")

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        try:
            if self._head is not None:
                self._head, found, data = (self._head + data).partition(b"\r\n\r\n")
                if not found:
                    return
                if not self._head.startswith(b"HTTP/1.1 200"):
                    raise ValueError(self._head.split(b"\r\n")[0].decode("latin-1"))
                self._head = None
            for written, delay in self._proof.feed(self._body.feed(data), now):
                self._written.append(written)
                self._delays.append(delay)
        except ValueError as error:
            self._end(str(error))
        if self._body.ended:
            self._end("" if self._proof.holds else "the end is another one")

    def _end(self, wrong: str) -> None:
        if not self.wrong.done():
            self.wrong.set_result(wrong)
        if self._transport is not None:
            self._transport.close()


def in_stretches(written: Sequence[float], delays: Sequence[float], count: int) -> list[Delays]:
    """The delays in equal stretches of the time from the first chunk to the last."""
    begin, end = min(written), max(written)
    found: list[list[float]] = [[] for _ in range(count)]
    for at, delay in zip(written, delays, strict=True):
        found[min(count - 1, int(count * (at - begin) / (end - begin)))].append(1000 * delay)
    cuts = [statistics.quantiles(one, n=100, method="inclusive") for one in found]
    return [Delays(of[49], of[98], max(one)) for of, one in zip(cuts, found, strict=True)]


async def main(url: str, key: str, model: str, streams: int, seconds: float) -> None:
    chunks = int(model.split("-")[1])
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    host, port = parts.hostname, parts.port
    message = request(parts.netloc, key, model)
    written, delays = array("d"), array("d")
    loop = asyncio.get_running_loop()
    ears = []
    gc.freeze()
    began = loop.time()
    for number in range(streams):
        await asyncio.sleep(began + seconds * number / streams - loop.time())
        _, ear = await loop.create_connection(lambda: Ear(message, chunks, written, delays), host, port)
        ears.append(ear)
    wrong = Counter([await ear.wrong for ear in ears])
    exact = wrong.pop("", 0)
    cpu = time.process_time()
    found = in_stretches(written, delays, STRETCHES)
    print(json.dumps(asdict(Heard(streams, exact, dict(wrong), len(delays), found, cpu))))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5])))
