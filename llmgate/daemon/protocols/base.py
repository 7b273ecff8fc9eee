"""What a protocol is: its routes, and how it looks on the wire."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from llmgate.errors import LLMGateError


class Task(StrEnum):
    """What a route asks of a model."""

    CHAT = "chat"
    GENERATE = "generate"
    EMBED = "embed"


@dataclass(frozen=True, slots=True)
class Route:
    """One inference route of a protocol. ``stream_default`` is what a body without ``stream`` means."""

    path: str
    task: Task
    stream_default: bool = False
    can_stream: bool = True


@dataclass(slots=True)
class Usage:
    """Tokens as the model reported them; None where it did not."""

    input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def service(self) -> float | None:
        """Weighted tokens (VTC: input plus twice the output), None when nothing was reported."""
        if self.input_tokens is None and self.output_tokens is None:
            return None
        return (self.input_tokens or 0) + 2.0 * (self.output_tokens or 0)


@dataclass(slots=True)
class Call:
    """One judged request. ``body`` is what will be forwarded: the object that was judged, nothing else.

    ``model`` is the name as the client wrote it, ``canonical_model`` as its pool lists it. ``wants_usage``
    tells whether an OpenAI client asked for the usage chunk itself. ``sent_at`` is when it was last sent
    to an upstream, in seconds on the monotonic clock. ``headers`` are those of the client's that go on.
    """

    request_id: str
    protocol: Protocol
    route: Route
    body: dict[str, Any]
    model: str
    stream: bool
    wants_usage: bool = True
    canonical_model: str = ""
    sent_at: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    is_endless: bool = False
    """The client wanted no end, and got the longest that is allowed."""


class StreamReader(ABC):
    """Reads an upstream's stream as it is relayed, one object per answer.

    ``feed`` returns the bytes that the client shall see (whole lines or events only: what is not
    complete yet is kept back), so that a cut stream never shows half a line. Raises
    UpstreamProtocolError when a line outgrows the bound.

    Once ``complete`` is true nothing more comes: the bytes returned until then are the whole answer and
    ``usage`` is settled. What an upstream sends after that is neither shown nor read.
    """

    usage: Usage
    complete: bool
    """The upstream said that its answer is complete (``done``, ``[DONE]``, ``message_stop``)."""
    failed: str | None
    """The upstream's own error message, when it sent one inside the stream (it is relayed as it is)."""

    @abstractmethod
    def feed(self, chunk: bytes) -> bytes:
        """Take what arrived, return what to relay."""

    @abstractmethod
    def finish(self) -> bytes:
        """The stream ended: settle ``usage`` and ``complete``; returns what was kept back but is whole.

        Nothing, when the stream was complete before.
        """


class Protocol(ABC):
    """A dialect: what clients of one kind send and expect."""

    name: ClassVar[str]
    stream_type: ClassVar[str]
    """Content type of a streamed answer."""
    routes: ClassVar[Mapping[str, Route]]

    @abstractmethod
    def parse(self, request_id: str, route: Route, body: dict[str, Any]) -> Call:
        """Judge a body: model and stream, and the shape of what we look at. Raises InvalidRequest."""

    @abstractmethod
    def error_body(self, error: LLMGateError, request_id: str) -> bytes:
        """The error as a JSON body."""

    @abstractmethod
    def is_error(self, content: dict[str, Any]) -> bool:
        """Whether an upstream's error body is in this dialect, so that it can be passed on as it is."""

    @abstractmethod
    def error_event(self, error: LLMGateError, request_id: str) -> bytes:
        """The error as the terminal event of a stream that has begun."""

    @abstractmethod
    def keepalive(self, call: Call) -> bytes:
        """Bytes that keep a waiting stream open and mean nothing to the client."""

    @abstractmethod
    def reader(self, call: Call) -> StreamReader:
        """A reader for one streamed answer of an upstream that speaks this protocol."""

    @abstractmethod
    def usage_of(self, call: Call, answer: dict[str, Any]) -> Usage:
        """The tokens that a whole (unstreamed) answer reports."""

    @abstractmethod
    def cost_of(self, call: Call, body_bytes: int) -> float:
        """Expected service in weighted tokens, from the size of the body and the limits in it."""
