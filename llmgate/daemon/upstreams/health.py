"""Is an upstream fit to be granted requests? A pure state machine; the registry feeds it and acts on it.

Signs come from probes and from traffic. What takes an upstream out must be what brings it back: a listing that
answers does not heal requests that fail (Ollama's stays green while its scheduler is dead), so after failed
requests one request at a time is let through until one succeeds (half-open circuit breaker; Nygard, *Release
It!*). Credentials that are refused and rate limits are nobody's failures and do not count as such.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

from llmgate.config import HealthSettings
from llmgate.daemon.upstreams.base import HealthState
from llmgate.errors import (
    LLMGateError,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)

IN_USE = frozenset({HealthState.HEALTHY, HealthState.DEGRADED})
FIRST_PAUSE = 1.0
"""Seconds until the probe after a first failure; it doubles with each further one."""
RETRY_AFTER = 5.0
"""Seconds that a rate-limited upstream rests when it does not say how long."""


class Kind(Enum):
    """What was seen."""

    ALIVE = auto()
    ERROR = auto()
    SILENT = auto()
    UNREACHABLE = auto()
    FORBIDDEN = auto()
    LIMITED = auto()
    UNFIT = auto()
    """It is not what the configuration says."""


@dataclass(frozen=True, slots=True)
class Sign:
    """Something seen of an upstream. ``seconds`` is how long it took, where that matters."""

    kind: Kind
    reason: str = ""
    seconds: float = 0.0
    retry_after: float | None = None


ALIVE = Sign(Kind.ALIVE)
_FAILURES = frozenset({Kind.ERROR, Kind.SILENT, Kind.UNREACHABLE})
_REQUEST_KINDS: dict[type[LLMGateError], Kind] = {
    UpstreamUnreachable: Kind.UNREACHABLE,
    UpstreamTimeout: Kind.SILENT,
}
_PROBE_KINDS = {**_REQUEST_KINDS, UpstreamRefused: Kind.LIMITED, UpstreamProtocolError: Kind.UNFIT}


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of one upstream's health. Times are seconds on the caller's clock."""

    state: HealthState = HealthState.UNKNOWN
    reason: str = ""
    next_probe: float = 0.0
    unreached: int = 0
    """Connections or probes in a row that failed."""
    failed: int = 0
    """Requests in a row that failed after they were sent."""
    failed_at: float = 0.0
    slow: bool = False
    setbacks: int = 0
    """Failures since it was last healthy; each doubles the pause between probes."""
    good_probes: int = 0


def usable(state: HealthState) -> bool:
    """Whether requests may be granted."""
    return state in IN_USE or state is HealthState.RECOVERING


def sign_of(failure: LLMGateError, *, probe: bool) -> Sign:
    """What an error of a probe, or of a request, says about the upstream."""
    if isinstance(failure, UpstreamRejected):
        return _sign_of_status(failure, probe=probe)
    kinds = _PROBE_KINDS if probe else _REQUEST_KINDS
    kind = next((kind for error, kind in kinds.items() if isinstance(failure, error)), Kind.ERROR)
    return Sign(kind, failure.text(), retry_after=failure.retry_after)


def _sign_of_status(failure: UpstreamRejected, *, probe: bool) -> Sign:
    if failure.status in (401, 403):
        return Sign(Kind.FORBIDDEN, f"it refuses our credentials ({failure.status})")
    if failure.status >= 500:
        return Sign(Kind.ERROR, failure.message)
    # A request may be at fault itself; a probe asks only for what every such server has.
    return Sign(Kind.UNFIT, failure.message) if probe else ALIVE


class HealthRules:
    """How signs change health. ``jitter`` returns a factor around 1 that spreads the probes."""

    def __init__(self, settings: HealthSettings, jitter: Callable[[], float]) -> None:
        self._settings = settings
        self._jitter = jitter

    def probed(self, health: Health, sign: Sign, now: float, heard_at: float = float("-inf")) -> Health:
        """A probe ended. ``heard_at`` is when the last byte of any answer arrived."""
        if sign.kind is Kind.SILENT and heard_at >= now - sign.seconds:
            # Bytes came while the probe waited: it is busy, not dead.
            sign = Sign(Kind.ALIVE, seconds=sign.seconds)
        if sign.kind is not Kind.ALIVE:
            if sign.kind in _FAILURES:
                health = replace(health, unreached=health.unreached + 1)
            return self._worse(health, sign, now)
        slow = sign.seconds > self._settings.timeout / 2
        faded = now - health.failed_at >= self._settings.backoff_max
        better = replace(
            health,
            next_probe=now + self._settings.interval * self._jitter(),
            unreached=0,
            slow=slow,
            good_probes=health.good_probes + 1,
        )
        match health.state:
            case HealthState.UNKNOWN | HealthState.HEALTHY | HealthState.DEGRADED | HealthState.RATE_LIMITED:
                return self._in_use(replace(better, failed=0 if faded else health.failed))
            case HealthState.RECOVERING if not health.failed and better.good_probes > self._settings.failures:
                return self._in_use(better)
            case HealthState.RECOVERING:
                return better
        return replace(
            better, state=HealthState.RECOVERING, reason="it answers again; one request at a time", good_probes=1
        )

    def served(self, health: Health, sign: Sign, now: float, *, deaf: bool = False) -> Health:
        """A request ended, or its answer began. ``deaf`` tells of a silent one that no other request got a
        byte meanwhile either."""
        if sign.kind is Kind.ALIVE:
            return self._alive(health, now)
        if not usable(health.state):
            return health  # it is known already; requests sent before are no news
        if sign.kind is Kind.UNREACHABLE:
            health = replace(health, unreached=health.unreached + 1)
        elif sign.kind in _FAILURES:
            failures = self._settings.failures if deaf else health.failed + 1
            health = replace(health, failed=failures, failed_at=now)
        return self._worse(health, sign, now)

    def _alive(self, health: Health, now: float) -> Health:
        if health.state is HealthState.HEALTHY and not health.failed and not health.unreached:
            return health
        if usable(health.state):
            return self._in_use(replace(health, failed=0, unreached=0))
        if health.state in (HealthState.OFFLINE, HealthState.UNHEALTHY):
            return replace(health, next_probe=min(health.next_probe, now))
        return health

    def _worse(self, health: Health, sign: Sign, now: float) -> Health:
        if sign.kind is Kind.LIMITED:
            rest = sign.retry_after if sign.retry_after is not None else RETRY_AFTER
            return replace(health, state=HealthState.RATE_LIMITED, reason=sign.reason, next_probe=now + rest)
        setbacks = health.setbacks + 1
        pause = min(self._settings.backoff_max, FIRST_PAUSE * 2 ** min(setbacks - 1, 20))
        health = replace(
            health, reason=sign.reason, setbacks=setbacks, next_probe=now + pause * self._jitter(), good_probes=0
        )
        if sign.kind in (Kind.FORBIDDEN, Kind.UNFIT):
            return replace(health, state=HealthState.MISCONFIGURED)
        if health.state in IN_USE and max(health.unreached, health.failed) < self._settings.failures:
            return replace(health, state=HealthState.DEGRADED)
        return replace(health, state=HealthState.UNHEALTHY if sign.kind is Kind.ERROR else HealthState.OFFLINE)

    @staticmethod
    def _in_use(health: Health) -> Health:
        if health.slow:
            return replace(health, state=HealthState.DEGRADED, reason="it answers slowly", setbacks=0)
        if health.failed:
            return replace(health, state=HealthState.DEGRADED)
        return replace(health, state=HealthState.HEALTHY, reason="", setbacks=0)
