"""`make bench`: measure everything, or the parts that are named, and write docs/benchmarks.md.

``python -m bench relay priority`` measures these parts anew; what was measured of the others stays as it was.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from bench.figures import Part
from bench.report import PARTS, keep


def measure(name: str) -> None:
    """One part, from beginning to end."""
    found: Callable[[Path], Part] = import_module(PARTS[name]).measure
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"llmgate-bench-{name}-") as folder:
        part = found(Path(folder))
    keep(part, time.monotonic() - began)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    options.add_argument("parts", nargs="*", choices=[[], *PARTS], help="all of them, unless some are named")
    for name in options.parse_args().parts or PARTS:
        print(f"# {name}", file=sys.stderr, flush=True)
        measure(name)


if __name__ == "__main__":
    main()
