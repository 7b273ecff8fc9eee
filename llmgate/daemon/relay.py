"""The hot path: an upstream's stream, chunk by chunk, to the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from llmgate.daemon.exchange import Exchange
from llmgate.daemon.protocols.base import Call, StreamReader
from llmgate.daemon.upstreams.base import UpstreamAnswer
from llmgate.errors import UpstreamCut, UpstreamError

REST_SECONDS = 1.0
"""An answer is over when the upstream said so. If the connection is quiet so soon after, it can be used again."""


async def relay(
    call: Call,
    reader: StreamReader,
    answer: UpstreamAnswer,
    exchange: Exchange,
    progressed: Callable[[], None],
) -> None:
    """Pass the stream on as it arrives. Only whole lines or events reach the client.

    ``progressed`` is told of every chunk: bytes are an upstream's proof of life. Raises UpstreamCut when
    the stream ended without saying that it is complete, so that a truncated answer never looks whole.
    """
    protocol = call.protocol

    def at_once(chunk: bytes) -> bytes | None:
        """A piece from the middle of an answer goes on in the moment when it comes, if the client takes it: of a
        hundred pieces ninety-eight. What is left is for the loop below, which can wait."""
        progressed()
        out = reader.feed(chunk)
        return None if not reader.complete and exchange.wrote(out) else out

    chunks = answer.chunks(at_once)
    async for out in chunks:
        if reader.complete:
            await exchange.end_stream(protocol, out)
            await _read_rest(chunks)
            return
        if out:
            await exchange.write_chunk(protocol, out)
    rest = reader.finish()
    if not reader.complete and reader.failed is None:
        if rest:
            await exchange.write_chunk(protocol, rest)
        raise UpstreamCut("The upstream ended in the middle of its answer.")
    await exchange.end_stream(protocol, rest)


async def _read_rest(chunks: AsyncIterator[bytes]) -> None:
    """The client has its answer; what may still come is of no interest."""
    with suppress(TimeoutError, UpstreamError):
        async with asyncio.timeout(REST_SECONDS):
            async for _ in chunks:
                pass
