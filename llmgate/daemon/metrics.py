"""What Prometheus scrapes. Labels come from a closed set only: no names that a client can invent."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from llmgate.daemon.events import Event, RequestFinished, RequestRefused, TicketPromoted
from llmgate.daemon.queue.interface import QueueManagerInterface
from llmgate.daemon.queue.ticket import LEVELS, PoolStats, QueueStatus

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts events, and reads the queue's gauges when it is scraped."""

    content_type = _CONTENT_TYPE

    def __init__(self, queue: QueueManagerInterface) -> None:
        self._registry = CollectorRegistry()
        self._finished = Counter(
            "llmgate_requests", "Requests by outcome.", ("protocol", "level", "outcome"), registry=self._registry
        )
        self._finished_by: dict[tuple[str, int, str], Counter] = {}
        self._refused = Counter(
            "llmgate_refused_requests", "Requests refused before they waited.", ("code",), registry=self._registry
        )
        tokens = Counter("llmgate_tokens", "Tokens that models reported.", ("kind",), registry=self._registry)
        self._input_tokens, self._output_tokens = tokens.labels("input"), tokens.labels("output")
        self._promotions = Counter("llmgate_promotions", "Tickets that aged.", ("to",), registry=self._registry)
        self._wait = self._histogram("llmgate_wait_seconds", "Wait for a turn, by submitted level.")
        self._first_byte = self._histogram("llmgate_first_byte_seconds", "Arrival to first byte of the answer.")
        self._duration = self._histogram("llmgate_duration_seconds", "Arrival to end.")
        self._registry.register(_QueueGauges(queue))

    def _histogram(self, name: str, text: str) -> dict[int, Histogram]:
        histogram = Histogram(name, text, ("level",), buckets=_SECONDS, registry=self._registry)
        return {level: histogram.labels(str(level)) for level in LEVELS}

    def __call__(self, event: Event) -> None:
        if isinstance(event, RequestFinished):
            self._finish(event)
        elif isinstance(event, RequestRefused):
            self._refused.labels(event.error_code).inc()
        elif isinstance(event, TicketPromoted):
            self._promotions.labels(str(event.to) if event.to else "aged").inc()

    def _finish(self, event: RequestFinished) -> None:
        level = event.submitted_level
        key = (event.protocol, level, event.outcome)
        counter = self._finished_by.get(key)
        if counter is None:
            counter = self._finished_by[key] = self._finished.labels(event.protocol, str(level), event.outcome)
        counter.inc()
        self._wait[level].observe(event.wait)
        self._duration[level].observe(event.duration)
        if event.first_byte is not None:
            self._first_byte[level].observe(event.first_byte)
        if event.input_tokens:
            self._input_tokens.inc(event.input_tokens)
        if event.output_tokens:
            self._output_tokens.inc(event.output_tokens)

    def render(self) -> bytes:
        """The text that a scrape gets."""
        return generate_latest(self._registry)


class _QueueGauges:
    """The state of the queue at the moment of the scrape."""

    def __init__(self, queue: QueueManagerInterface) -> None:
        self._queue = queue

    def collect(self) -> Iterable[Metric]:
        pools = self._queue.stats()
        return (*_cluster(self._queue.status(), pools), *_pools(pools))


def _cluster(queue: QueueStatus, pools: Iterable[PoolStats]) -> Iterable[Metric]:
    connected = GaugeMetricFamily(
        "llmgate_queue_connected", "1 while this daemon takes part in the common line, 0 while it decides for itself."
    )
    connected.add_metric((), queue.state == "connected")
    # A queue in memory names no daemons: this one is alone, and decides everything.
    daemons = GaugeMetricFamily("llmgate_queue_daemons", "Daemons of the cluster that this one knows, itself too.")
    daemons.add_metric((), max(1, len(queue.daemons)))
    dispatching = GaugeMetricFamily(
        "llmgate_queue_dispatching",
        "1 where this daemon decides who goes next; 1 in the sum of all daemons.",
        labels=("pool",),
    )
    for pool in pools:
        dispatching.add_metric((pool.pool,), not queue.daemons or pool.pool in queue.daemons[0].dispatches)
    return (connected, daemons, dispatching)


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
