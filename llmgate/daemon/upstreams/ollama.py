"""Ollama. It speaks every protocol that clients do, so that nothing is translated."""

from __future__ import annotations

import asyncio
from typing import Any

from llmgate.config import UpstreamSettings
from llmgate.daemon.protocols.answers import answer_in
from llmgate.daemon.protocols.base import Call, StreamReader, Usage
from llmgate.daemon.upstreams.base import Inspection, ModelInfo, Upstream, UpstreamAnswer
from llmgate.daemon.upstreams.messages import entries, json_body
from llmgate.daemon.upstreams.transport import UpstreamClient
from llmgate.errors import ModelNotFound, UpstreamProtocolError, UpstreamRejected


class OllamaUpstream(Upstream):
    """``timeout`` is for each read (listings, details, probes), in seconds."""

    def __init__(self, settings: UpstreamSettings, timeout: float) -> None:
        self.settings = settings
        self._timeout = timeout
        self._client = UpstreamClient(settings)

    async def send(self, call: Call) -> UpstreamAnswer:
        return await self._client.send(call.route.path, await json_body(call.body), call.headers)

    def reader(self, call: Call) -> StreamReader:
        return call.protocol.reader(call)

    def whole(self, call: Call, answer: bytes) -> tuple[bytes, Usage]:
        return answer, call.protocol.usage_of(call, answer_in(answer))

    async def inspect(self) -> Inspection:
        # A listing comes from the disk and stays green while the scheduler is dead; what is loaded comes
        # from the scheduler.
        tags, ps, version = await asyncio.gather(
            *(self._client.read("GET", path, self._timeout) for path in ("/api/tags", "/api/ps", "/api/version"))
        )
        listed = entries(tags, "models", "name", self.settings)
        told = version.get("version") if isinstance(version, dict) else None
        return Inspection(
            models=[ModelInfo(entry["name"], entry) for entry in listed],
            loaded=entries(ps, "models", "name", self.settings),
            version=told if isinstance(told, str) else "",
        )

    async def show(self, model: str) -> dict[str, Any]:
        try:
            answer = await self._client.read("POST", "/api/show", self._timeout, {"model": model})
        except UpstreamRejected as failure:
            if failure.status == 404:
                raise ModelNotFound(f"The model {model!r} was not found.") from None
            raise
        if not isinstance(answer, dict):
            raise UpstreamProtocolError(f"The upstream {self.settings.name} describes a model by something odd.")
        return answer

    async def close(self) -> None:
        await self._client.close()
