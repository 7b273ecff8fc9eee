"""SMG, the gateway in Rust with an admission scheduler of four classes, from its wheel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.processes import free_port, process
from bench.products.base import Target, descendants, python_environment
from bench.products.common import KEY, local_environment, wait_until_up
from bench.products.turns import Asking, OneSlot

VERSION: Final = "1.13.0"
CLASSES: Final = {
    "system": (64, 30, 5, True),
    "interactive": (256, 30, 5, True),
    "default": (512, 60, 30, False),
    "bulk": (1024, 300, 120, False),
}
"""Its own defaults: how many may wait and how long, after how long one starves, whether it may preempt."""


@contextmanager
def start(folder: Path, upstream: str) -> Iterator[Target]:
    """With its scheduler, and more slots than there are connections."""
    with _running(folder, upstream, 8192, []) as target:
        yield target


@contextmanager
def one_slot(folder: Path, upstream: str) -> Iterator[OneSlot]:
    """The limit is of the whole gateway."""
    scheduler = folder / "smg.yaml"
    # Of one slot none can be reserved for a class; with its own defaults it would not use its scheduler.
    fields = ("queue_size", "queue_timeout_secs", "starvation_threshold_secs", "can_preempt")
    classes = {name: {"reserved_floor": 0, **dict(zip(fields, of, strict=True))} for name, of in CLASSES.items()}
    scheduler.write_text(json.dumps({"classes": classes}), encoding="utf-8")  # JSON is YAML
    with _running(folder, upstream, 1, ["--priority-scheduler-config", str(scheduler)]) as target:
        means = (
            "`--max-concurrent-requests 1 --priority-scheduler-enabled`; the header `X-SMG-Priority`: bulk, interactive"
        )
        ordinary, urgent = (Asking(headers={"x-smg-priority": name}) for name in ("bulk", "interactive"))
        yield OneSlot(target, ordinary, urgent, means)


@contextmanager
def _running(folder: Path, upstream: str, slots: int, more: list[str]) -> Iterator[Target]:
    smg = python_environment("smg", f"smg=={VERSION}") / "smg"
    port, metrics = free_port(), free_port()
    log = folder / "smg.log"
    command = [
        str(smg), "launch", "--worker-urls", upstream, "--backend", "sglang", "--policy", "round_robin",
        "--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(metrics), "--log-level", "warn",
        "--disable-retries", "--tenant-api-key", f"bench:{KEY}", "--max-concurrent-requests", str(slots),
        "--priority-scheduler-enabled", "--priority-scheduler-default-max-class", "interactive", *more,
    ]  # fmt: skip
    with process(command, log, local_environment()) as child:
        url = f"http://127.0.0.1:{port}"
        wait_until_up(f"{url}/readiness", log, child)
        yield Target(
            name="SMG",
            version=VERSION,
            url=url,
            key=KEY,
            pids=lambda: descendants(child.pid),
            note="its priority scheduler and an API key on; no users, no accounting; it logs only what goes wrong",
        )
