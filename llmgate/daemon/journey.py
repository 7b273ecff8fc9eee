"""What is remembered of a request until it has ended: the one place that decides its outcome."""

from __future__ import annotations

from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.clock import monotonic, utc_now
from llmgate.daemon.events import CLIENT_GONE, EventBus, RequestFinished, RequestRefused, RequestStarted, RequestWaiting
from llmgate.daemon.exchange import Exchange
from llmgate.daemon.limits.claim import Claim
from llmgate.daemon.processor import Served
from llmgate.daemon.protocols.base import Call, Usage
from llmgate.daemon.queue.ticket import Grant, Outcome, Ticket
from llmgate.errors import (
    AuthenticationFailed,
    CancelledByAdmin,
    Draining,
    LimitExceeded,
    LLMGateError,
    PermissionDenied,
    PoolDraining,
    QueueFull,
    QueueTimeout,
)

_OUTCOMES: tuple[tuple[type[LLMGateError], Outcome], ...] = (
    (LimitExceeded, Outcome.REJECTED_LIMIT),
    (QueueFull, Outcome.REJECTED_FULL),
    (PoolDraining, Outcome.REJECTED_FULL),
    (QueueTimeout, Outcome.EXPIRED_IN_QUEUE),
    (CancelledByAdmin, Outcome.CANCELLED_IN_QUEUE),
    (Draining, Outcome.SHUTDOWN),
)

_TAKEN_AWAY = (AuthenticationFailed, PermissionDenied, CancelledByAdmin)


def outcome_of(failure: LLMGateError) -> Outcome:
    """The outcome of an admitted request that ended with ``failure``."""
    for kind, outcome in _OUTCOMES:
        if isinstance(failure, kind):
            return outcome
    return Outcome.UPSTREAM_FAILED


def waiting_of(ticket: Ticket, owner_name: str) -> RequestWaiting:
    """That it stands in line."""
    return RequestWaiting(ticket.id, ticket.owner, owner_name, ticket.pool, ticket.model, ticket.level, ticket.attempt)


def started_of(grant: Grant, owner_name: str, wait: float) -> RequestStarted:
    """That it has got its turn."""
    ticket = grant.ticket
    return RequestStarted(
        ticket.id, ticket.owner, owner_name, ticket.pool, ticket.model, ticket.level, grant.upstream, wait
    )


class Journey:
    """One request from its arrival to its end.

    A request that was admitted (it had a valid credential, body, model) ends in exactly one Outcome and
    is published as RequestFinished; one that was refused before that, as RequestRefused.
    """

    __slots__ = (
        "_call",
        "_error_code",
        "_exchange",
        "_grant",
        "_outcome",
        "_protocol",
        "_route",
        "_ticket",
        "_usage",
        "_waited",
        "claim",
        "principal",
    )

    def __init__(self, protocol: str, route: str, exchange: Exchange) -> None:
        self.principal: Principal | None = None
        self.claim: Claim | None = None
        """What it holds of its principal's limits."""
        self._protocol = protocol
        self._route = route
        self._exchange = exchange
        self._call: Call | None = None
        self._ticket: Ticket | None = None
        self._grant: Grant | None = None
        self._error_code: str | None = None
        self._outcome: Outcome | None = None
        self._usage = Usage()
        self._waited: float | None = None

    @property
    def owner_name(self) -> str:
        """Whose request it is, for people."""
        return self.principal.owner_name if self.principal is not None else ""

    def called(self, call: Call) -> None:
        self._call = call

    def admitted(self, ticket: Ticket) -> None:
        self._ticket = ticket

    def waits_again(self) -> None:
        if self.claim is not None:
            self.claim.runs(False)

    def granted(self, grant: Grant) -> None:
        if self.claim is not None:
            self.claim.runs()
        self._grant = grant
        self._waited = grant.granted_at - grant.ticket.submitted_at

    def completed(self, served: Served) -> None:
        self._usage = served.usage
        self._outcome = Outcome.COMPLETED if served.failure is None else Outcome.UPSTREAM_FAILED

    def client_left(self) -> None:
        if self._grant is None:
            self._outcome = Outcome.CANCELLED_IN_QUEUE
        else:
            self._usage = self._partial_usage()
            self._outcome = Outcome.CLIENT_DISCONNECTED

    def failed(self, failure: LLMGateError) -> None:
        self._error_code = failure.code  # the failure itself would hold on to all this by its traceback
        if self._exchange.answer_begun:
            self._usage = self._partial_usage()
        if isinstance(failure, _TAKEN_AWAY):  # while it waited, or was answered
            self._outcome = Outcome.CLIENT_DISCONNECTED if self._grant else Outcome.CANCELLED_IN_QUEUE
        else:
            self._outcome = outcome_of(failure)

    def _partial_usage(self) -> Usage:
        """The model reports its tokens last. An answer that was not seen to its end is counted by its
        pieces, about one token each: hanging up early must not make an answer free."""
        if self._outcome is Outcome.COMPLETED:  # a whole answer, which the client did not take to its end
            return self._usage
        return Usage(output_tokens=self._exchange.chunks) if self._exchange.chunks else Usage()

    def close(self, bus: EventBus) -> None:
        """Give back what it holds of limits, and publish how it ended."""
        if self.claim is not None:
            self.claim.settle((self._usage.input_tokens or 0) + (self._usage.output_tokens or 0))
        exchange, ticket, principal, call = self._exchange, self._ticket, self.principal, self._call
        if ticket is None or principal is None or call is None or self._outcome is None:
            code = self._error_code or CLIENT_GONE
            bus.publish(RequestRefused(exchange.request_id, self._protocol, self._route, code, exchange.status))
            return
        now = monotonic()
        bus.publish(
            RequestFinished(
                request_id=exchange.request_id,
                finished_at=utc_now(),
                principal_kind=principal.kind,
                principal_id=principal.id,
                principal_name=principal.name,
                user_id=principal.user_id,
                protocol=self._protocol,
                route=self._route,
                model=ticket.model,
                pool=ticket.pool,
                upstream=self._grant.upstream if self._grant else None,
                submitted_level=ticket.level,
                stream=call.stream,
                outcome=self._outcome,
                status=exchange.status or 499,
                error_code=self._error_code,
                wait=self._waited if self._waited is not None else now - exchange.started_at,
                first_byte=exchange.first_byte_at - exchange.started_at if exchange.first_byte_at else None,
                duration=now - exchange.started_at,
                input_tokens=self._usage.input_tokens,
                output_tokens=self._usage.output_tokens,
            )
        )
