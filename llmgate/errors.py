"""Every error that llmgate shows to anyone, in one tree.

LLMGateError
├── ConfigError                     a setting is wrong                       exit 6
├── StartupError                    the daemon cannot start                  exit 1
│   ├── AddressInUse                the port is taken                        exit 6
│   └── StateUnreadable             a secret or state file is unusable       exit 1
├── ClientError                     on the command line's side
│   ├── InputNeeded                 a question that may not be asked         exit 2
│   ├── Declined                    the user said no                         exit 3
│   ├── DaemonUnreachable           no daemon answers at this URL            exit 7
│   └── DaemonTimeout               it did not answer in time                exit 8
├── RequestError                    the caller's request is at fault
│   ├── InvalidRequest              400 invalid_request
│   ├── BodyTooLarge                413 body_too_large
│   ├── UnsupportedByUpstream       400 unsupported_by_upstream
│   ├── AuthenticationFailed        401 unauthenticated
│   ├── PermissionDenied            403 forbidden
│   ├── NotFound                    404 not_found
│   │   ├── RouteNotFound           404 route_not_found
│   │   └── ModelNotFound           404 model_not_found
│   ├── MethodNotAllowed            405 method_not_allowed
│   ├── Conflict                    409 conflict
│   │   ├── AlreadyCreated          409 already_created     (this Idempotency-Key made it)
│   │   ├── ReadOnly                409 read_only           (file or environment decide it)
│   │   └── WouldLockOut            409 would_lock_out      (the caller itself, unless forced)
│   ├── PreconditionFailed          412 precondition_failed (If-Match names another version)
│   └── LimitExceeded               429 limit_exceeded      (the caller's own limit)
│       └── TooManyAttempts         429 too_many_attempts   (failed logins)
├── GatewayBusy
│   ├── QueueFull                   503 queue_full
│   ├── Draining                    503 draining
│   ├── PoolDraining                503 pool_draining
│   ├── StoreUnavailable            503 store_unavailable
│   ├── BrokerUnavailable           503 broker_unavailable
│   ├── QueueTimeout                504 queue_timeout
│   └── CancelledByAdmin            503 cancelled_by_admin
└── UpstreamError
    ├── UpstreamUnavailable         503 upstream_unavailable (none of the pool is usable)
    ├── UpstreamUnreachable         502 upstream_unreachable (no request byte was written)
    ├── UpstreamRefused             503 upstream_refused     (it answered 429 or 503)
    ├── UpstreamRejected            its own  upstream_rejected (it answered an error of its own)
    ├── UpstreamProtocolError       502 upstream_protocol    (not an answer we can read)
    ├── UpstreamCut                 502 upstream_cut         (it ended before its answer did)
    └── UpstreamTimeout             504 upstream_timeout

``code`` is permanent: clients and dashboards may match on it. The text of an error says what is
wrong, ``hint`` says what to do about it. How an error looks on the wire is decided by the dialect
of the route (``daemon/protocols``) and, for our own APIs, by ``problem``.
"""

from __future__ import annotations

from typing import Any, ClassVar


class LLMGateError(Exception):
    """Something went wrong inside llmgate."""

    code: ClassVar[str] = "internal_error"
    status: int = 500
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        retry_after: float | None = None,
        param: str | None = None,
        subject: str | None = None,
    ) -> None:
        """``retry_after`` is in seconds; ``param`` names the field of the request at fault, ``subject`` is the id of
        what the error is about."""
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.hint = hint
        self.retry_after = retry_after
        self.param = param
        self.subject = subject
        self.request_id: str | None = None
        """The daemon's id of the request that failed, in a client that was told it."""
        super().__init__(self.message)

    def text(self) -> str:
        """What is wrong and what to do, as one line."""
        return f"{self.message} {self.hint}" if self.hint else self.message

    def problem(self, request_id: str | None = None) -> dict[str, Any]:
        """The error as an RFC 9457 problem document."""
        document: dict[str, Any] = {
            "type": f"urn:llmgate:error:{self.code}",
            "title": (type(self).__doc__ or "").strip().splitlines()[0],
            "status": self.status,
            "detail": self.message,
            "code": self.code,
        }
        if self.hint:
            document["hint"] = self.hint
        if self.param:
            document["param"] = self.param
        if self.subject:
            document["id"] = self.subject
        if request_id:
            document["request_id"] = request_id
        return document


class ConfigError(LLMGateError):
    """The configuration is not usable."""

    code = "config_invalid"
    exit_code = 6


class StartupError(LLMGateError):
    """The daemon cannot start."""

    code = "startup_failed"


class AddressInUse(StartupError):
    """The address is already in use."""

    code = "address_in_use"
    exit_code = 6


class StateUnreadable(StartupError):
    """A file of the state directory cannot be used."""

    code = "state_unreadable"


class ClientError(LLMGateError):
    """The command cannot be carried out."""

    code = "client_error"


class InputNeeded(ClientError):
    """Something is missing that may not be asked for here."""

    code = "input_needed"
    exit_code = 2


class Declined(ClientError):
    """Nothing was changed."""

    code = "declined"
    exit_code = 3


class DaemonUnreachable(ClientError):
    """The daemon cannot be reached."""

    code = "daemon_unreachable"
    exit_code = 7


class DaemonTimeout(ClientError):
    """The daemon did not answer in time."""

    code = "daemon_timeout"
    exit_code = 8


class RequestError(LLMGateError):
    """The request cannot be served as it is."""

    code = "invalid_request"
    status = 400
    exit_code = 6


class InvalidRequest(RequestError):
    """The request is not valid."""


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


class PreconditionFailed(RequestError):
    """It has been changed since it was read."""

    code = "precondition_failed"
    status = 412


class LimitExceeded(RequestError):
    """A limit of this principal is reached."""

    code = "limit_exceeded"
    status = 429
    exit_code = 1


class TooManyAttempts(LimitExceeded):
    """There were too many failed attempts."""

    code = "too_many_attempts"


class GatewayBusy(LLMGateError):
    """The gateway cannot take this request now."""

    code = "gateway_busy"
    status = 503
    exit_code = 7


class QueueFull(GatewayBusy):
    """The waiting line is full."""

    code = "queue_full"


class Draining(GatewayBusy):
    """The gateway is shutting down."""

    code = "draining"


class PoolDraining(GatewayBusy):
    """The pool of this model takes nothing new at the moment."""

    code = "pool_draining"


class StoreUnavailable(GatewayBusy):
    """The database does not answer."""

    code = "store_unavailable"


class BrokerUnavailable(GatewayBusy):
    """The message broker does not answer."""

    code = "broker_unavailable"


class QueueTimeout(GatewayBusy):
    """The request waited too long for its turn."""

    code = "queue_timeout"
    status = 504
    exit_code = 8


class CancelledByAdmin(GatewayBusy):
    """An administrator took the request out of the queue."""

    code = "cancelled_by_admin"


class UpstreamError(LLMGateError):
    """The upstream failed."""

    code = "upstream_failed"
    status = 502
    exit_code = 7


class UpstreamUnavailable(UpstreamError):
    """No upstream that serves this model is usable at the moment."""

    code = "upstream_unavailable"
    status = 503


class UpstreamUnreachable(UpstreamError):
    """The upstream cannot be reached."""

    code = "upstream_unreachable"


class UpstreamRefused(UpstreamError):
    """The upstream is busy and refused the request."""

    code = "upstream_refused"
    status = 503


class UpstreamProtocolError(UpstreamError):
    """The upstream sent something that is not an answer."""

    code = "upstream_protocol"


class UpstreamCut(UpstreamError):
    """The upstream ended before its answer was complete."""

    code = "upstream_cut"


class UpstreamTimeout(UpstreamError):
    """The upstream did not answer in time."""

    code = "upstream_timeout"
    status = 504


class UpstreamRejected(UpstreamError):
    """The upstream rejected the request."""

    code = "upstream_rejected"

    def __init__(self, message: str, *, status: int, body: bytes | None = None) -> None:
        """``status`` is the upstream's own; ``body`` its answer where that is an error in the caller's
        dialect, to be passed on as it is."""
        super().__init__(message)
        self.status = status
        self.body = body
