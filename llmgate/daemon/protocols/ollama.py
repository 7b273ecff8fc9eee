"""Ollama's own API: newline-delimited JSON, one object per token, ``done`` in the last one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
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
    object_in,
    stream_of,
)
from llmgate.daemon.protocols.streams import RelayReader, lines_end
from llmgate.errors import LLMGateError


class OllamaReader(RelayReader):
    """Reads the counts from the last line, and an ``error`` line wherever it comes."""

    _markers = (b'"done":true', b'"done": true', b'"error"')
    _terminator = b"\n"

    def __init__(self) -> None:
        super().__init__(lines_end)

    def _units(self, units: bytes) -> Iterator[bytes]:
        return iter(units.splitlines(keepends=True))

    def _keep(self, unit: bytes) -> bool:
        line = object_in(unit)
        if line is None:
            return True
        if "error" in line:
            self.failed = message_in(line) or "The upstream failed."
        elif line.get("done") is True:
            self.complete = True
            self.usage = _usage_in(line)
        return True

    def _completed(self, rest: bytes) -> bytes:
        return rest + b"\n" if object_in(rest) is not None else b""


class OllamaProtocol(Protocol):
    """What clients of Ollama's own API send and expect."""

    name = "ollama"
    stream_type = "application/x-ndjson"
    routes: ClassVar[Mapping[str, Route]] = {
        route.path: route
        for route in (
            Route("/api/chat", Task.CHAT, stream_default=True),
            Route("/api/generate", Task.GENERATE, stream_default=True),
            Route("/api/embed", Task.EMBED, can_stream=False),
            Route("/api/embeddings", Task.EMBED, can_stream=False),
        )
    }

    def parse(self, request_id: str, route: Route, body: dict[str, Any]) -> Call:
        model = model_of(body)
        expect(body, "options", dict)
        if route.task is Task.CHAT:
            expect_messages(body, required=False)
        elif route.path == "/api/embed":
            expect(body, "input", str, list)
        else:
            expect(body, "prompt", str)
        return Call(request_id, self, route, body, model, stream_of(body, route))

    def error_body(self, error: LLMGateError, request_id: str) -> bytes:
        return dump_body({"error": error.text()})

    def is_error(self, content: dict[str, Any]) -> bool:
        return isinstance(content.get("error"), str)

    def error_event(self, error: LLMGateError, request_id: str) -> bytes:
        return self.error_body(error, request_id) + b"\n"

    def keepalive(self, call: Call) -> bytes:
        """An object like those of the answer, with empty content."""
        line: dict[str, Any] = {"model": call.model, "created_at": timestamp()}
        if call.route.task is Task.CHAT:
            line["message"] = {"role": "assistant", "content": ""}
        else:
            line["response"] = ""
        return dump_body(line | {"done": False}) + b"\n"

    def reader(self, call: Call) -> OllamaReader:
        return OllamaReader()

    def usage_of(self, call: Call, answer: dict[str, Any]) -> Usage:
        return _usage_in(answer)

    def cost_of(self, call: Call, body_bytes: int) -> float:
        limit = (call.body.get("options") or {}).get("num_predict")
        return expected_cost(call.route.task, call.body, body_bytes, limit)


def timestamp(seconds: float | None = None) -> str:
    """RFC 3339 in UTC, as Ollama writes it; ``seconds`` since the epoch, default now."""
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _usage_in(line: dict[str, Any]) -> Usage:
    return Usage(count_of(line.get("prompt_eval_count")), count_of(line.get("eval_count")))
