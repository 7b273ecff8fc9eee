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
RETRY_AFTER_MAX = 60.0
"""Seconds that it rests at most, whatever it says: one number of one answer must not take it out for long."""


class Kind(Enum):
    """What was seen."""

    ALIVE = auto()
    BEGUN = auto()
    """A good answer has begun, and may still fail."""
    ERROR = auto()
    REJECTED = auto()
    """It answered a request with an HTTP status of 5xx."""
    SILENT = auto()
    UNREACHABLE = auto()
    FORBIDDEN = auto()
    LIMITED = auto()
    UNFIT = auto()
    """It is not what the configuration says."""


@dataclass(frozen=True, slots=True)
class Sign:
    """Something seen of an upstream. ``seconds`` is how long it took, where that matters; ``owner`` is whose
    request it was seen of, empty when that is not known."""

    kind: Kind
    reason: str = ""
    seconds: float = 0.0
    retry_after: float | None = None
    owner: str = ""


ALIVE = Sign(Kind.ALIVE)
BEGUN = Sign(Kind.BEGUN)
_FAILURES = frozenset({Kind.ERROR, Kind.REJECTED, Kind.SILENT, Kind.UNREACHABLE})
_REQUEST_KINDS: dict[type[LLMGateError], Kind] = {
    UpstreamUnreachable: Kind.UNREACHABLE,
    UpstreamTimeout: Kind.SILENT,
    UpstreamRefused: Kind.REJECTED,
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
    """Requests in a row that failed after they were sent, but for those that were ``rejected``."""
    rejected: int = 0
    """Requests of known owners in the same row that it answered with an error."""
    owners: frozenset[str] = frozenset()
    """Whose requests these were: two, if there are more."""
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
        return Sign(Kind.ERROR if probe else Kind.REJECTED, failure.message)
    # A request may be at fault itself; a probe asks only for what every such server has.
    return Sign(Kind.UNFIT, failure.message) if probe else ALIVE


class HealthRules:
    """How signs change health. ``jitter`` returns a factor around 1 that spreads the probes."""

    def __init__(self, settings: HealthSettings, jitter: Callable[[], float]) -> None:
        self._settings = settings
        self._jitter = jitter

    def apply(self, settings: HealthSettings) -> None:
        """From now on these hold."""
        self._settings = settings

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
                return self._in_use(_forgiven(better) if faded else better)
            case HealthState.RECOVERING if not _has_failed(health) and better.good_probes > self._settings.failures:
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
        if sign.kind is Kind.BEGUN:
            return self._begun(health)
        if not usable(health.state):
            return health  # it is known already; requests sent before are no news
        if sign.kind is Kind.UNREACHABLE:
            return self._worse(replace(health, unreached=health.unreached + 1), sign, now)
        if sign.kind in _FAILURES:
            health = self._with_failure(health, sign, now, deaf)
            if sign.kind is Kind.REJECTED and sign.owner and not _is_shared(health):
                return self._suspected(health, sign, now)
        return self._worse(health, sign, now)

    def _with_failure(self, health: Health, sign: Sign, now: float, deaf: bool) -> Health:
        owners = health.owners
        if sign.owner and len(owners) < 2:
            owners |= {sign.owner}
        health = replace(health, owners=owners, failed_at=now)
        if sign.kind is Kind.REJECTED and sign.owner:
            return replace(health, rejected=health.rejected + 1)
        return replace(health, failed=self._settings.failures if deaf else health.failed + 1)

    def _suspected(self, health: Health, sign: Sign, now: float) -> Health:
        """Requests of one owner fail, and no others that we know of: a probe, soon, tells more."""
        state = HealthState.DEGRADED if health.state in IN_USE else health.state
        due = min(health.next_probe, now + FIRST_PAUSE * self._jitter())
        return replace(health, state=state, reason=sign.reason, next_probe=due)

    def _begun(self, health: Health) -> Health:
        """What failed before is forgiven only when a part of an answer comes."""
        if health.state is not HealthState.RECOVERING:
            return health
        return self._in_use(replace(health, reason="requests failed lately, and one is being answered now"))

    def _alive(self, health: Health, now: float) -> Health:
        if health.state is HealthState.HEALTHY and not _has_failed(health) and not health.unreached:
            return health
        if usable(health.state):
            return self._in_use(replace(_forgiven(health), unreached=0))
        if health.state in (HealthState.OFFLINE, HealthState.UNHEALTHY):
            return replace(health, next_probe=min(health.next_probe, now))
        return health

    def _worse(self, health: Health, sign: Sign, now: float) -> Health:
        if sign.kind is Kind.LIMITED:
            rest = min(sign.retry_after, RETRY_AFTER_MAX) if sign.retry_after is not None else RETRY_AFTER
            return replace(health, state=HealthState.RATE_LIMITED, reason=sign.reason, next_probe=now + rest)
        setbacks = health.setbacks + 1
        pause = min(self._settings.backoff_max, FIRST_PAUSE * 2 ** min(setbacks - 1, 20))
        health = replace(
            health, reason=sign.reason, setbacks=setbacks, next_probe=now + pause * self._jitter(), good_probes=0
        )
        if sign.kind in (Kind.FORBIDDEN, Kind.UNFIT):
            return replace(health, state=HealthState.MISCONFIGURED)
        if health.state in IN_USE and not self._is_enough(health):
            return replace(health, state=HealthState.DEGRADED)
        answered = sign.kind in (Kind.ERROR, Kind.REJECTED)
        return replace(health, state=HealthState.UNHEALTHY if answered else HealthState.OFFLINE)

    def _is_enough(self, health: Health) -> bool:
        """Whether it has failed too often in a row to be used on."""
        failed = health.failed + (health.rejected if _is_shared(health) else 0)
        return max(health.unreached, failed) >= self._settings.failures

    @staticmethod
    def _in_use(health: Health) -> Health:
        if health.slow:
            return replace(health, state=HealthState.DEGRADED, reason="it answers slowly", setbacks=0)
        if _has_failed(health):
            return replace(health, state=HealthState.DEGRADED)
        return replace(health, state=HealthState.HEALTHY, reason="", setbacks=0)


def _has_failed(health: Health) -> bool:
    return health.failed + health.rejected > 0


def _forgiven(health: Health) -> Health:
    return replace(health, failed=0, rejected=0, owners=frozenset())


def _is_shared(health: Health) -> bool:
    """Whether its rejections can not be one owner's fault: others failed in the same row, or we got no answer."""
    return len(health.owners) > 1 or health.unreached > 0
