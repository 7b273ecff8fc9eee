"""`make bench-tui`: what the dashboard costs, and how soon it answers a key. Writes docs/benchmarks-tui.md.

A gateway with 10,000 waiting requests that tells 200 events a second, and the dashboard as a process of its own on a
pseudo terminal of 120 × 40 cells: keys are written to it, and the time until their effect is drawn is taken. CPU and
memory are the kernel's figures of that process. ``python -m bench.tui MINUTES`` measures for another time.
"""

from __future__ import annotations

import itertools
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench import processes
from bench.document import ROOT
from bench.terminal import Terminal, terminal

DOCUMENT = ROOT / "docs" / "benchmarks-tui.md"
WAITING = 10_000
EVENTS_PER_SECOND = 200
EVENTS_PER_REQUEST = 3
"""A request waits, starts and finishes."""
MINUTES = 10.0
GOAL_MS, GOAL_CPU, GOAL_GROWTH = 100.0, 25.0, 10.0
COLUMNS, LINES = 120, 40


@dataclass(frozen=True, slots=True)
class Key:
    """A key, what it does, and what is drawn then."""

    name: str
    key: bytes
    expected: str


MOVES = (Key("the cursor, down", b"j", r"\x1b\[\d+;1H"), Key("the cursor, up", b"k", r"\x1b\[\d+;1H"))
HELP = (Key("help, opened", b"?", "Everywhere"), Key("help, closed", b"\x1b", "AHEAD"))
SECTIONS = (Key("to the keys", b"5", "LAST USED"), Key("to the queue", b"2", "AHEAD"))
BELOW_THE_TOP = 12
"""Rows from the top at which the cursor begins: who waits first leaves meanwhile, and at the top no key moves it up."""
SCRIPT = (*MOVES * 4, *HELP, *MOVES * 4, *SECTIONS)


@dataclass(slots=True)
class Found:
    """What was measured. Times are milliseconds, CPU percent of one core, memory MiB at the end of each minute."""

    times: dict[str, list[float]] = field(default_factory=dict)
    cpu: float = 0.0
    memory: list[float] = field(default_factory=list)
    drawn: float = 0.0
    events: float = 0.0

    @property
    def all_times(self) -> list[float]:
        return sorted(itertools.chain(*self.times.values()))


def measure(shown: Terminal, minutes: float) -> Found:
    """Press keys, at odd moments, for so long."""
    found = Found()
    begun, used, drawn = time.monotonic(), processes.cpu_seconds([shown.pid]), shown.bytes
    chance = random.Random(4)
    script = itertools.cycle(SCRIPT)
    next_look = begun + 60
    while (now := time.monotonic()) < begun + 60 * minutes:
        if now >= next_look:
            found.memory.append(processes.memory_bytes(shown.pid) / 2**20)
            next_look += 60
        key = next(script)
        taken = shown.press(key.key, key.expected)
        found.times.setdefault(key.name, []).append(1000 * taken)
        time.sleep(chance.uniform(0.4, 1.0))
    seconds = time.monotonic() - begun
    found.cpu = 100 * (processes.cpu_seconds([shown.pid]) - used) / seconds
    found.drawn = (shown.bytes - drawn) / seconds
    return found


def prepared(gateway: processes.Gateway, folder: Path) -> dict[str, str]:
    """A second pool for the short requests, and the login of the dashboard: its environment."""
    environ = {"LLMGATE_CONFIG_DIR": str(folder / "home"), "LLMGATE_URL": gateway.url}
    command = [sys.executable, "-m", "llmgate", "login", "--name", "admin", "--password-stdin"]
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        input=f"{processes.PASSWORD}\n".encode(),
        env={**os.environ, **environ},
    )
    return environ


def run(minutes: float) -> Found:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 3 * WAITING)), hard))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slow, fast = processes.upstream(folder, "hold"), processes.upstream(folder, "burst-20")
        with slow as holding, fast as quick, processes.llmgate(folder, holding, 1) as gateway:
            processes.post(
                f"{gateway.url}/admin/v1/upstreams", {"name": "fast", "url": quick, "slots": 4}, gateway.admin
            )
            environ = prepared(gateway, folder)
            load = [sys.executable, "-m", "bench.tui_load", gateway.url, gateway.key, str(WAITING + 1)]
            with processes.process([*load, str(EVENTS_PER_SECOND / EVENTS_PER_REQUEST)], folder / "load.log"):
                while gateway.waiting() < WAITING:
                    time.sleep(0.5)
                with terminal([sys.executable, "-m", "llmgate", "tui"], environ, COLUMNS, LINES) as shown:
                    shown.wait_for("10,000 waiting")
                    time.sleep(3)  # until it has drawn its first figures
                    shown.press(b"2", "AHEAD")
                    for _ in range(BELOW_THE_TOP):
                        shown.press(MOVES[0].key, MOVES[0].expected)
                    before, at = gateway.granted(), time.monotonic()
                    found = measure(shown, minutes)
                    finished = gateway.granted() - before
                    found.events = EVENTS_PER_REQUEST * finished / (time.monotonic() - at)
                    return found


def document(found: Found, minutes: float) -> str:
    rows = []
    for name, times in found.times.items():
        ordered = sorted(times)
        rows.append(f"| {name} | {len(ordered)} | {figures(ordered)} |")
    growth = found.memory[-1] - found.memory[0] if len(found.memory) > 1 else 0.0
    memory = ", ".join(f"{value:.0f}" for value in found.memory)
    return "\n".join(
        [
            "# What the dashboard costs",
            "",
            f"Written by `make bench-tui` on {datetime.now(UTC):%Y-%m-%d}; do not edit.",
            "",
            f"{WAITING:,} requests wait, {found.events:.0f} events/s; the dashboard shows the queue for {minutes:g} "
            f"minutes on a terminal of {COLUMNS} × {LINES} cells, while somebody presses keys. {os.cpu_count()} cores "
            f"for everything together (load, gateway, dashboard), Python {platform.python_version()}, Textual "
            f"{metadata.version('textual')}.",
            "",
            "| from the key to the screen, ms | keys | min | median | p95 | max |",
            "|---|---|---|---|---|---|",
            *rows,
            f"| **all** | {len(found.all_times)} | {figures(found.all_times)} |",
            "",
            f"- CPU: **{found.cpu:.1f} %** of one core (aim: {GOAL_CPU:g} %), {found.drawn / 1024:.1f} KiB/s drawn.",
            f"- Memory, MiB at the end of each minute: {memory}: {growth:+.1f} (aim: less than {GOAL_GROWTH:g}).",
            f"- Keys: p95 **{quantile(found.all_times, 0.95):.0f} ms** (aim: {GOAL_MS:g} ms).",
            "",
        ]
    )


def figures(ordered: list[float]) -> str:
    values = (ordered[0], statistics.median(ordered), quantile(ordered, 0.95), ordered[-1])
    return " | ".join(f"{value:.0f}" for value in values)


def quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else MINUTES
    text = document(run(minutes), minutes)
    if minutes >= MINUTES:
        DOCUMENT.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
