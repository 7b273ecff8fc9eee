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
│   ├── RequestTooSlow              408 request_too_slow
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
│   ├── ExpectationFailed           417 expectation_failed  (Expect other than 100-continue)
│   ├── HeadTooLarge                431 head_too_large
│   └── LimitExceeded               429 limit_exceeded      (the caller's own limit)
│       ├── RateLimitExceeded       429 rate_limit_exceeded (requests or tokens per minute)
│       ├── TooManyConcurrent       429 too_many_concurrent (requests in flight at once)
│       ├── BudgetExceeded          429 budget_exceeded     (tokens per day or month)
│       ├── TooManyAttempts         429 too_many_attempts   (failed logins)
│       └── TooManyConnections      429 too_many_connections (from one address)
├── GatewayBusy
│   ├── QueueFull                   503 queue_full
│   ├── Overloaded                  503 overloaded           (more connections than there may be)
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

from llmgate.errors.base import LLMGateError
from llmgate.errors.local import (
    AddressInUse,
    ClientError,
    ConfigError,
    DaemonTimeout,
    DaemonUnreachable,
    Declined,
    InputNeeded,
    StartupError,
    StateUnreadable,
)
from llmgate.errors.request import (
    AlreadyCreated,
    AuthenticationFailed,
    BodyTooLarge,
    BudgetExceeded,
    Conflict,
    ExpectationFailed,
    HeadTooLarge,
    InvalidRequest,
    LimitExceeded,
    MethodNotAllowed,
    ModelNotFound,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    RateLimitExceeded,
    ReadOnly,
    RequestError,
    RequestTooSlow,
    RouteNotFound,
    TooManyAttempts,
    TooManyConcurrent,
    TooManyConnections,
    UnsupportedByUpstream,
    WouldLockOut,
)
from llmgate.errors.service import (
    BrokerUnavailable,
    CancelledByAdmin,
    Draining,
    GatewayBusy,
    Overloaded,
    PoolDraining,
    QueueFull,
    QueueTimeout,
    StoreUnavailable,
    UpstreamCut,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnreachable,
)

__all__ = [
    "AddressInUse",
    "AlreadyCreated",
    "AuthenticationFailed",
    "BodyTooLarge",
    "BrokerUnavailable",
    "BudgetExceeded",
    "CancelledByAdmin",
    "ClientError",
    "ConfigError",
    "Conflict",
    "DaemonTimeout",
    "DaemonUnreachable",
    "Declined",
    "Draining",
    "ExpectationFailed",
    "GatewayBusy",
    "HeadTooLarge",
    "InputNeeded",
    "InvalidRequest",
    "LLMGateError",
    "LimitExceeded",
    "MethodNotAllowed",
    "ModelNotFound",
    "NotFound",
    "Overloaded",
    "PermissionDenied",
    "PoolDraining",
    "PreconditionFailed",
    "QueueFull",
    "QueueTimeout",
    "RateLimitExceeded",
    "ReadOnly",
    "RequestError",
    "RequestTooSlow",
    "RouteNotFound",
    "StartupError",
    "StateUnreadable",
    "StoreUnavailable",
    "TooManyAttempts",
    "TooManyConcurrent",
    "TooManyConnections",
    "UnsupportedByUpstream",
    "UpstreamCut",
    "UpstreamError",
    "UpstreamProtocolError",
    "UpstreamRefused",
    "UpstreamRejected",
    "UpstreamTimeout",
    "UpstreamUnavailable",
    "UpstreamUnreachable",
    "WouldLockOut",
]
