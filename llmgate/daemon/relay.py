"""The hot path: an upstream's stream, chunk by chunk, to the client."""

from __future__ import annotations

from collections.abc import Callable

from llmgate.daemon.exchange import Exchange
from llmgate.daemon.protocols.base import Call, StreamReader
from llmgate.daemon.upstreams.base import UpstreamAnswer
from llmgate.errors import UpstreamCut


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
    async for chunk in answer.chunks():
        progressed()
        out = reader.feed(chunk)
        if out:
            await exchange.write_chunk(protocol, out)
    rest = reader.finish()
    if rest:
        await exchange.write_chunk(protocol, rest)
    if not reader.complete and reader.failed is None:
        raise UpstreamCut("The upstream ended in the middle of its answer.")
    await exchange.end_stream()
