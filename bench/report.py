"""docs/benchmarks.md: made of what was measured last of each part."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from typing import Final

from bench.document import ROOT, replace_between
from bench.figures import Part, load_part

RESULTS: Final = ROOT / "bench" / "results"
DOCUMENT: Final = ROOT / "docs" / "benchmarks.md"
PARTS: Final[Mapping[str, str]] = {
    "relay": "bench.relay",
    "priority": "bench.priority",
    "waiting": "bench.waiting",
    "scheduling": "bench.scheduling",
    "replay": "bench.replay",
    "fairness": "bench.fairness",
    "streams": "bench.streams",
    "scale": "bench.scale",
}
"""In the order of the document. Each module has ``measure(folder)``; the folder is empty and is thrown away."""


def keep(part: Part, seconds: float) -> None:
    """Keep what was found, in place of what was found before, and write the documents anew."""
    load = os.getloadavg()[2]
    when = (
        f"{datetime.now(UTC):%Y-%m-%d} in {seconds:.0f} s; the machine's load over the last 15 minutes was {load:.1f}"
    )
    RESULTS.mkdir(exist_ok=True)
    replace(part, measured_at=when).save(RESULTS)
    for figure in part.figures:
        print(figure.row(), flush=True)
    parts = [load_part(file) for name in PARTS if (file := RESULTS / f"{name}.json").exists()]
    DOCUMENT.write_text(document(parts), encoding="utf-8")
    for one in parts:
        if "readme" in one.found:
            replace_between(ROOT / "README.md", one.name, one.found["readme"])


def document(parts: list[Part]) -> str:
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("uvicorn", "starlette", "httptools", "uvloop"))
    sections = "\n\n".join(part.section() for part in parts)
    return f"""# Benchmarks

Written by `make bench`, which measures all of this; do not edit.

Machine: {machine}. Versions: {versions}; those of the other products are in their rows.

*CPU* is the time of the processes under test, user and system, from the kernel's own accounting: it is stable on a busy
machine. Times from a clock are worth comparing within one section. All products have the same fake upstream, the same
client and the same machine, one after the other.

{sections}
"""
