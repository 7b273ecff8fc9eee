"""RequestProcessor: runs one granted request against its upstream."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from llmgate.daemon.clock import monotonic
from llmgate.daemon.exchange import Exchange
from llmgate.daemon.protocols.base import Call, Usage
from llmgate.daemon.protocols.bodies import INLINE_BYTES
from llmgate.daemon.protocols.failures import error_text, own_words
from llmgate.daemon.queue.ticket import Grant
from llmgate.daemon.relay import relay
from llmgate.daemon.upstreams.base import Upstream, UpstreamAnswer
from llmgate.daemon.upstreams.registry import UpstreamRegistry
from llmgate.errors import (
    LLMGateError,
    UnsupportedByUpstream,
    UpstreamError,
    UpstreamRefused,
    UpstreamRejected,
)

WHOLE_ANSWER_BYTES = 64 * 1024 * 1024
ERROR_BODY_BYTES = 64 * 1024
ERROR_BODY_SECONDS = 10.0
"""An upstream that answers with an error and then hangs keeps its slot no longer than that."""


@dataclass(frozen=True, slots=True)
class Served:
    """What came of a request. ``failure`` is set when the upstream reported an error inside a stream
    that was relayed as it is. ``body`` is a whole answer: the client gets it when the slot has been given back, because
    to take it can last."""

    usage: Usage
    failure: str | None = None
    body: bytes | None = None


class RequestProcessor:
    """Sends a request that has its turn, and hands a streamed answer to the client."""

    def __init__(self, upstreams: UpstreamRegistry) -> None:
        self._upstreams = upstreams

    async def run(self, call: Call, grant: Grant, exchange: Exchange) -> Served:
        """Serve ``call`` on the upstream of ``grant``.

        Raises UpstreamUnreachable or UpstreamRefused (it may be tried elsewhere as long as
        ``exchange.answer_begun`` is false), any other UpstreamError, or UnsupportedByUpstream.
        """
        upstream = self._upstreams.get(grant.upstream)
        with self._upstreams.observe(grant.upstream, grant.ticket.owner) as traffic:
            answer = await upstream.send(call)
            try:
                traffic.answered(answer.status)
                if answer.status != 200:
                    raise await refusal(call, answer)
                if call.stream:
                    reader = upstream.reader(call)
                    await relay(call, reader, answer, exchange, traffic.progressed)
                    return Served(reader.usage, reader.failed)
                return await self._whole(call, upstream, answer, exchange)
            finally:
                await answer.close()

    async def _whole(self, call: Call, upstream: Upstream, answer: UpstreamAnswer, exchange: Exchange) -> Served:
        received = await answer.read(WHOLE_ANSWER_BYTES)
        if len(received) <= INLINE_BYTES:
            body, usage = upstream.whole(call, received)
        else:  # many embeddings: reading them here would hold up everybody's stream
            body, usage = await asyncio.to_thread(upstream.whole, call, received)
        exchange.answer_begun = True
        exchange.first_byte_at = monotonic()
        return Served(usage, body=body)


async def refusal(call: Call, answer: UpstreamAnswer) -> LLMGateError:
    """What an answer that is not 200 means for the client."""
    try:
        async with asyncio.timeout(ERROR_BODY_SECONDS):
            body = await answer.read(ERROR_BODY_BYTES)
    except (TimeoutError, UpstreamError):
        body = b""
    text = error_text(answer.status, body)
    if answer.status in (429, 503):
        return UpstreamRefused(f"The upstream is busy: {text}", retry_after=answer.retry_after or 5)
    if answer.status in (401, 403):
        # The caller's credentials were ours to judge; these are the gateway's own.
        return UpstreamError("The upstream does not accept the gateway's credentials.")
    if answer.status in (405, 501) or (answer.status == 404 and own_words(call.protocol, body) is None):
        return UnsupportedByUpstream(f"The upstream of this model does not do {call.route.path}.")
    status = answer.status if answer.status >= 400 else 502
    return UpstreamRejected(text, status=status, body=own_words(call.protocol, body))
