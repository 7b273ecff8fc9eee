"""The dialect in which the gateway serves a turn: Ollama's, with our own errors."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Final

from llmgate.daemon.protocols import Endpoint
from llmgate.daemon.protocols.base import Call
from llmgate.daemon.protocols.bodies import dump_body
from llmgate.daemon.protocols.failures import error_text
from llmgate.daemon.protocols.ollama import OllamaProtocol
from llmgate.errors import LLMGateError, UpstreamRejected

PROBLEM: Final = "problem"
"""The key of an error of ours inside a stream. Upstreams write theirs under ``error``."""


class ChatProtocol(OllamaProtocol):
    """Errors are problem documents, so that nothing of them is lost; a waiting stream needs nothing to stay open."""

    name: ClassVar[str] = "chat"

    def error_body(self, error: LLMGateError, request_id: str) -> bytes:
        return dump_body(problem_of(error, request_id))

    def error_event(self, error: LLMGateError, request_id: str) -> bytes:
        return dump_body({PROBLEM: problem_of(error, request_id)}) + b"\n"

    def keepalive(self, call: Call) -> bytes:
        return b""


def problem_of(error: LLMGateError, request_id: str | None = None) -> dict[str, Any]:
    """The error as a problem document that also says when to try again, which HTTP says in a header."""
    document = error.problem(request_id)
    if isinstance(error, UpstreamRejected):
        is_silent = error.message == error_text(error.status, b"")
        document["detail"] = words_of_server(f"status {error.status}." if is_silent else error.message)
    if error.retry_after is not None:
        document["retry_after"] = max(1, math.ceil(error.retry_after))
    return document


def words_of_server(words: str) -> str:
    """What a model's server says, for people: alone it would look like our own."""
    return f"The model's server said: {words}"


CHAT: Final = ChatProtocol()
ENDPOINT: Final = Endpoint(CHAT, CHAT.routes["/api/chat"])
