"""OpenAI's API: server-sent events. Chat and completions end with ``[DONE]``, responses with a typed event."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from llmgate.daemon.protocols.base import Call, Protocol, Route, StreamReader, Task, Usage
from llmgate.daemon.protocols.bodies import dump_body, refuse_case_variants
from llmgate.daemon.protocols.failures import message_in
from llmgate.daemon.protocols.fields import (
    expect,
    expect_messages,
    expected_cost,
    model_of,
    object_in,
    openai_usage,
    stream_of,
)
from llmgate.daemon.protocols.streams import RelayReader, event_data, events_end, events_in
from llmgate.errors import LLMGateError

_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class EventReader(RelayReader):
    """Relays server-sent events."""

    _terminator = b"\n\n"

    def __init__(self) -> None:
        super().__init__(events_end)

    def _units(self, units: bytes) -> Iterator[bytes]:
        return events_in(units)

    def _keep(self, unit: bytes) -> bool:
        content = object_in(event_data(unit))
        return content is None or self._read(content)

    @abstractmethod
    def _read(self, content: dict[str, Any]) -> bool:
        """Read an event that matters; False when the client shall not see it."""

    def _completed(self, rest: bytes) -> bytes:
        stripped = rest.rstrip(b"\r\n")
        data = event_data(stripped)
        whole = data == b"[DONE]" or object_in(data) is not None
        return stripped + b"\n\n" if whole else b""


class ChunkReader(EventReader):
    """Chat and text completions. The usage chunk is dropped unless the client asked for it."""

    _markers = (b'"prompt_tokens"', b"[DONE]", b'"error"')

    def __init__(self, wants_usage: bool) -> None:
        super().__init__()
        self._wants_usage = wants_usage

    def _keep(self, unit: bytes) -> bool:
        if event_data(unit) == b"[DONE]":
            self.complete = True
            return True
        return super()._keep(unit)

    def _read(self, content: dict[str, Any]) -> bool:
        if content.get("error"):
            self.failed = message_in(content) or "The upstream failed."
        usage = openai_usage(content)
        if usage is None:
            return True
        self.usage = usage
        return self._wants_usage or content.get("choices") != []


class ResponseReader(EventReader):
    """The responses API: typed events, the last of which carries the whole response and its usage."""

    _markers = (b"response.completed", b"response.incomplete", b"response.failed", b'"error"')

    def _read(self, content: dict[str, Any]) -> bool:
        kind = content.get("type")
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            self.complete = True
            response = content.get("response")
            response = response if isinstance(response, dict) else {}
            self.usage = openai_usage(response) or self.usage
            if kind == "response.failed":
                self.failed = message_in(response) or "The upstream failed."
        elif kind == "error" or (kind is None and content.get("error")):
            self.failed = message_in(content) or "The upstream failed."
        return True


class OpenAIProtocol(Protocol):
    """What clients of OpenAI's API send and expect."""

    name = "openai"
    stream_type = "text/event-stream"
    routes: ClassVar[Mapping[str, Route]] = {
        route.path: route
        for route in (
            Route("/v1/chat/completions", Task.CHAT),
            Route("/v1/completions", Task.GENERATE),
            Route("/v1/embeddings", Task.EMBED, can_stream=False),
            Route("/v1/responses", Task.CHAT),
        )
    }

    def parse(self, request_id: str, route: Route, body: dict[str, Any]) -> Call:
        model = model_of(body)
        call = Call(request_id, self, route, body, model, stream_of(body, route))
        if route.path == "/v1/chat/completions":
            expect_messages(body, required=True)
        elif route.path == "/v1/completions":
            expect(body, "prompt", str, list)
        else:
            expect(body, "input", str, list)
        if call.stream and route.path != "/v1/responses":
            call.wants_usage = _ask_for_usage(body)
        return call

    def error_body(self, error: LLMGateError, request_id: str) -> bytes:
        kind = _ERROR_TYPES.get(error.status, "server_error" if error.status >= 500 else "invalid_request_error")
        return dump_body({"error": {"message": error.text(), "type": kind, "code": error.code, "param": error.param}})

    def is_error(self, content: dict[str, Any]) -> bool:
        error = content.get("error")
        return isinstance(error, dict) and isinstance(error.get("message"), str)

    def error_event(self, error: LLMGateError, request_id: str) -> bytes:
        return b"data: " + self.error_body(error, request_id) + b"\n\n"

    def keepalive(self, call: Call) -> bytes:
        """A comment. Only one newline: an empty line would make some clients dispatch an empty event."""
        return b": keep-alive\n"

    def reader(self, call: Call) -> StreamReader:
        return ResponseReader() if call.route.path == "/v1/responses" else ChunkReader(call.wants_usage)

    def usage_of(self, call: Call, answer: dict[str, Any]) -> Usage:
        return openai_usage(answer) or Usage()

    def cost_of(self, call: Call, body_bytes: int) -> float:
        body = call.body
        limit = body.get("max_completion_tokens") or body.get("max_output_tokens") or body.get("max_tokens")
        return expected_cost(call.route.task, body, body_bytes, limit, body.get("n"))


def _ask_for_usage(body: dict[str, Any]) -> bool:
    """Make the upstream report usage in the stream; True when the client wanted that itself."""
    expect(body, "stream_options", dict)
    options: dict[str, Any] = body.get("stream_options") or {}
    refuse_case_variants(options, ("include_usage", "continuous_usage_stats"))
    wanted = options.get("include_usage") is True
    kept = options if wanted else {key: value for key, value in options.items() if key != "continuous_usage_stats"}
    body["stream_options"] = kept | {"include_usage": True}
    return wanted
