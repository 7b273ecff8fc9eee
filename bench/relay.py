"""What it costs to pass answers on: llmgate beside nginx, HAProxy and other gateways for language models.

``python -m bench.relay nginx llmgate`` measures these and prints their rows, without writing anything;
``--only "32 connections" "100 streams"`` measures only what is called like this.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from bench import processes
from bench.figures import Part
from bench.plots import PLOTS, bars
from bench.products import haproxy, litellm, llmgate, nginx, portkey, smg, tensorzero
from bench.products.base import DoesNotStart, Starts
from bench.relay_load import CONNECTIONS, MODELS, STREAMS, Measured, measure_product, per_chunk, per_request
from bench.relay_text import in_order, readme, rows_of, text, with_goals

PRODUCTS: Final[dict[str, Starts]] = {
    "llmgate-rabbitmq": llmgate.rabbitmq,
    "llmgate": llmgate.memory,
    "nginx": nginx.start,
    "haproxy": haproxy.start,
    "smg": smg.start,
    "tensorzero": tensorzero.start,
    "portkey": portkey.start,
    "litellm": litellm.start,
}
"""In the order of measurement: half of what the first one can do is the rate at which the first bytes of all are timed
that can do as much."""


def measure_all(
    folder: Path, names: Iterable[str], wanted: Callable[[str], bool]
) -> tuple[list[Measured], dict[str, str]]:
    """What was found of each product, and why others do not start."""
    found: list[Measured] = []
    failed: dict[str, str] = {}
    limit = math.inf
    with processes.upstream(folder, *MODELS) as upstream:
        for name in names:
            place = folder / name
            place.mkdir()
            began = time.monotonic()
            try:
                with PRODUCTS[name](place, upstream) as target:
                    measured = measure_product(target, upstream, limit, wanted)
            except DoesNotStart as reason:
                failed[name] = str(reason)
            else:
                found.append(measured)
                if name.startswith("llmgate") and measured.rate:
                    limit = min(limit, measured.rate)
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return found, failed


def measure(folder: Path) -> Part:
    """About nine minutes on two idle cores."""
    found, failed = measure_all(folder, PRODUCTS, lambda _: True)
    figures = with_goals(in_order(found))
    per_chunk_plot, per_request_plot = "cost-per-chunk.svg", "cost-per-request.svg"
    chunks = {f"{count:,} streams": per_chunk(count) for count in STREAMS}
    requests = {f"{count} connections": per_request(count) for count in CONNECTIONS if count > 1}
    unit = "microseconds of CPU"
    bars(PLOTS / per_chunk_plot, "What passing on one chunk costs", unit, rows_of(figures, chunks))
    bars(PLOTS / per_request_plot, "What an answer of 20 chunks costs", unit, rows_of(figures, requests))
    return Part(
        "relay",
        "What it costs to pass answers on",
        text(figures, in_order_of_report(found), failed),
        figures,
        [
            (per_chunk_plot, "CPU time per streamed chunk of each product, at 100 and at 1,000 streams"),
            (per_request_plot, "CPU time per answer of 20 chunks of each product, at 32 and at 256 connections"),
        ],
        found={"readme": readme(figures)},
    )


def in_order_of_report(found: list[Measured]) -> list[Measured]:
    """As the table has them."""
    names = [figure.product for figure in in_order(found)]
    return sorted(found, key=lambda one: names.index(one.target.name))


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.relay", description=__doc__)
    options.add_argument("products", nargs="+", choices=PRODUCTS)
    options.add_argument("--only", nargs="+", default=[""], help="parts of the names of what is measured")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="llmgate-relay-") as folder:
        found, failed = measure_all(
            Path(folder), chosen.products, lambda name: any(part in name for part in chosen.only)
        )
    for figure in with_goals(in_order(found)):
        print(figure.row())
    for measured in found:
        if measured.rate:
            print(f"{measured.target.name}: first bytes at {measured.rate:g}/s, {measured.busy:.0%} of a core")
        if measured.waits:
            print(f"{measured.target.name}: over one connection {measured.waits}")
        for remark, whats in measured.remarks.items():
            print(f"{measured.target.name}: {remark} ({', '.join(whats)})")
    for name, reason in failed.items():
        print(f"{name} does not start: {reason}", file=sys.stderr)


if __name__ == "__main__":
    main()
