"""Anthropic's Messages API: server-sent events with names, from ``message_start`` to ``message_stop``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from llmgate.daemon.protocols.base import Call, Protocol, Route, Task, Usage
from llmgate.daemon.protocols.bodies import dump_body
from llmgate.daemon.protocols.failures import message_in
from llmgate.daemon.protocols.fields import (
    count_of,
    expect,
    expect_messages,
    expected_cost,
    model_of,
    stream_of,
)
from llmgate.daemon.protocols.openai import EventReader
from llmgate.errors import LLMGateError

_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
_INPUT_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class MessageReader(EventReader):
    """Input is counted in ``message_start``, output in ``message_delta`` (cumulative)."""

    _markers = (b'"message_', b'"error"')

    def _read(self, content: dict[str, Any]) -> bool:
        match content.get("type"):
            case "message_start":
                self._count(_object(content.get("message")))
            case "message_delta":
                self._count(content)
            case "message_stop":
                self.complete = True
            case "error":
                self.failed = message_in(content) or "The upstream failed."
        return True

    def _count(self, content: dict[str, Any]) -> None:
        seen = _usage_in(content)
        if seen.input_tokens is not None:
            self.usage.input_tokens = max(seen.input_tokens, self.usage.input_tokens or 0)
        if seen.output_tokens is not None:
            self.usage.output_tokens = seen.output_tokens


class AnthropicProtocol(Protocol):
    """What clients of Anthropic's API send and expect."""

    name = "anthropic"
    stream_type = "text/event-stream"
    routes: ClassVar[Mapping[str, Route]] = {"/v1/messages": Route("/v1/messages", Task.CHAT)}

    def parse(self, request_id: str, route: Route, body: dict[str, Any]) -> Call:
        model = model_of(body)
        expect_messages(body, required=True)
        expect(body, "system", str, list)
        return Call(request_id, self, route, body, model, stream_of(body, route))

    def error_body(self, error: LLMGateError, request_id: str) -> bytes:
        kind = _ERROR_TYPES.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
        detail = {"type": kind, "message": error.text()}
        return dump_body({"type": "error", "error": detail, "request_id": request_id})

    def is_error(self, content: dict[str, Any]) -> bool:
        return content.get("type") == "error" and isinstance(content.get("error"), dict)

    def error_event(self, error: LLMGateError, request_id: str) -> bytes:
        return b"event: error\ndata: " + self.error_body(error, request_id) + b"\n\n"

    def keepalive(self, call: Call) -> bytes:
        return b'event: ping\ndata: {"type": "ping"}\n\n'

    def reader(self, call: Call) -> MessageReader:
        return MessageReader()

    def usage_of(self, call: Call, answer: dict[str, Any]) -> Usage:
        return _usage_in(answer)

    def cost_of(self, call: Call, body_bytes: int) -> float:
        return expected_cost(call.route.task, call.body, body_bytes, call.body.get("max_tokens"))


def _usage_in(content: dict[str, Any]) -> Usage:
    """What was read from a prompt cache is input too: the other protocols count it as such."""
    usage = _object(content.get("usage"))
    counts = [count for count in (count_of(usage.get(key)) for key in _INPUT_COUNTS) if count is not None]
    return Usage(sum(counts) if counts else None, count_of(usage.get("output_tokens")))


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
