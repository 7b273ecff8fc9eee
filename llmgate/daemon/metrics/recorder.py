"""Metrics: counts what happens, and tells it to whoever scrapes.

One daemon keeps its numbers in memory. The workers of one machine keep theirs in files of one directory, so that a
scrape, which reaches one of them at random, gets the sum of all. See ``directory``.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from llmgate.daemon.events import (
    CLIENT_GONE,
    ActivityRecorded,
    ConnectionRefused,
    Event,
    LoginFailed,
    RequestFinished,
    RequestRefused,
    TicketPromoted,
)
from llmgate.daemon.metrics.directory import shared_directory
from llmgate.daemon.metrics.gauges import Fixed, OwnGauge, Sources, common_gauges, own_gauges
from llmgate.daemon.queue.ticket import LEVELS, Outcome
from llmgate.errors import GatewayBusy, LLMGateError, RequestError, UpstreamError

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LOGIN = "session.login"
TELL_SECONDS = 1.0
"""So often a worker writes down what the others cannot see."""
MOST_ACTIONS = 200
"""Actions are words of our own code; should one ever be made of something else, it counts as ``other``."""
_SEEN_BY_CLIENTS = (RequestError, GatewayBusy, UpstreamError)
_CODES = {LLMGateError.code, CLIENT_GONE, *(kind.code for one in _SEEN_BY_CLIENTS for kind in one.kinds())}
"""Why a request can be refused before it waits."""


class Metrics:
    """A subscriber of the event bus. ``sources`` are asked at a scrape, ``protocols`` are the names of all there are.

    What an alert counts is there at 0 before it happens: ``increase()`` of a series that begins at 5 is nothing.
    """

    content_type = _CONTENT_TYPE

    def __init__(self, sources: Sources, protocols: Sequence[str]) -> None:
        self._sources = sources
        self._directory = shared_directory()
        self._registry = CollectorRegistry()
        self._finished = self._counter("requests", "Requests by outcome.", "protocol", "level", "outcome")
        self._finished_by: dict[tuple[str, int, str], Counter] = {}
        # 160 series: four protocols, five levels, eight outcomes. A daemon without workers also tells when each began.
        for one in itertools.product(protocols, LEVELS, Outcome):
            self._outcomes(*one)
        self._refused = self._counter("refused_requests", "Requests refused before they waited.", "code")
        for code in sorted(_CODES):  # some 40 series
            self._refused.labels(code)
        self._turned_away = self._counter("refused_connections", "Connections refused before authentication.", "reason")
        tokens = self._counter("tokens", "Tokens that models reported, by submitted level.", "kind", "level")
        self._input_tokens = {level: tokens.labels("input", str(level)) for level in LEVELS}
        self._output_tokens = {level: tokens.labels("output", str(level)) for level in LEVELS}
        self._promotions = self._counter("promotions", "Tickets that aged.", "to")
        self._wait = self._histogram("llmgate_wait_seconds", "Wait for a turn, by submitted level.")
        self._first_byte = self._histogram("llmgate_first_byte_seconds", "Arrival to first byte of the answer.")
        self._duration = self._histogram("llmgate_duration_seconds", "Arrival to end.")
        logins = self._counter("logins", "Logins with a name and a password; throttled ones were not tried.", "result")
        self._login_ok, self._login_failed, self._login_throttled = map(logins.labels, ("ok", "failed", "throttled"))
        self._changes = self._counter("changes", "Entries of the activity log.", "action")
        self._actions: set[str] = set()
        self._lost_rows = self._counter("usage_dropped_rows", "Finished requests that were never written down.")
        self._lost_events = self._counter("dropped_events", "Events that a stream did not get: it was too slow.")
        self._known_lost = (0, 0)
        self._own: dict[str, Gauge] = {}
        self._told: dict[str, set[tuple[str, ...]]] = {}

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"llmgate_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str) -> dict[int, Histogram]:
        histogram = Histogram(name, text, ("level",), buckets=_SECONDS, registry=self._registry)
        return {level: histogram.labels(str(level)) for level in LEVELS}

    @property
    def is_shared(self) -> bool:
        """Whether this daemon is one of several workers."""
        return self._directory is not None

    # -- what happens ------------------------------------------------------------------------

    def __call__(self, event: Event) -> None:
        match event:
            case RequestFinished():
                self._finish(event)
            case RequestRefused():
                self._refused.labels(event.error_code).inc()
            case ConnectionRefused():
                self._turned_away.labels(event.reason).inc()
            case TicketPromoted():
                self._promotions.labels(str(event.to) if event.to else "aged").inc()
            case ActivityRecorded():
                self._change(event.action)
            case LoginFailed():
                (self._login_throttled if event.throttled else self._login_failed).inc()

    def _outcomes(self, protocol: str, level: int, outcome: str) -> Counter:
        """Requests that have ended in this way."""
        key = (protocol, level, outcome)
        counter = self._finished_by.get(key)
        if counter is None:
            counter = self._finished_by[key] = self._finished.labels(protocol, str(level), outcome)
        return counter

    def _finish(self, event: RequestFinished) -> None:
        level = event.submitted_level
        self._outcomes(event.protocol, level, event.outcome).inc()
        self._wait[level].observe(event.wait)
        self._duration[level].observe(event.duration)
        if event.first_byte is not None:
            self._first_byte[level].observe(event.first_byte)
        if event.input_tokens:
            self._input_tokens[level].inc(event.input_tokens)
        if event.output_tokens:
            self._output_tokens[level].inc(event.output_tokens)

    def _change(self, action: str) -> None:
        if action == _LOGIN:
            self._login_ok.inc()
        if len(self._actions) < MOST_ACTIONS:
            self._actions.add(action)
        self._changes.labels(action if action in self._actions else "other").inc()

    # -- what is told ------------------------------------------------------------------------

    async def render(self) -> bytes:
        """The text that a scrape gets."""
        self._count_lost()
        own = own_gauges(self._sources)
        common = common_gauges(self._sources)
        if self._directory is None:
            parts = CollectorRegistry()
            parts.register(Fixed([*(gauge.family() for gauge in own), *common]))
            return generate_latest(self._registry) + generate_latest(parts)
        self._write_down(own)
        return await asyncio.to_thread(_render_all, self._directory, Fixed(common))

    async def run(self) -> None:
        """In a worker: write down, again and again, what only it can see. Until cancelled."""
        while True:
            self._count_lost()
            self._write_down(own_gauges(self._sources))
            await asyncio.sleep(TELL_SECONDS)

    def _count_lost(self) -> None:
        rows, events = self._sources.dropped_rows(), self._sources.dropped_events()
        known_rows, known_events = self._known_lost
        self._lost_rows.inc(max(0, rows - known_rows))
        self._lost_events.inc(max(0, events - known_events))
        self._known_lost = rows, events

    def _write_down(self, gauges: list[OwnGauge]) -> None:
        for one in gauges:
            gauge = self._own.get(one.name)
            if gauge is None:
                gauge = Gauge(one.name, one.text, one.labels, registry=None, multiprocess_mode=one.mode)
                self._own[one.name] = gauge
            told = self._told.setdefault(one.name, set())
            for labels in told.difference(one.values):  # a pool that is gone: a file cannot forget it
                gauge.labels(*labels).set(0)
            for labels, value in one.values.items():
                (gauge.labels(*labels) if labels else gauge).set(value)
            told.update(one.values)


def _render_all(directory: str, common: Fixed) -> bytes:
    """Reads the files of all workers: not for the event loop."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
    registry.register(common)
    return generate_latest(registry)
