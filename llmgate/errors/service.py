"""Errors of the gateway and of the upstreams behind it."""

from __future__ import annotations

from llmgate.errors.base import LLMGateError


class GatewayBusy(LLMGateError):
    """The gateway cannot take this request now."""

    code = "gateway_busy"
    status = 503
    exit_code = 7


class QueueFull(GatewayBusy):
    """The waiting line is full."""

    code = "queue_full"


class Overloaded(GatewayBusy):
    """There are more connections than the gateway can hold."""

    code = "overloaded"


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
