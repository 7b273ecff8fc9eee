"""The measurements of the relay, one by one: a product is loaded, and what it costs is looked at."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from bench.figures import Figure
from bench.job import Found, Job
from bench.processes import run_client
from bench.products.base import DoesNotStart, Target

RUNS: Final = 5
RUN_SECONDS: Final = 2.0
"""After that a run asks no more."""

CHUNKS: Final = 20
BURST: Final = f"burst-{CHUNKS}"
MORE_EVENTS: Final = 3
"""After the chunks: why the answer ended, what was used, [DONE]."""

CONNECTIONS: Final = (1, 32, 256)
STREAMS: Final = (100, 1000)
FIRST_BYTE: Final = "added time to first byte"
WHOLE_ANSWER: Final = "time for a whole answer, 1 connection"
WAITS_SECONDS: Final = 0.005
"""A product that takes longer for an answer, and works for less than a quarter of the time, waits for something."""


@dataclass(frozen=True, slots=True)
class Streams:
    """How streams are paced: chunks in each, one every so many milliseconds, and how long a window of time is.

    With ``cut`` they are not read to their ends, because the first of them must be long enough for the last to begin.
    """

    chunks: int
    interval_ms: int
    window_seconds: float
    cut: bool = False

    @property
    def model(self) -> str:
        return f"paced-{self.chunks}-{self.interval_ms}"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much each measurement does, so that it ends in time. Both maps are by the number of connections."""

    requests: dict[int, int]
    streams: dict[int, Streams]
    first_byte_seconds: float


FAST: Final = Sizes(
    {1: 800, 32: 1500, 256: 1500}, {100: Streams(260, 25, 1.0), 1000: Streams(32, 250, 1.0)}, first_byte_seconds=1.5
)
SLOW: Final = Sizes(
    {1: 50, 32: 64, 256: 256},
    {100: Streams(80, 250, 2.0), 1000: Streams(100, 4000, 2.0, cut=True)},
    first_byte_seconds=3.0,
)
MODELS: Final = (BURST, *(streams.model for sizes in (FAST, SLOW) for streams in sizes.streams.values()))


def per_request(connections: int) -> str:
    """What a figure is called."""
    return f"CPU per request, {connections} connection{'s' if connections > 1 else ''}"


def per_chunk(streams: int) -> str:
    """What a figure is called."""
    return f"CPU per chunk, {streams:,} streams"


def first_byte(percentile: int) -> str:
    """What a figure is called."""
    return f"{FIRST_BYTE}, p{percentile}"


@dataclass(slots=True)
class Measured:
    """What was found about one product. ``rate``: requests per second at which the first bytes were timed; ``busy``:
    its CPU seconds per second then. ``remarks``: what it did to the answers that it should not, and
    where. ``sent``: events that the upstream sent for each one that came. ``waits``: see ``WAITS_SECONDS``."""

    target: Target
    figures: list[Figure] = field(default_factory=list)
    remarks: dict[str, list[str]] = field(default_factory=dict)
    capacity: float = 0.0
    rate: float = 0.0
    busy: float = 0.0
    sent: float = 1.0
    waits: str = ""

    def check(self, what: str, found: Found, chunks: int) -> None:
        """Note what is not as it was sent."""
        if found.failures:
            asked = found.answers + found.failures
            self._note(f"{found.failures:,} of {asked:,} answers failed ({', '.join(found.reasons)})", what)
            return
        if not found.answers:
            return
        if found.whole < found.answers:
            self._note("answers end without [DONE]", what)
        for name, got, sent in (
            ("chunks of text", found.tokens, chunks),
            ("events", found.events, chunks + MORE_EVENTS),
        ):
            if missing := found.answers * sent - got:
                self._note(f"{missing / found.answers:.3g} {name} per answer fewer than were sent", what)

    def _note(self, remark: str, what: str) -> None:
        whats = self.remarks.setdefault(remark, [])
        if what not in whats:
            whats.append(what)


def measure_product(target: Target, upstream: str, limit: float, wanted: Callable[[str], bool]) -> Measured:
    """All figures whose names are wanted; the first bytes at half of what the product can do, but at most ``limit``.

    Raises DoesNotStart when it serves nothing.
    """
    measured = Measured(target)
    if (tried := run_client(_job(target, BURST, 1, 1))).failures:
        raise DoesNotStart(f"it does not serve: {', '.join(tried.reasons)}")
    sizes = SLOW if target.slow else FAST
    for connections in CONNECTIONS:
        if wanted(per_request(connections)) or (connections == 32 and wanted(FIRST_BYTE)):
            measured.figures += _requests(measured, connections, sizes.requests[connections])
    if wanted(FIRST_BYTE) and measured.capacity:
        measured.rate = min(limit, float(f"{measured.capacity / 2:.2g}"))
        measured.figures += _first_bytes(measured, upstream, sizes.first_byte_seconds)
    for count in STREAMS:
        if wanted(per_chunk(count)):
            measured.figures += _chunks(measured, count, sizes.streams[count])
    return measured


def _job(target: Target, model: str, connections: int, requests: int) -> Job:
    pids = target.pids()
    return Job(target.url, target.key, target.model(model), connections, requests, target.headers, pids=pids)


def _requests(measured: Measured, connections: int, requests: int) -> Iterator[Figure]:
    name = per_request(connections)
    costs, rates = [], []
    warm_ups = 0 if measured.target.slow and connections > 32 else 1  # by then it has been warmed up
    for run in range(-warm_ups, RUNS):
        found = run_client(replace(_job(measured.target, BURST, connections, requests), seconds=RUN_SECONDS))
        measured.check(name, found, CHUNKS)
        if run < 0 or not found.answers:
            continue
        (window,) = found.windows
        costs.append(1e6 * window.cpu / window.units)
        rates.append(window.units / window.seconds)
    if not costs:
        return
    yield Figure(name, measured.target.name, "µs", costs)
    if connections == 32:
        measured.capacity = statistics.median(rates)
    if connections == 1:
        seconds, working = 1 / statistics.median(rates), statistics.median(costs) / 1e6
        yield Figure(WHOLE_ANSWER, measured.target.name, "ms", [1000 / rate for rate in rates])
        if seconds > WAITS_SECONDS and working < seconds / 4:
            measured.waits = f"takes {1000 * seconds:.0f} ms for an answer and works for {1000 * working:.1f} of them"


def _chunks(measured: Measured, count: int, streams: Streams) -> Iterator[Figure]:
    name = per_chunk(count)
    job = _job(measured.target, streams.model, count, count)
    found = run_client(replace(job, windows=RUNS, window_seconds=streams.window_seconds, cut=streams.cut))
    measured.check(name, found, streams.chunks)
    if found.answers:
        measured.sent = found.answers * (streams.chunks + MORE_EVENTS) / found.events
    if all(one.units for one in found.windows):
        costs = [1e6 * one.cpu / (one.units * measured.sent) for one in found.windows]
        yield Figure(name, measured.target.name, "µs", costs)


def _first_bytes(measured: Measured, upstream: str, seconds: float) -> Iterator[Figure]:
    target, rate = measured.target, measured.rate
    requests = round(rate * seconds)
    direct = Job(upstream, "-", BURST, 0, requests // 2, rate=rate)
    added: dict[int, list[float]] = {50: [], 99: []}
    busy = []
    for run in range(-1, RUNS):
        bare = run_client(direct)
        found = run_client(replace(_job(target, BURST, 0, requests), rate=rate))
        measured.check(FIRST_BYTE, found, CHUNKS)
        if run < 0 or len(found.first) < 2:
            continue
        for percentile, values in added.items():
            values.append(1000 * (_percentile(found.first, percentile) - _percentile(bare.first, percentile)))
        busy.append(found.windows[0].cpu / found.windows[0].seconds)
    if busy:
        measured.busy = statistics.median(busy)
        for percentile, values in added.items():
            yield Figure(first_byte(percentile), target.name, "ms", values)


def _percentile(values: list[float], percentile: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percentile - 1]
