"""The main flow: what happens to an inference request, from its arrival to its one outcome.

A request never leaves the coroutine that holds its client's connection. It waits for a grant and then
serves itself; neither prompt nor tokens pass through the queue.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable

import structlog

from llmgate.config import Settings
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.events import EventBus
from llmgate.daemon.exchange import ClientGone, Exchange, Receive, Scope, Send, header
from llmgate.daemon.journey import Journey
from llmgate.daemon.processor import RequestProcessor, Served
from llmgate.daemon.protocols import Endpoint
from llmgate.daemon.protocols.base import Call
from llmgate.daemon.protocols.bodies import parse_body_async
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.daemon.queue.ticket import Grant, Ticket
from llmgate.daemon.upstreams.registry import UpstreamRegistry
from llmgate.errors import (
    Draining,
    InvalidRequest,
    LLMGateError,
    MethodNotAllowed,
    UnsupportedByUpstream,
    UpstreamCut,
    UpstreamRefused,
    UpstreamRejected,
    UpstreamUnreachable,
)

ATTEMPTS = 3
"""How often a request may be given to an upstream that then could not or would not take it."""

RETRY_SECONDS = 0.2
"""Pause before the second attempt, twice that before the third: a busy server is not free at once."""

CUT_SECONDS = 5.0
"""Time for the error event of an answer that was cut; tried again until it is out or the client gone."""

PRIORITY = b"x-llmgate-priority"
_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Gateway:
    """Serves the inference routes of every protocol."""

    def __init__(
        self,
        settings: Settings,
        authenticator: Authenticator,
        upstreams: UpstreamRegistry,
        queue: QueueManagerInterface,
        bus: EventBus,
        client_address: Callable[[Scope], str],
    ) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self._upstreams = upstreams
        self._queue = queue
        self._bus = bus
        self._client_address = client_address
        self._processor = RequestProcessor(upstreams)
        self._active: set[Exchange] = set()
        self._idle = asyncio.Event()
        self._draining = False
        self._log = structlog.get_logger("llmgate.gateway")

    async def serve(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, whatever comes: every error ends in the dialect of ``endpoint``."""
        exchange = Exchange(scope, receive, send, _request_id(scope))
        journey = Journey(endpoint.protocol.name, endpoint.route.path, exchange)
        self._active.add(exchange)
        try:
            await self._conduct(endpoint, exchange, journey)
        except ClientGone:
            journey.client_left()
        except LLMGateError as failure:
            journey.failed(failure)
            await exchange.fail(endpoint.protocol, failure, getattr(failure, "body", None))
        except asyncio.CancelledError:
            journey.failed(Draining("The gateway was stopped."))
            raise
        except Exception:  # a defect of ours must still answer the client, free the slot and be seen
            self._log.exception("request_broke", request_id=exchange.request_id)
            defect = LLMGateError("The gateway failed.", hint="Its log names this request by its id.")
            journey.failed(defect)
            await exchange.fail(endpoint.protocol, defect)
        finally:
            self._active.discard(exchange)
            if not self._active:
                self._idle.set()
            journey.close(self._bus)

    async def _conduct(self, endpoint: Endpoint, exchange: Exchange, journey: Journey) -> None:
        """The main flow, step by step."""
        principal = await self._authenticate(exchange)
        journey.principal = principal
        call, body_bytes = await self._classify(endpoint, exchange)
        journey.called(call)
        level = self._level(principal, exchange)
        pool = self._authorise(principal, call)
        ticket = self._ticket(principal, call, level, pool, body_bytes)
        journey.admitted(ticket)
        with exchange.interruptible():
            if call.stream:
                exchange.keep_alive(call.protocol, call, self._settings.queue.keepalive_after)
            served = await self._serve_in_turn(call, ticket, exchange, journey)
        journey.completed(served)

    async def _authenticate(self, exchange: Exchange) -> Principal:
        scope = exchange.scope
        return await self._authenticator.authenticate(
            scope["headers"], address=self._client_address(scope), method=scope["method"]
        )

    async def _classify(self, endpoint: Endpoint, exchange: Exchange) -> tuple[Call, int]:
        if exchange.scope["method"] != "POST":
            raise MethodNotAllowed(f"{endpoint.route.path} takes POST.")
        raw = await exchange.read_body(self._settings.server.max_body_bytes)
        call = endpoint.protocol.parse(exchange.request_id, endpoint.route, await parse_body_async(raw))
        call.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in exchange.scope["headers"]}
        return call, len(raw)

    def _level(self, principal: Principal, exchange: Exchange) -> int:
        """The level to submit at: the principal's own, or the lower one that the client asks for."""
        wish = header(exchange.scope, PRIORITY)
        level = principal.level
        if wish is not None:
            if wish not in {"1", "2", "3", "4", "5"}:
                raise InvalidRequest("X-LLMGate-Priority must be a number from 1 (first) to 5 (last).")
            level = max(level, int(wish))
        exchange.level = level
        return level

    def _authorise(self, principal: Principal, call: Call) -> str:
        resolved = self._upstreams.resolve(call.model, principal.may_use)
        if resolved.rename:
            call.body["model"] = resolved.model
        call.canonical_model = resolved.model
        return resolved.pool

    def _ticket(self, principal: Principal, call: Call, level: int, pool: str, body_bytes: int) -> Ticket:
        if self._draining:
            raise Draining("The gateway is shutting down.", retry_after=5)
        return Ticket(
            id=call.request_id,
            pool=pool,
            model=call.canonical_model,
            level=level,
            flow=f"{principal.owner}@{level}",
            owner=principal.owner,
            submitted_at=self._queue.now(),
            cost=call.protocol.cost_of(call, body_bytes),
            weight=principal.weight,
        )

    async def _serve_in_turn(self, call: Call, ticket: Ticket, exchange: Exchange, journey: Journey) -> Served:
        """Wait for a grant and serve the request with it. Once more, with a new grant, where the
        upstream could not be reached or refused before any byte of an answer."""
        while True:
            if ticket.attempt > 1:
                await asyncio.sleep(RETRY_SECONDS * (ticket.attempt - 1))
            grant = await self._wait_for_turn(ticket, exchange)
            journey.granted(grant)
            tokens: float | None = None
            cancelled = True
            try:
                served = await self._processor.run(call, grant, exchange)
                tokens, cancelled = served.usage.service, False
                return served
            except (UpstreamUnreachable, UpstreamRefused):
                cancelled = False
                if exchange.answer_begun or ticket.attempt >= ATTEMPTS:
                    raise
                tokens = 0.0
                ticket = ticket.retried(avoid=grant.upstream)
            except (UpstreamRejected, UpstreamCut, UnsupportedByUpstream):
                cancelled = False  # it ended by itself: there is no generation left that must wind down
                raise
            finally:
                self._queue.release(grant, tokens, cancelled=cancelled)

    async def _wait_for_turn(self, ticket: Ticket, exchange: Exchange) -> Grant:
        place = await self._queue.submit(ticket)
        try:
            grant = await place.granted()
        except BaseException:
            place.leave()
            raise
        exchange.waited = max(0.0, grant.granted_at - ticket.submitted_at)
        return grant

    # -- shutting down -----------------------------------------------------------------------

    @property
    def active(self) -> int:
        """Requests that are waiting or being answered."""
        return len(self._active)

    def refuse_new(self) -> None:
        """From now on new requests are answered with 503."""
        self._draining = True

    async def finished(self, seconds: float) -> None:
        """Wait until no request is left; after ``seconds`` end the remaining ones."""
        self._idle.clear()
        while self._active:
            try:
                async with asyncio.timeout(seconds):
                    await self._idle.wait()
            except TimeoutError:
                self.cut()
                seconds = CUT_SECONDS
            self._idle.clear()

    def cut(self) -> None:
        """End every answer that is still running, with a terminal error."""
        for exchange in list(self._active):
            exchange.interrupt(Draining("The gateway is shutting down.", retry_after=5))


def _request_id(scope: Scope) -> str:
    """A new id. One that the client sent is kept as its beginning, so that both sides can find it."""
    own = secrets.token_hex(8)
    sent = header(scope, b"x-request-id")
    return f"{sent}-{own}" if sent is not None and _CLIENT_ID.fullmatch(sent) else own
