"""Ollama. It speaks every protocol that clients do, so that nothing is translated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any, ClassVar

from llmgate.config import UpstreamSettings
from llmgate.daemon.protocols.answers import answer_in
from llmgate.daemon.protocols.base import Call, StreamReader, Usage
from llmgate.daemon.protocols.bodies import dump_body, quoted
from llmgate.daemon.protocols.failures import error_text, message_in
from llmgate.daemon.upstreams.base import Inspection, ModelInfo, Upstream, UpstreamAnswer
from llmgate.daemon.upstreams.messages import entries, json_body, objects
from llmgate.daemon.upstreams.transport import UpstreamClient
from llmgate.errors import ModelNotFound, UpstreamCut, UpstreamProtocolError, UpstreamRejected

MANAGE_SECONDS = 60.0
"""Longest wait for a model to be copied or deleted."""
SILENCE_SECONDS = 600.0
"""Longest silence during a pull: Ollama says nothing while it checks a large file."""
ERROR_BYTES = 64 * 1024


class OllamaUpstream(Upstream):
    """``timeout`` is for each read (listings, details, probes), in seconds."""

    manages_models: ClassVar[bool] = True

    def __init__(self, settings: UpstreamSettings, timeout: float) -> None:
        self.settings = settings
        self.timeout = timeout
        self._client = UpstreamClient(settings)
        patient = {"first_byte_timeout": SILENCE_SECONDS, "idle_timeout": SILENCE_SECONDS}
        self._pulling = UpstreamClient(settings.model_copy(update=patient))

    async def send(self, call: Call) -> UpstreamAnswer:
        return await self._client.send(call.route.path, await json_body(call.body), call.headers)

    def reader(self, call: Call) -> StreamReader:
        return call.protocol.reader(call)

    def whole(self, call: Call, answer: bytes) -> tuple[bytes, Usage]:
        return answer, call.protocol.usage_of(call, answer_in(answer))

    async def inspect(self) -> Inspection:
        # A listing comes from the disk and stays green while the scheduler is dead; what is loaded comes
        # from the scheduler.
        reads = (self._client.read("GET", path, self.timeout) for path in ("/api/tags", "/api/ps", "/api/version"))
        # All to their end, whatever becomes of one: none may go on behind the back of who closes the connections.
        answers = await asyncio.gather(*reads, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        tags, ps, version = answers
        listed = entries(tags, "models", "name", self.settings)
        told = version.get("version") if isinstance(version, dict) else None
        return Inspection(
            models=[ModelInfo(entry["name"], entry) for entry in listed],
            loaded=entries(ps, "models", "name", self.settings),
            version=told if isinstance(told, str) else "",
        )

    async def show(self, model: str) -> dict[str, Any]:
        try:
            answer = await self._client.read("POST", "/api/show", self.timeout, {"model": model})
        except UpstreamRejected as failure:
            if failure.status == 404:
                raise ModelNotFound(f"The model {model!r} was not found.") from None
            raise
        if not isinstance(answer, dict):
            raise UpstreamProtocolError(f"The upstream {self.settings.name} describes a model by something odd.")
        return answer

    async def pull(self, model: str) -> AsyncGenerator[Mapping[str, Any], None]:
        answer = await self._pulling.send("/api/pull", dump_body({"model": model, "stream": True}), {})
        try:
            if answer.status != 200:
                text = error_text(answer.status, await answer.read(ERROR_BYTES))
                raise UpstreamRejected(text, status=answer.status)
            async for event in objects(answer, self.settings):
                if "error" in event:
                    raise UpstreamRejected(message_in(event) or "The pull failed.", status=502)
                yield event
                if event.get("status") == "success":
                    return
        finally:
            await answer.close()
        raise UpstreamCut(f"The upstream {self.settings.name} ended before the model was there.")

    async def copy(self, source: str, destination: str) -> None:
        await self._manage("POST", "/api/copy", source, {"source": source, "destination": destination})

    async def delete(self, model: str) -> None:
        await self._manage("DELETE", "/api/delete", model, {"model": model})

    async def _manage(self, method: str, path: str, model: str, body: dict[str, Any]) -> None:
        try:
            await self._client.read(method, path, MANAGE_SECONDS, body)
        except UpstreamRejected as failure:
            if failure.status == 404:
                raise ModelNotFound(f"The upstream {self.settings.name} does not have {quoted(model)}.") from None
            raise

    async def close(self) -> None:
        await self._client.close()
        await self._pulling.close()
