"""`make bench-quick`: what the gateway costs per request, per chunk and per waiting client.

CPU time of the process under test is the main figure: it is stable on a busy machine. A bare nginx is
measured in the same run with the same upstream and the same client. Writes docs/benchmarks.md.
"""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench import processes
from bench.document import ROOT, replace_between
from bench.grants import grant_latencies
from bench.waiting import measure_waiting

RUNS = 5
REQUESTS = 3000
STREAMS = 100
CHUNKS = 400
INTERVAL_MS = 25
LEAVING = "llmgate, 5,000 waiting clients hang up at once: gone after (milliseconds)"
WAITING = "llmgate, memory per waiting request at 5,000 (bytes)"
DOCUMENT = ROOT / "docs" / "benchmarks.md"


@dataclass(frozen=True, slots=True)
class Figure:
    """The runs of one measurement, in microseconds unless said otherwise."""

    name: str
    values: list[float]

    def row(self) -> str:
        low, middle, high = min(self.values), statistics.median(self.values), max(self.values)
        return f"| {self.name} | {low:,.0f} | **{middle:,.0f}** | {high:,.0f} |"


def cost_per_request(url: str, key: str, pids: list[int], connections: int) -> float:
    """CPU microseconds per 20-chunk answer."""
    before = processes.cpu_seconds(pids)
    processes.load(url, key, "burst-20", connections, REQUESTS)
    return 1e6 * (processes.cpu_seconds(pids) - before) / REQUESTS


def cost_per_chunk(url: str, key: str, pids: list[int]) -> float:
    """CPU microseconds per chunk, with parallel streams of 40 chunks per second each."""
    before = processes.cpu_seconds(pids)
    tally = processes.load(url, key, f"paced-{CHUNKS}-{INTERVAL_MS}", STREAMS, STREAMS)
    return 1e6 * (processes.cpu_seconds(pids) - before) / tally.events


def repeat(name: str, measure: Callable[[], float]) -> Figure:
    measure()  # a warm-up that is not counted
    values = [measure() for _ in range(RUNS)]
    print(f"{name}: {[round(value) for value in values]}", flush=True)
    return Figure(name, values)


def measure(folder: Path) -> list[Figure]:
    figures = []
    with processes.upstream(folder) as upstream:
        with processes.nginx(folder, upstream) as (url, pids):
            figures += relay_figures("nginx", url, "-", pids)
        with processes.llmgate(folder, upstream, slots=512) as gateway:
            figures += relay_figures("llmgate", gateway.url, gateway.key, [gateway.pid])
        with processes.llmgate(folder, upstream, slots=1) as gateway:
            waiting = measure_waiting(gateway)
            figures.append(Figure(WAITING, [waiting.bytes_each]))
            figures.append(Figure(LEAVING, [waiting.leave_milliseconds]))
    latencies = asyncio.run(grant_latencies())
    figures.append(Figure("llmgate, submit → grant with a free slot, p50", [statistics.median(latencies)]))
    figures.append(
        Figure("llmgate, submit → grant with a free slot, p99", [statistics.quantiles(latencies, n=100)[98]])
    )
    return figures


def relay_figures(product: str, url: str, key: str, pids: list[int]) -> list[Figure]:
    def request_cost(connections: int) -> Figure:
        name = f"{product}, CPU per request of 20 chunks, {connections} connections"
        return repeat(name, lambda: cost_per_request(url, key, pids, connections))

    chunk_name = f"{product}, CPU per chunk, {STREAMS} streams"
    return [request_cost(1), request_cost(32), repeat(chunk_name, lambda: cost_per_chunk(url, key, pids))]


def document(figures: list[Figure]) -> str:
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("uvicorn", "starlette", "aiohttp", "uvloop"))
    rows = "\n".join(figure.row() for figure in figures)
    return f"""# Benchmarks

Written by `make bench-quick` on {datetime.now(UTC):%Y-%m-%d}; do not edit.

Machine: {machine}. Versions: {versions}.

The gateway runs with everything on (API key, queue, accounting in SQLite, one log line per request); nginx is a
bare reverse proxy with one worker. Both have the same fake upstream and the same client in the same run, {RUNS} runs
each after a warm-up. *CPU per request*: {REQUESTS:,} answers of 20 chunks, sent as fast as the upstream can. *CPU per
chunk*: {STREAMS} parallel streams of {CHUNKS} chunks, {1000 // INTERVAL_MS} per second each. *Memory per waiting
request*: growth of the gateway's resident memory, divided by 5,000 clients that wait for one slot with a 2 kB body.

| microseconds unless said otherwise | min | median | max |
|---|---|---|---|
{rows}

What the figures mean: the CPU time of the process under test, user and system, from the kernel's own accounting.
"""


def summary(figures: list[Figure]) -> str:
    """The few numbers that the README shows."""
    medians = {figure.name: statistics.median(figure.values) for figure in figures}

    def both(what: str) -> str:
        ours, bare = medians[f"llmgate, {what}"], medians[f"nginx, {what}"]
        return f"**{ours:,.0f} µs** ({bare:,.0f} µs, {ours / bare:.1f}×)"

    waiting = medians[WAITING]
    return f"""| what it costs, everything on | llmgate (a bare nginx in the same run) |
|---|---|
| CPU per request of 20 chunks, 32 connections | {both("CPU per request of 20 chunks, 32 connections")} |
| CPU per streamed chunk, {STREAMS} streams | {both(f"CPU per chunk, {STREAMS} streams")} |
| memory per waiting client, at 5,000 | **{waiting / 1000:,.0f} kB** |"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="llmgate-bench-") as folder:
        figures = measure(Path(folder))
    text = document(figures)
    DOCUMENT.write_text(text, encoding="utf-8")
    replace_between(ROOT / "README.md", "bench", summary(figures))
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
