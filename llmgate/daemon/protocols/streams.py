"""Reading an upstream's stream while it is relayed.

Units are lines (newline-delimited JSON) or events (server-sent events, WHATWG HTML section 9.2). A
chunk that ends with a whole unit goes through untouched, and nothing is parsed unless one of a few
byte strings occurs in it: inside a JSON string quotes are escaped, so text that a model writes
cannot contain them.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterator

from llmgate.daemon.protocols.base import StreamReader, Usage
from llmgate.errors import UpstreamProtocolError

HELD_BACK_LIMIT = 4 * 1024 * 1024
"""Bytes of one unfinished line or event. Ollama's last line carries the whole context as numbers."""

_EVENT_END = re.compile(rb"\n\r?\n")
_LINE_END = re.compile(rb"\n")
_BETWEEN_EVENTS = (b":", b"\n", b"\r")
"""What comments and empty lines begin with."""

Boundary = Callable[[bytes | bytearray, int], int]
"""Where the last whole unit in a buffer ends (0: nowhere), looking for its end from an offset on."""


def lines_end(buffer: bytes | bytearray, start: int = 0) -> int:
    """The end of the last whole line."""
    return buffer.rfind(b"\n", start) + 1


def events_end(buffer: bytes | bytearray, start: int = 0) -> int:
    """The end of the last whole event. Comments and empty lines between events count as whole."""
    end = max(_after(buffer.rfind(b"\n\n", start), 2), _after(buffer.rfind(b"\n\r\n", start), 3))
    while buffer[end : end + 1] in _BETWEEN_EVENTS:
        line_end = buffer.find(b"\n", max(end, start))
        if line_end < 0:
            break
        end = line_end + 1
    return end


def events_in(buffer: bytes) -> Iterator[bytes]:
    """The events of a buffer that ends with a whole one; comments between them on their own."""
    start = 0
    while start < len(buffer):
        between = buffer[start : start + 1] in _BETWEEN_EVENTS
        match = (_LINE_END if between else _EVENT_END).search(buffer, start)
        end = match.end() if match else len(buffer)
        yield buffer[start:end]
        start = end


def event_data(event: bytes) -> bytes:
    """The content of an event's ``data`` lines."""
    data = [line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:")]
    return data[0] if len(data) == 1 else b"\n".join(data)


class UnitSplitter:
    """Keeps back what is not a whole line or event yet."""

    def __init__(self, boundary: Boundary) -> None:
        self._boundary = boundary
        self.held = bytearray()

    def split(self, chunk: bytes) -> bytes:
        """The whole units that ``chunk`` completes. Raises UpstreamProtocolError past the bound."""
        held = self.held
        if not held:
            end = self._boundary(chunk, 0)
            whole = chunk[:end]
            held += chunk[end:]
        else:
            start = max(0, len(held) - 2)  # the end of a unit may be split between two chunks
            held += chunk
            end = self._boundary(held, start)
            whole = bytes(held[:end])
            del held[:end]
        if len(held) > HELD_BACK_LIMIT:
            raise UpstreamProtocolError("The upstream sent a line of more than 4 MiB.")
        return whole

    def rest(self) -> bytes:
        """What is still held back, at the end of the stream."""
        rest = bytes(self.held)
        self.held.clear()
        return rest


class RelayReader(StreamReader):
    """Relays a stream as it is and reads the few units that matter.

    A protocol says which byte strings make a unit matter (``_markers``) and what to make of it.
    """

    _markers: tuple[bytes, ...]
    _terminator: bytes

    def __init__(self, boundary: Boundary) -> None:
        self.usage = Usage()
        self.complete = False
        self.failed: str | None = None
        self._boundary = boundary
        self._splitter = UnitSplitter(boundary)

    def feed(self, chunk: bytes) -> bytes:
        if self.complete:
            return b""
        splitter = self._splitter
        if splitter.held or not chunk.endswith(self._terminator):
            chunk = splitter.split(chunk)
        for marker in self._markers:
            if marker in chunk:
                return self._look_behind_first(chunk)
        return chunk

    def finish(self) -> bytes:
        if self.complete:
            return b""
        whole = self._completed(self._splitter.rest())
        return self._look_into(whole) if whole else b""

    def _look_behind_first(self, units: bytes) -> bytes:
        """What matters stands at the end of an answer: the tokens before it are passed on as they are."""
        first = min(found for marker in self._markers if (found := units.find(marker)) >= 0)
        start = self._boundary(units[:first], 0)
        return units[:start] + self._look_into(units[start:])

    def _look_into(self, units: bytes) -> bytes:
        kept = []
        for unit in self._units(units):
            if not self._matters(unit) or self._keep(unit):
                kept.append(unit)
            if self.complete:
                break
        return b"".join(kept)

    def _matters(self, unit: bytes) -> bool:
        return any(marker in unit for marker in self._markers)

    @abstractmethod
    def _units(self, units: bytes) -> Iterator[bytes]:
        """The single lines or events."""

    @abstractmethod
    def _keep(self, unit: bytes) -> bool:
        """Read a unit that matters; False when the client shall not see it."""

    @abstractmethod
    def _completed(self, rest: bytes) -> bytes:
        """The unit that the stream ended with, if only its terminator is missing; else nothing."""


def _after(index: int, length: int) -> int:
    return index + length if index >= 0 else 0
