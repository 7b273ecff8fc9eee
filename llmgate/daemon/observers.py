"""Who hears of everything that happens: the log, the live stream, the metrics, the count of failed logins.

The usage recorder is one of them too, made where the others of the store are. Each is bounded: the log holds nothing,
the metrics have labels of closed sets only, the count of logins has 24 hours, the live stream and the recorder drop
their oldest and count that. None waits for anything while it is told, and one that raises is logged by the bus.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from llmgate.config import Settings
from llmgate.daemon.chat.dialect import CHAT
from llmgate.daemon.events import ActivityRecorded, Event, EventBus, RequestFinished, SettingsChanged, UpstreamChanged
from llmgate.daemon.failed_logins import FailedLogins
from llmgate.daemon.feed.feed import Feed
from llmgate.daemon.metrics.gauges import Sources
from llmgate.daemon.metrics.recorder import Metrics
from llmgate.daemon.protocols import PROTOCOLS
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.daemon.supervisor import Supervisor
from llmgate.daemon.upstreams.health import usable
from llmgate.daemon.upstreams.registry import UpstreamRegistry
from llmgate.daemon.usage import UsageRecorder


@dataclass(frozen=True, slots=True)
class Observers:
    """See the module."""

    feed: Feed
    metrics: Metrics
    failed_logins: FailedLogins

    def start(self, supervisor: Supervisor) -> None:
        """Begin what they do beside listening."""
        supervisor.start("feed", self.feed.run())
        if self.metrics.is_shared:
            supervisor.start("metrics", self.metrics.run())


def observe(
    bus: EventBus, queue: QueueManagerInterface, upstreams: UpstreamRegistry, usage: UsageRecorder, name: str
) -> Observers:
    """Make them, and let them hear. ``name`` is what this daemon is called."""
    feed = Feed(bus, queue, name)
    sources = Sources(
        queue=queue,
        upstreams=lambda: [(one.name, one.pool, usable(one.state)) for one in upstreams.status()],
        pending_rows=lambda: usage.pending,
        dropped_rows=lambda: usage.dropped,
        event_streams=lambda: feed.followers,
        dropped_events=lambda: feed.dropped,
    )
    observers = Observers(feed, Metrics(sources, [one.name for one in (*PROTOCOLS, CHAT)]), FailedLogins())
    for subscriber in (log_event, usage, feed, observers.metrics, observers.failed_logins):
        bus.subscribe(subscriber)
    return observers


def change_of_settings(before: Settings, after: Settings) -> SettingsChanged:
    """Which settings are others now. Their values may be secrets: only names are told."""
    keys = [
        f"{section}.{name}"
        for section, values in before.model_dump().items()
        if isinstance(values, dict)
        for name, value in values.items()
        if getattr(after, section).model_dump()[name] != value
    ]
    return SettingsChanged(tuple(keys))


_activity_log = structlog.get_logger("llmgate.activity")
_requests_log = structlog.get_logger("llmgate.request")


def log_event(event: Event) -> None:
    """One line for each finished request, each change of an upstream, and each entry of the activity log.

    With its hash the latter is a witness outside of the database: nobody can cut the end of the activity log off
    unseen who does not also rewrite the daemon's own log.
    """
    if isinstance(event, RequestFinished):
        _requests_log.info(
            "request",
            id=event.request_id,
            principal=f"{event.principal_kind}:{event.principal_id}",
            route=event.route,
            model=event.model,
            upstream=event.upstream,
            level=event.submitted_level,
            outcome=event.outcome.value,
            status=event.status,
            error=event.error_code,
            wait_ms=round(event.wait * 1000),
            duration_ms=round(event.duration * 1000),
            input_tokens=event.input_tokens,
            output_tokens=event.output_tokens,
        )
    elif isinstance(event, UpstreamChanged):
        say = _requests_log.info if event.usable else _requests_log.warning
        before, after = (
            str(event.before),
            str(event.after),
        )  # of an enumeration, else written with its name
        say("upstream_changed", upstream=event.upstream, before=before, after=after, reason=event.reason)
    elif isinstance(event, ActivityRecorded):
        _activity_log.info(
            "activity",
            seq=event.seq,
            actor=f"{event.actor_kind}:{event.actor_id}",
            action=event.action,
            target=event.target_id,
            hash=event.hash,
        )
