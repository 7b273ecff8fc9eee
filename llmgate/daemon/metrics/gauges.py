"""The state of a daemon at the moment of a scrape."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client.core import GaugeMetricFamily, Metric

from llmgate import __version__
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.daemon.queue.ticket import PoolStats

Mode = Literal["livemin", "livemax", "livesum"]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the numbers of other parts of the daemon come from. ``upstreams`` gives, of each upstream, its name, its
    pool and whether it may be granted requests."""

    queue: QueueManagerInterface
    upstreams: Callable[[], Iterable[tuple[str, str, bool]]]
    pending_rows: Callable[[], int]
    dropped_rows: Callable[[], int]
    event_streams: Callable[[], int]
    dropped_events: Callable[[], int]


@dataclass(frozen=True, slots=True)
class OwnGauge:
    """What each daemon sees differently. ``mode`` is how the workers of one machine make one number of it."""

    name: str
    text: str
    mode: Mode
    values: Mapping[tuple[str, ...], float]
    labels: Sequence[str] = ()

    def family(self) -> Metric:
        family = GaugeMetricFamily(self.name, self.text, labels=list(self.labels))
        for labels, value in self.values.items():
            family.add_metric(labels, value)
        return family


def own_gauges(sources: Sources) -> list[OwnGauge]:
    """What this very daemon sees."""
    queue, pools = sources.queue.status(), [pool.pool for pool in sources.queue.stats()]
    # A queue in memory names no daemons: this one is alone, and decides everything.
    dispatches = queue.daemons[0].dispatches if queue.daemons else pools
    return [
        OwnGauge(
            "llmgate_queue_connected",
            "1 while this daemon takes part in the common line, 0 while it decides for itself.",
            "livemin",
            {(): queue.state == "connected"},
        ),
        OwnGauge(
            "llmgate_queue_daemons",
            "Daemons of the cluster that this one knows, itself too.",
            "livemax",
            {(): max(1, len(queue.daemons))},
        ),
        OwnGauge(
            "llmgate_queue_dispatching",
            "1 where this daemon decides who goes next; 1 in the sum of all daemons.",
            "livesum",
            {(pool,): pool in dispatches for pool in pools},
            ("pool",),
        ),
        OwnGauge(
            "llmgate_usage_pending_rows",
            "Finished requests that are not written to the database yet.",
            "livesum",
            {(): sources.pending_rows()},
        ),
        OwnGauge("llmgate_event_streams", "Open event streams.", "livesum", {(): sources.event_streams()}),
    ]


def common_gauges(sources: Sources) -> list[Metric]:
    """What every daemon of a cluster, or every worker of a machine, sees alike."""
    up = GaugeMetricFamily(
        "llmgate_upstream_up", "1 while an upstream may be granted requests.", labels=("pool", "upstream")
    )
    for name, pool, usable in sources.upstreams():
        up.add_metric((pool, name), usable)
    build = GaugeMetricFamily("llmgate_build_info", "What runs here; always 1.", labels=("version", "python"))
    build.add_metric((__version__, platform.python_version()), 1)
    return [*_pools(sources.queue.stats()), up, build]


class Fixed:
    """A collector of metrics that are made already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Any]:
        return self._metrics


def _pools(pools: Iterable[PoolStats]) -> Iterable[Metric]:
    waiting = GaugeMetricFamily(
        "llmgate_waiting", "Waiting requests, of the whole cluster: not to be summed.", labels=("pool", "level")
    )
    running = GaugeMetricFamily(
        "llmgate_running", "Running requests, of the whole cluster: not to be summed.", labels=("pool", "upstream")
    )
    slots = GaugeMetricFamily(
        "llmgate_slots", "Slots, of the whole cluster: not to be summed.", labels=("pool", "upstream")
    )
    over_limit = GaugeMetricFamily(
        "llmgate_over_limit_seconds",
        "How long, at most, slots were used twice by a daemon that was cut off; of the whole cluster.",
        labels=("pool",),
    )
    for pool in pools:
        over_limit.add_metric((pool.pool,), pool.over_limit_seconds)
        for level, depth in pool.waiting_by_level.items():
            waiting.add_metric((pool.pool, str(level)), depth)
        waiting.add_metric((pool.pool, "aged"), pool.aged_waiting)
        for upstream, (busy, size) in pool.upstreams.items():
            running.add_metric((pool.pool, upstream), busy)
            slots.add_metric((pool.pool, upstream), size)
    return (waiting, running, slots, over_limit)
