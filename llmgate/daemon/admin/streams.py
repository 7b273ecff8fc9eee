"""Answers that tell what happens while it happens: one JSON object per line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from pydantic import BaseModel
from starlette.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

NDJSON = "application/x-ndjson"
STALL_SECONDS = 60.0
"""A client that takes nothing for so long is treated as gone."""


class Lines(JSONResponse):
    """For the document alone, which would call any other class a text: the schema is that of one line."""

    media_type = NDJSON


class LinesResponse(StreamingResponse):
    """Objects as lines. ``ended`` is called in any case: at the end, or when the client is gone."""

    media_type = NDJSON

    def __init__(self, objects: AsyncIterator[BaseModel], ended: Callable[[], None]) -> None:
        super().__init__(_lines(objects), headers={"x-accel-buffering": "no"})
        self._ended = ended

    async def stream_response(self, send: Send) -> None:
        async def patient(message: object) -> None:
            async with asyncio.timeout(STALL_SECONDS):
                await send(message)  # type: ignore[arg-type]  # starlette's own messages

        await super().stream_response(patient)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


async def _lines(objects: AsyncIterator[BaseModel]) -> AsyncIterator[bytes]:
    async for one in objects:
        yield one.model_dump_json(exclude_none=True).encode() + b"\n"
