"""Answers that tell what happens while it happens: one JSON object per line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from pydantic import BaseModel
from starlette.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from llmgate.daemon.outgoing import outgoing_of
from llmgate.errors import LLMGateError

NDJSON = "application/x-ndjson"


class Lines(JSONResponse):
    """For the document alone, which would call any other class a text: the schema is that of one line."""

    media_type = NDJSON


class LinesResponse(StreamingResponse):
    """Objects as lines. ``ended`` is called in any case: at the end, or when the client is gone. ``refused`` is told
    why, when the caller has lost the right to them: then they have to end soon, and say so."""

    media_type = NDJSON

    def __init__(
        self,
        objects: AsyncIterator[BaseModel],
        ended: Callable[[], None],
        refused: Callable[[LLMGateError], None],
    ) -> None:
        super().__init__(_lines(objects), headers={"x-accel-buffering": "no"})
        self._ended = ended
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        outgoing_of(scope).says_why(self._refused)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


async def _lines(objects: AsyncIterator[BaseModel]) -> AsyncIterator[bytes]:
    async for one in objects:
        yield one.model_dump_json(exclude_none=True).encode() + b"\n"
