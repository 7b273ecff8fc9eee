"""`make bench-start`: how long `llmgate --help` takes, beside the library that it is built on.

Both are started in turn, so that whatever else the machine does is the same for both. Writes docs/benchmarks-start.md.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench.document import ROOT

RUNS = 40
DOCUMENT = ROOT / "docs" / "benchmarks-start.md"
LLMGATE = str(Path(sys.executable).parent / "llmgate")
COMMANDS = {
    "python -c pass": (sys.executable, "-c", "pass"),
    'python -c "import typer"': (sys.executable, "-c", "import typer"),
    "llmgate --help": (LLMGATE, "--help"),
    "llmgate keys list --help": (LLMGATE, "keys", "list", "--help"),
}
BASE = 'python -c "import typer"'


def measured() -> dict[str, list[float]]:
    """Milliseconds of each command, in every run."""
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for run in range(-2, RUNS):  # the first ones fill the caches
        for name, command in COMMANDS.items():
            before = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if run >= 0:
                found[name].append(1000 * (time.perf_counter() - before))
    return found


def document(found: dict[str, list[float]]) -> str:
    base = statistics.median(found[BASE])
    rows = []
    for name, times in found.items():
        middle = statistics.median(times)
        rows.append(f"| `{name}` | {min(times):.0f} | **{middle:.0f}** | {middle / base:.2f} × |")
    return "\n".join(
        [
            "# How fast the command line starts",
            "",
            f"Written by `make bench-start` on {datetime.now(UTC):%Y-%m-%d}; do not edit.",
            "",
            f"Python {platform.python_version()}, typer {metadata.version('typer')}, {RUNS} runs of each in turn; "
            "times are milliseconds of the whole process.",
            "",
            "| command | min | median | of `import typer` |",
            "|---|---|---|---|",
            *rows,
            "",
            "The help page must not take more than 2.5 times what `import typer` takes. It imports no noun's module,",
            "and neither rich, pydantic, httpx nor asyncio; a test holds that.",
            "",
        ]
    )


if __name__ == "__main__":
    text = document(measured())
    DOCUMENT.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
