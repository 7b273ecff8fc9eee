"""Errors of the caller's request."""

from __future__ import annotations

from llmgate.errors.base import LLMGateError


class RequestError(LLMGateError):
    """The request cannot be served as it is."""

    code = "invalid_request"
    status = 400
    exit_code = 6


class InvalidRequest(RequestError):
    """The request is not valid."""


class RequestTooSlow(RequestError):
    """The request did not arrive in time."""

    code = "request_too_slow"
    status = 408


class BodyTooLarge(RequestError):
    """The request body is too large."""

    code = "body_too_large"
    status = 413


class UnsupportedByUpstream(RequestError):
    """The upstream of this model cannot do that."""

    code = "unsupported_by_upstream"


class AuthenticationFailed(RequestError):
    """The credentials are missing or not valid."""

    code = "unauthenticated"
    status = 401
    exit_code = 4


class PermissionDenied(RequestError):
    """This principal may not do that."""

    code = "forbidden"
    status = 403
    exit_code = 4


class NotFound(RequestError):
    """There is no such thing."""

    code = "not_found"
    status = 404
    exit_code = 5


class RouteNotFound(NotFound):
    """There is nothing at this path."""

    code = "route_not_found"


class ModelNotFound(NotFound):
    """There is no such model."""

    code = "model_not_found"


class MethodNotAllowed(RequestError):
    """This path does not take that method."""

    code = "method_not_allowed"
    status = 405


class Conflict(RequestError):
    """That is already taken, or has changed meanwhile."""

    code = "conflict"
    status = 409


class AlreadyCreated(Conflict):
    """A request with this Idempotency-Key has been carried out already."""

    code = "already_created"


class ReadOnly(Conflict):
    """This cannot be changed here."""

    code = "read_only"


class WouldLockOut(Conflict):
    """The change would lock its own author out."""

    code = "would_lock_out"


class ExpectationFailed(RequestError):
    """Of all that a client may expect (Expect), only 100-continue is known here."""

    code = "expectation_failed"
    status = 417


class HeadTooLarge(RequestError):
    """The head of the request is too large."""

    code = "head_too_large"
    status = 431


class PreconditionFailed(RequestError):
    """It has been changed since it was read."""

    code = "precondition_failed"
    status = 412


class LimitExceeded(RequestError):
    """A limit of this principal is reached."""

    code = "limit_exceeded"
    status = 429
    exit_code = 1


class RateLimitExceeded(LimitExceeded):
    """The requests or tokens of this minute are used up."""

    code = "rate_limit_exceeded"


class TooManyConcurrent(LimitExceeded):
    """As many requests of this principal are in flight as may be at once."""

    code = "too_many_concurrent"


class BudgetExceeded(LimitExceeded):
    """The tokens of this day or month are used up."""

    code = "budget_exceeded"


class TooManyAttempts(LimitExceeded):
    """There were too many failed attempts."""

    code = "too_many_attempts"


class TooManyConnections(LimitExceeded):
    """There are too many connections from this address."""

    code = "too_many_connections"
