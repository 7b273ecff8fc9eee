"""The client that the gateway has in a turn: it sends one request, and hears the answer.

Stopping a turn is this client hanging up. So a turn is taken out of the line, or its generation ended, in the same way
as the request of any client who leaves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from llmgate.daemon.chat.dialect import ENDPOINT, PROBLEM, problem_of, words_of_server
from llmgate.daemon.chat.turn import LONGEST_ANSWER, Turn
from llmgate.daemon.exchange import Message, Scope
from llmgate.daemon.protocols.failures import error_text, message_in
from llmgate.daemon.protocols.fields import count_of, object_in
from llmgate.errors import LLMGateError, UpstreamError, UpstreamRejected

_NANOSECONDS: Final = 1e9
_HALF = re.compile("[\ud800-\udfff]")
_FIRST_HALF = re.compile("[\ud800-\udbff]$")
"""Half a character (a surrogate): JSON may have it, and nothing else of ours takes it."""


class Hearing:
    """Both sides of the request of a turn, as ASGI has them."""

    def __init__(self, turn: Turn, body: bytes) -> None:
        self.is_complete = False
        """The model has said that its answer is complete."""
        self.problem: dict[str, Any] | None = None
        """What went wrong, as a problem document."""
        self._turn = turn
        self._size = len(body)
        self._body: bytes | None = body
        self._status = 0
        self._request_id: str | None = None
        self._halves: dict[str, str] = {}

    def scope(self) -> Scope:
        path = ENDPOINT.route.path
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(self._size).encode()),
                (b"x-request-id", self._turn.id.encode()),
            ],
            "client": None,
            "server": None,
        }

    async def receive(self) -> Message:
        """The request, and then, when the turn is to end, that its client has gone."""
        # A turn that is to end before it has asked for anything does not ask at all.
        if self._body is not None and not self._turn.stopping.is_set():
            # Handed over for good: who waits in line holds it once, where it is counted.
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._turn.stopping.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._request_id = next(
                (value.decode("ascii") for name, value in message["headers"] if name == b"x-request-id"), None
            )
            return
        body: bytes = message.get("body", b"")
        if self._status != 200:
            self._refused(body)
            return
        for line in body.splitlines():
            content = object_in(line)
            if content is not None:
                self._hear(content)

    def _refused(self, body: bytes) -> None:
        content = object_in(body) or {}
        if "code" in content:
            self.problem = content
        else:  # the upstream's own words, in Ollama's dialect
            self._fail(UpstreamRejected(error_text(self._status, body), status=self._status))

    def _hear(self, line: MutableMapping[str, Any]) -> None:
        if isinstance(line.get(PROBLEM), dict):
            self.problem = line[PROBLEM]
        elif "error" in line:
            words = message_in(dict(line))
            self._fail(UpstreamError(words_of_server(words) if words else "The upstream failed."))
        else:
            self._take(line)

    def _take(self, line: MutableMapping[str, Any]) -> None:
        turn = self._turn
        said = line.get("message")
        if isinstance(said, dict):
            is_last = line.get("done") is True
            if thought := self._next(said, "thinking", is_last=is_last):
                turn.think(thought)
            if text := self._next(said, "content", is_last=is_last):
                turn.say(text)
            if max(turn.thinking.length, turn.content.length) > LONGEST_ANSWER:
                turn.stop(UpstreamError(f"The answer was ended after {LONGEST_ANSWER:,} characters."))
        if line.get("done") is True:
            self.is_complete = True
            counts = turn.counts
            counts.input_tokens = count_of(line.get("prompt_eval_count"))
            counts.output_tokens = count_of(line.get("eval_count"))
            spent = count_of(line.get("eval_duration"))
            if counts.output_tokens and spent:
                counts.speed = counts.output_tokens * _NANOSECONDS / spent

    def _next(self, said: Mapping[str, Any], key: str, *, is_last: bool) -> str:
        """The next piece of the answer. Where a server cuts a character into halves, the first waits for the other."""
        piece = said.get(key)
        text = self._halves.pop(key, "") + (piece if isinstance(piece, str) else "")
        if not is_last and _FIRST_HALF.search(text):
            text, self._halves[key] = text[:-1], text[-1]
        return characters(text)

    def _fail(self, failure: LLMGateError) -> None:
        self.problem = problem_of(failure, self._request_id)


def characters(text: str) -> str:
    """The text with halves of characters put together, and those replaced that stand alone."""
    if _HALF.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
