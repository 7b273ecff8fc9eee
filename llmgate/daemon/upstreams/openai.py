"""vLLM, llama.cpp, LM Studio and others that speak OpenAI's API, and some of them Anthropic's.

Calls in Ollama's own protocol are translated (``protocols/translate``), all others are passed through.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from llmgate.config import UpstreamSettings
from llmgate.daemon.clock import monotonic
from llmgate.daemon.protocols import translate
from llmgate.daemon.protocols.answers import answer_in
from llmgate.daemon.protocols.base import Call, StreamReader, Usage
from llmgate.daemon.upstreams.base import Inspection, ModelInfo, Quick, Upstream, UpstreamAnswer
from llmgate.daemon.upstreams.messages import entries, json_body
from llmgate.daemon.upstreams.transport import UpstreamClient
from llmgate.errors import ModelNotFound, UnsupportedByUpstream, UpstreamProtocolError, UpstreamRejected

OPTIONAL_ROUTES = frozenset({"/v1/messages", "/v1/responses", "/v1/completions", "/v1/embeddings"})
"""What a server of this kind may be without. A model that was not found is 404 too, but the models of a
server come from its own list, so that on these routes 404 means the route."""
LOADED_FOR_GOOD = "2318-01-01T00:00:00Z"
"""What Ollama tells for a model that is never unloaded."""


class OpenAIUpstream(Upstream):
    """``timeout`` is for each read (listings, probes), in seconds."""

    def __init__(self, settings: UpstreamSettings, timeout: float) -> None:
        self.settings = settings
        self.timeout = timeout
        self._client = UpstreamClient(settings)
        self._has_health_route = True

    async def send(self, call: Call) -> UpstreamAnswer:
        call.sent_at = monotonic()
        local = translate.local_answer(call) if translate.needed(call) else None
        if local is not None:
            return _LocalAnswer(local)
        path, body = translate.request(call) if translate.needed(call) else (call.route.path, call.body)
        answer = await self._client.send(path, await json_body(body), call.headers)
        if answer.status in (405, 501) or (answer.status == 404 and path in OPTIONAL_ROUTES):
            await answer.close()
            raise UnsupportedByUpstream(
                f"The upstream {self.settings.name} does not offer {path}.",
                hint="Ask through /v1/chat/completions, or choose a model of another upstream.",
            )
        return answer

    def reader(self, call: Call) -> StreamReader:
        return translate.reader(call, monotonic) if _is_translated(call) else call.protocol.reader(call)

    def whole(self, call: Call, answer: bytes) -> tuple[bytes, Usage]:
        if _is_translated(call):
            return translate.whole(call, answer, monotonic() - call.sent_at)
        return answer, call.protocol.usage_of(call, answer_in(answer))

    async def inspect(self) -> Inspection:
        if self._has_health_route:
            await self._check_health()
        models = [ModelInfo(entry["id"], translate.listing(entry)) for entry in await self._entries()]
        memory = [{**model.listing, "size_vram": 0, "expires_at": LOADED_FOR_GOOD} for model in models]
        return Inspection(models, memory)

    async def show(self, model: str) -> dict[str, Any]:
        for entry in await self._entries():
            if entry["id"] == model:
                return translate.details(entry)
        raise ModelNotFound(f"The model {model!r} was not found.")

    async def close(self) -> None:
        await self._client.close()

    async def _check_health(self) -> None:
        """llama.cpp and vLLM tell there whether they can work; others do not have it."""
        try:
            await self._client.read("GET", "/health", self.timeout)
        except UpstreamProtocolError:
            self._has_health_route = False
        except UpstreamRejected as failure:
            if failure.status not in (404, 405):
                raise
            self._has_health_route = False

    async def _entries(self) -> list[dict[str, Any]]:
        return entries(await self._client.read("GET", "/v1/models", self.timeout), "data", "id", self.settings)


def _is_translated(call: Call) -> bool:
    return translate.needed(call) and translate.local_answer(call) is None


class _LocalAnswer(UpstreamAnswer):
    """An answer that needs no upstream."""

    def __init__(self, body: bytes) -> None:
        self.status = 200
        self.content_type = "application/json"
        self.retry_after = None
        self._body = body

    async def chunks(self, quick: Quick | None = None) -> AsyncIterator[bytes]:
        piece = self._body if quick is None else quick(self._body)
        if piece is not None:
            yield piece

    async def read(self, limit: int) -> bytes:
        return self._body[:limit]

    async def close(self) -> None:
        return None
