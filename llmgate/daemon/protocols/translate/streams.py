"""Streamed answers: OpenAI's server-sent events in, Ollama's lines of JSON out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from llmgate.daemon.protocols.base import Call, StreamReader, Usage
from llmgate.daemon.protocols.failures import message_in
from llmgate.daemon.protocols.fields import object_in, openai_usage
from llmgate.daemon.protocols.streams import HELD_BACK_LIMIT, UnitSplitter, event_data, events_end, events_in
from llmgate.daemon.protocols.translate.shapes import (
    dumped,
    durations,
    ended,
    first_choice,
    piece,
    text_in,
    thinking_in,
    tool_call,
)
from llmgate.errors import UpstreamProtocolError

Clock = Callable[[], float]


def reader(call: Call, clock: Clock = time.monotonic, wall: Clock = time.time) -> StreamReader:
    """A reader for one streamed answer. ``clock`` measures durations, from ``call.sent_at`` on or else from
    now; ``wall`` dates the lines. Both in seconds."""
    return TranslatingReader(call, clock, wall)


class TranslatingReader(StreamReader):
    """Every piece of text becomes a line at once; tool calls are told when they are complete.

    The last line is written only when the upstream said that it is done (``[DONE]``, or a finish
    reason and the usage before the stream ended).
    """

    def __init__(self, call: Call, clock: Clock, wall: Clock) -> None:
        self.usage = Usage()
        self.complete = False
        self.failed: str | None = None
        self._call = call
        self._clock = clock
        self._wall = wall
        self._started = call.sent_at or clock()
        self._first_token: float | None = None
        self._splitter = UnitSplitter(events_end)
        self._tools = _ToolCalls()
        self._finish_reason: str | None = None
        self._timings: object = None

    def feed(self, chunk: bytes) -> bytes:
        if self._over:
            return b""
        events = self._splitter.split(chunk)
        return b"".join([self._translated(event) for event in events_in(events)]) if events else b""

    def finish(self) -> bytes:
        if self._over:
            return b""
        rest = self._splitter.rest()
        data = event_data(rest)
        out = self._translated(rest) if data == b"[DONE]" or object_in(data) is not None else b""
        if not self._over and self._finish_reason is not None and self.usage.service is not None:
            out += self._end()
        return out

    @property
    def _over(self) -> bool:
        return self.complete or self.failed is not None

    def _translated(self, event: bytes) -> bytes:
        data = event_data(event)
        if not data or self._over:
            return b""
        if data == b"[DONE]":
            return self._end()
        content = object_in(data)
        if content is None:
            raise UpstreamProtocolError("The upstream sent an event that is not a JSON object.")
        if content.get("error"):
            self.failed = message_in(content) or "The upstream failed."
            return _line({"error": self.failed})
        return self._chunk(content)

    def _chunk(self, content: dict[str, Any]) -> bytes:
        if content.get("usage"):
            self.usage = openai_usage(content) or self.usage
        self._timings = content.get("timings") or self._timings
        choice = first_choice(content)
        if choice is None:
            return b""
        delta = choice.get("delta")
        if isinstance(delta, dict):
            text, thought = text_in(delta, "content"), thinking_in(self._call, delta)
            self._tools.add(delta.get("tool_calls"))
        else:
            text, thought = text_in(choice, "text"), ""
        out = self._said(text, thought) if text or thought else b""
        if isinstance(choice.get("finish_reason"), str):
            self._finish_reason = choice["finish_reason"]
            out += self._called()
        return out

    def _said(self, text: str, thought: str = "", tool_calls: list[dict[str, Any]] | None = None) -> bytes:
        if self._first_token is None:
            self._first_token = self._clock() - self._started
        return _line(piece(self._call, text, thought, tool_calls, at=self._wall()))

    def _called(self) -> bytes:
        tool_calls = self._tools.taken()
        return self._said("", tool_calls=tool_calls) if tool_calls else b""

    def _end(self) -> bytes:
        out = self._called()
        self.complete = True
        spent = durations(self._timings, self._clock() - self._started, self._first_token)
        last = piece(self._call, at=self._wall())
        return out + _line(ended(last, self._finish_reason, self.usage, spent))


class _ToolCalls:
    """Puts tool calls together from the pieces in which OpenAI streams them."""

    def __init__(self) -> None:
        self._calls: dict[int, dict[str, Any]] = {}
        self._bytes = 0

    def add(self, deltas: object) -> None:
        """Raises UpstreamProtocolError when they outgrow the bound."""
        for delta in deltas if isinstance(deltas, list) else ():
            if not isinstance(delta, dict):
                continue
            function = delta.get("function")
            function = function if isinstance(function, dict) else {}
            index = delta.get("index")
            index = index if isinstance(index, int) else len(self._calls)
            call = self._calls.setdefault(index, {"id": None, "name": None, "arguments": []})
            call["id"] = call["id"] or delta.get("id")
            call["name"] = call["name"] or function.get("name")
            call["arguments"].append(text_in(function, "arguments"))
            self._bytes += 64 + len(call["arguments"][-1])
        if self._bytes > HELD_BACK_LIMIT:
            raise UpstreamProtocolError("The upstream sent tool calls of more than 4 MiB.")

    def taken(self) -> list[dict[str, Any]]:
        """The complete calls, once. Raises UpstreamProtocolError when one cannot be understood."""
        calls, self._calls = list(self._calls.values()), {}
        return [
            tool_call(index, call["id"], call["name"], "".join(call["arguments"])) for index, call in enumerate(calls)
        ]


def _line(content: dict[str, Any]) -> bytes:
    return dumped(content) + b"\n"
