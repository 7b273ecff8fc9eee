"""Many long streams at once: are they exact, are they in time, and does the daemon stay as large as it was?

``python -m bench.streams 300`` measures for so many seconds, where `make bench` has time for SECONDS, and writes what
it finds to the same places.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import processes
from bench.crowd import allow_descriptors
from bench.figures import Figure, Part
from bench.report import keep
from bench.streams_client import STRETCHES, Delays, Heard

STREAMS: Final = 1_000
RATE: Final = 5
"""Chunks per second of each stream."""

SECONDS: Final = 60
OPENING_SECONDS: Final = 4.0
"""In which the streams begin, evenly: real ones do not write their chunks in the same moment."""

LOOK_SECONDS: Final = 0.5
WARM_UP: Final = "timed-20-1"
WARM_UP_REQUESTS: Final = 200
FLAT: Final = "flat: ≤ 2 %"
PRODUCT: Final = "llmgate"


@dataclass(frozen=True, slots=True)
class Look:
    """The daemon at one moment: seconds since the client began, resident bytes, open descriptors, CPU seconds."""

    at: float
    memory: int
    descriptors: int
    cpu: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What the client heard, the daemon in all that time, and the seconds of CPU of the upstream."""

    seconds: int
    heard: Heard
    looks: list[Look]
    upstream_cpu: float

    @property
    def steady(self) -> list[Look]:
        """While all streams run."""
        return [one for one in self.looks if OPENING_SECONDS <= one.at <= self.seconds]

    def at_ends(self, value: Callable[[Look], float]) -> list[float]:
        """The value at the end of each stretch of the time."""
        ends = [self.seconds * (number + 1) / STRETCHES for number in range(STRETCHES)]
        return [value(last_before(self.looks, end)) for end in ends]

    def growth(self, value: Callable[[Look], float]) -> float:
        """Percent, from the end of the first tenth of the time to the end of it."""
        begin, end = (value(last_before(self.looks, moment)) for moment in (self.seconds / 10, self.seconds))
        return 100 * (end - begin) / begin


def last_before(looks: Sequence[Look], moment: float) -> Look:
    return [one for one in looks if one.at <= moment][-1]


def look(pid: int, began: float) -> Look:
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Look(time.monotonic() - began, processes.memory_bytes(pid), descriptors, processes.cpu_seconds([pid]))


@contextmanager
def upstream(folder: Path, *models: str) -> Iterator[tuple[str, int]]:
    """A fake whose streams prove themselves: its address and its process."""
    port = processes.free_port()
    command = [sys.executable, "-m", "bench.streams_upstream", str(port), *models]
    with processes.process(command, folder / "upstream.log") as child:
        url = f"http://127.0.0.1:{port}"
        processes.wait_for_http(url)
        yield url, child.pid


def run(folder: Path, seconds: int) -> Measured:
    """All of the streams, each for so long."""
    model = f"timed-{seconds * RATE}-{1000 // RATE}"
    with (
        upstream(folder, model, WARM_UP) as (url, upstream_pid),
        processes.llmgate(folder, url, slots=STREAMS) as gateway,
    ):
        processes.load(gateway.url, gateway.key, WARM_UP, 8, WARM_UP_REQUESTS)
        before = processes.cpu_seconds([upstream_pid])
        command = [sys.executable, "-m", "bench.streams_client", gateway.url, gateway.key, model]
        client = subprocess.Popen([*command, str(STREAMS), str(OPENING_SECONDS)], stdout=subprocess.PIPE)
        began = time.monotonic()
        looks = []
        while client.poll() is None:  # what it prints at its end fits into the pipe
            looks.append(look(gateway.pid, began))
            time.sleep(LOOK_SECONDS)
        told, _ = client.communicate()
        if client.returncode:
            raise RuntimeError(f"the client of the streams ended with {client.returncode}")
        heard = json.loads(told)
        stretches = [Delays(**one) for one in heard.pop("stretches")]
        used = processes.cpu_seconds([upstream_pid]) - before
        return Measured(seconds, Heard(**heard, stretches=stretches), looks, used)


def figures_of(found: Measured) -> list[Figure]:
    heard, steady = found.heard, found.steady
    chunks = STREAMS * RATE * (steady[-1].at - steady[0].at)
    used = steady[-1].cpu - steady[0].cpu
    streams = f"{STREAMS:,} streams"

    def memory(one: Look) -> float:
        return one.memory / 1e6

    def files(one: Look) -> float:
        return float(one.descriptors)

    def figure(what: str, unit: str, values: list[float], goal: str = "") -> Figure:
        return Figure(f"{streams}: {what}", PRODUCT, unit, values, goal)

    return [
        figure("exact to the last byte", "streams", [float(heard.exact)], f"{STREAMS:,}"),
        figure("delay of a chunk, p50", "ms", [one.p50 for one in heard.stretches]),
        figure("delay of a chunk, p99", "ms", [one.p99 for one in heard.stretches], "≤ 50 ms"),
        figure("delay of a chunk, longest", "ms", [one.longest for one in heard.stretches]),
        figure("memory", "MB", found.at_ends(memory)),
        figure("growth of memory after a tenth of the time", "%", [found.growth(memory)], FLAT),
        figure("open files", "", found.at_ends(files)),
        figure("growth of open files after a tenth of the time", "%", [found.growth(files)], FLAT),
        figure("CPU per chunk", "µs", [1e6 * used / chunks]),
    ]


def text(found: Measured) -> str:
    heard = found.heard
    steady = found.steady
    busy = (steady[-1].cpu - steady[0].cpu) / (steady[-1].at - steady[0].at)
    wrong = "; ".join(f"{count} × {what}" for what, count in heard.wrong.items())
    verdict = f"What was wrong with the others: {wrong}." if wrong else "Nothing was lost, added or changed."
    return f"""{STREAMS:,} streams at once for {found.seconds} s, each with {RATE} chunks per second, with everything on
(API key, a slot of the queue for each, accounting): {heard.chunks:,} chunks. The streams begin evenly over
{OPENING_SECONDS:.0f} s, so that their chunks do not all come in the same moment. One run, as it is long: the values are
those of its {STRETCHES} equal stretches.

*Exact*: the upstream takes a digest (SHA-256) of all that it writes into a stream, and sends it as the last chunk; the
client takes one of what it gets, byte for byte, and knows the end that must follow. *Delay*: each chunk has the time at
which the upstream wrote it, on the clock that all processes of the machine share; the client compares that with its own
when the chunk is there. *Memory* and *open files*: of the daemon, at the end of each stretch.

{verdict} The daemon took {busy:.0%} of a core, the client {heard.cpu / found.seconds:.0%}, the upstream
{found.upstream_cpu / found.seconds:.0%}.
"""


def measure(folder: Path, seconds: int = SECONDS) -> Part:
    """``folder`` is for what the daemon writes."""
    allow_descriptors(3 * STREAMS)
    found = run(folder, seconds)
    return Part("streams", "Many streams", text(found), figures_of(found), found={"seconds": seconds})


def main() -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="llmgate-bench-streams-") as folder:
        part = measure(Path(folder), int(sys.argv[1]) if sys.argv[1:] else SECONDS)
    keep(part, time.monotonic() - began)


if __name__ == "__main__":
    main()
