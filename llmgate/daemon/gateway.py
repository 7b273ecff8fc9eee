"""The main flow: what happens to an inference request, from its arrival to its one outcome.

A request never leaves the coroutine that holds its client's connection. It waits for a grant and then
serves itself; neither prompt nor tokens pass through the queue.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import structlog

from llmgate.daemon import clamps
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.principals import Principal, Role
from llmgate.daemon.auth.routes import family_of
from llmgate.daemon.budget import BodyBudget
from llmgate.daemon.events import EventBus
from llmgate.daemon.exchange import ClientGone, Exchange, Insider, Receive, Scope, Send, header
from llmgate.daemon.hops import refuse_own
from llmgate.daemon.journey import Journey, started_of, waiting_of
from llmgate.daemon.limits.keeper import LimitKeeper
from llmgate.daemon.live import Current
from llmgate.daemon.open_answers import OpenAnswer, OpenAnswers
from llmgate.daemon.processor import RequestProcessor, Served
from llmgate.daemon.protocols import Endpoint
from llmgate.daemon.protocols.base import Call
from llmgate.daemon.protocols.bodies import done_with, parse_body_async
from llmgate.daemon.protocols.fields import expected_tokens
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.daemon.queue.ticket import Grant, Ticket
from llmgate.daemon.upstreams.messages import forwarded_headers
from llmgate.daemon.upstreams.registry import UpstreamRegistry
from llmgate.errors import (
    CancelledByAdmin,
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
"""How often a request may be given to upstreams that refuse it because they are busy."""

RETRY_SECONDS = 0.2
RETRY_SECONDS_MAX = 1.0
"""Pause before the second attempt, twice that before the third, and so on: a busy server is not free at once."""

CUT_SECONDS = 6.0
"""Time for the error events of the answers that are cut at a shutdown."""

PRIORITY = b"x-llmgate-priority"
_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Gateway:
    """Serves the inference routes of every protocol."""

    def __init__(
        self,
        settings: Current,
        authenticator: Authenticator,
        upstreams: UpstreamRegistry,
        queue: QueueManagerInterface,
        limits: LimitKeeper,
        bus: EventBus,
        client_address: Callable[[Scope], str],
    ) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self._upstreams = upstreams
        self._queue = queue
        self._limits = limits
        self._bus = bus
        self._client_address = client_address
        self._processor = RequestProcessor(upstreams)
        self._active: dict[Exchange, Journey] = {}
        self.bodies = BodyBudget(lambda: settings.queue.max_waiting_bytes)
        """Also for those who ask by way of the daemon itself (``chat/``)."""
        self.answers = OpenAnswers(authenticator, self._open)
        """Also for what is no request for a model, and takes long."""
        self._idle = asyncio.Event()
        self._hurry = asyncio.Event()
        self._draining = False
        self._log = structlog.get_logger("llmgate.gateway")

    async def serve(
        self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send, insider: Insider | None = None
    ) -> None:
        """Serve one request, whatever comes: every error ends in the dialect of ``endpoint``."""
        exchange = Exchange(scope, receive, send, _request_id(scope), insider)
        journey = Journey(endpoint.protocol.name, endpoint.route.path, exchange)
        self._active[exchange] = journey
        try:
            with exchange.interruptible():
                await self._conduct(endpoint, exchange, journey)
        except ClientGone:
            journey.client_left()
            await exchange.drop()
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
            del self._active[exchange]
            self.bodies.forget(exchange)
            if not self._active:
                self._idle.set()
            journey.close(self._bus)

    async def _conduct(self, endpoint: Endpoint, exchange: Exchange, journey: Journey) -> None:
        """The main flow, step by step."""
        principal = await self._authenticate(exchange)
        journey.principal = principal
        if principal.limits is not None:
            exchange.extra = self._limits.headers(principal)
        principal.check_route(endpoint.route.path, family_of(endpoint.route.task))
        call, body_bytes = await self._classify(endpoint, exchange, principal)
        journey.called(call)
        level = self._level(principal, exchange)
        pool = self._authorise(principal, call)
        await self._clamp(principal, call, exchange, body_bytes)
        ticket = self._ticket(principal, call, level, pool, body_bytes)
        journey.admitted(ticket)
        if principal.limits is not None:
            tokens = expected_tokens(call.route.task, ticket.cost, body_bytes)
            ticket = await self._admit(principal, ticket, tokens, exchange, journey)
        exchange.watch()
        if call.stream:
            exchange.keep_alive(call.protocol, call, self._settings.queue.keepalive_after)
        served = await self._serve_in_turn(call, ticket, exchange, journey)
        journey.completed(served)
        if served.body is not None:
            self.bodies.answered(exchange, principal.owner, len(served.body))
            await exchange.answer(200, served.body)

    async def _authenticate(self, exchange: Exchange) -> Principal:
        if exchange.insider is not None:
            return await exchange.insider.identify()
        scope = exchange.scope
        return await self._authenticator.authenticate(
            scope["headers"], address=self._client_address(scope), method=scope["method"]
        )

    async def _classify(self, endpoint: Endpoint, exchange: Exchange, principal: Principal) -> tuple[Call, int]:
        refuse_own(exchange.scope["headers"])
        if exchange.scope["method"] != "POST":
            raise MethodNotAllowed(f"{endpoint.route.path} takes POST.")
        reserve = self.bodies.reservation(exchange, principal.owner)
        raw = await exchange.read_body(self._settings.server.max_body_bytes, reserve)
        if self._draining:  # said before, with a body still to come, a proxy would lose the answer
            raise Draining("The gateway is shutting down.", retry_after=5)
        call = endpoint.protocol.parse(exchange.request_id, endpoint.route, await parse_body_async(raw))
        call.headers = forwarded_headers(exchange.scope["headers"])
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

    async def _clamp(self, principal: Principal, call: Call, exchange: Exchange, body_bytes: int) -> None:
        """Hold the request to what may be asked of a server; the client is told what was changed."""
        rules, is_admin = self._settings.requests, principal.role is Role.ADMIN
        changes = await done_with(body_bytes, lambda: clamps.judge(call, rules, is_admin=is_admin))
        if changes:
            exchange.clamped = clamps.apply(call, changes)

    async def _admit(
        self, principal: Principal, ticket: Ticket, tokens: float, exchange: Exchange, journey: Journey
    ) -> Ticket:
        """Judge the principal's limits, and let the request hold its share of them until it has ended."""
        await self._limits.prepare(principal)
        try:
            claim = journey.claim = self._limits.admit(principal, tokens)
        finally:
            exchange.extra = self._limits.headers(principal)
        exchange.on_end = claim.leave
        return replace(ticket, max_waiting=self._limits.may_wait(principal))

    def _ticket(self, principal: Principal, call: Call, level: int, pool: str, body_bytes: int) -> Ticket:
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
        upstream could not be reached or refused before any byte of an answer.

        One that cannot be reached is soon known to be out, and the queue then waits for it as long as an
        outage may take; one that refuses is asked ``ATTEMPTS`` times.
        """
        refusals = 0
        while True:
            if ticket.attempt > 1:
                await asyncio.sleep(min(RETRY_SECONDS * (ticket.attempt - 1), RETRY_SECONDS_MAX))
            grant = await self._wait_for_turn(ticket, exchange, journey)
            journey.granted(grant)
            # What the flow is charged for, and whether a generation may have to wind down.
            tokens, cancelled = 0.0, False
            try:
                served = await self._processor.run(call, grant, exchange)
                tokens = ticket.cost if served.usage.service is None else served.usage.service
                return served
            except (UpstreamUnreachable, UpstreamRefused) as failure:
                refusals += isinstance(failure, UpstreamRefused)
                if exchange.answer_begun or refusals >= ATTEMPTS:
                    raise
                ticket = ticket.retried(avoid=grant.upstream)
                journey.waits_again()
            except (UpstreamRejected, UnsupportedByUpstream):
                raise
            except UpstreamCut:
                tokens = 2.0 * exchange.chunks
                raise
            except BaseException:
                tokens, cancelled = max(ticket.cost, 2.0 * exchange.chunks), True
                raise
            finally:
                self._queue.release(grant, tokens, cancelled=cancelled)

    async def _wait_for_turn(self, ticket: Ticket, exchange: Exchange, journey: Journey) -> Grant:
        place = await self._queue.submit(ticket)
        try:
            if self._bus.watched:
                self._bus.publish(waiting_of(ticket, journey.owner_name))
            if exchange.insider is not None:
                exchange.insider.waits(ticket)
            grant = await place.granted()
        except BaseException:
            place.leave()
            raise
        exchange.waited = max(0.0, grant.granted_at - ticket.submitted_at)
        if self._bus.watched:
            self._bus.publish(started_of(grant, journey.owner_name, exchange.waited))
        if exchange.insider is not None:
            exchange.insider.starts(grant)
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
        """Wait until no request is left; after ``seconds``, or ``cut``, end the remaining ones."""
        if await self._all_gone(seconds, self._hurry):
            return
        for exchange in list(self._active):
            exchange.interrupt(Draining("The gateway is shutting down.", retry_after=5))
        await self._all_gone(CUT_SECONDS)

    def cut(self) -> None:
        """Somebody is in a hurry: do not wait for running answers any longer."""
        self._hurry.set()

    async def _all_gone(self, seconds: float, hurry: asyncio.Event | None = None) -> bool:
        self._idle.clear()
        if not self._active:
            return True
        events = [self._idle] if hurry is None else [self._idle, hurry]
        waits = [asyncio.create_task(event.wait()) for event in events]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return not self._active

    def stop(self, request_id: str) -> bool:
        """End a request for an administrator, also one that is being answered. False when it is not here."""
        for exchange in self._active:
            if exchange.request_id == request_id:
                exchange.interrupt(CancelledByAdmin("An administrator has ended the request."))
                return True
        return False

    # -- being revoked -----------------------------------------------------------------------

    def _open(self) -> Iterator[OpenAnswer]:
        for exchange, journey in self._active.items():
            if (principal := journey.principal) is not None:
                judge = partial(self._again, exchange, principal)
                yield OpenAnswer(exchange.request_id, principal, judge, exchange.interrupt)

    async def _again(self, exchange: Exchange, principal: Principal) -> Principal:
        """Who asks, for a request that is under way."""
        if exchange.insider is not None:
            return await exchange.insider.identify()
        scope = exchange.scope
        address = self._client_address(scope)
        return await self._authenticator.again(principal, scope["headers"], address=address, method=scope["method"])


def _request_id(scope: Scope) -> str:
    """A new id. One that the client sent is kept as its beginning, so that both sides can find it."""
    own = secrets.token_hex(8)
    sent = header(scope, b"x-request-id")
    return f"{sent}-{own}" if sent is not None and _CLIENT_ID.fullmatch(sent) else own
