"""TensorZero's gateway, from its wheel: a server in Rust that a Python process starts."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.processes import process
from bench.products.base import DoesNotStart, Target, descendants, python_environment
from bench.products.common import START_SECONDS, end_of, local_environment, models_of

VERSION: Final = "2026.6.0"
SCRIPT: Final = """
import sys, time, tensorzero
gateway = tensorzero._start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print("at", gateway.base_url, flush=True)
time.sleep(1e9)
"""


@contextmanager
def start(folder: Path, upstream: str) -> Iterator[Target]:
    """Without what it writes to ClickHouse: it has no other place for it."""
    python = python_environment("tensorzero", f"tensorzero=={VERSION}") / "python"
    config = folder / "tensorzero.toml"
    models = "".join(
        f"""
        [models.{name}]
        routing = ["up"]
        [models.{name}.providers.up]
        type = "openai"
        model_name = "{name}"
        api_base = "{upstream}/v1/"
        api_key_location = "none"
        """
        for name in models_of(upstream)
    )
    config.write_text(f"[gateway]\nobservability.enabled = false\n{models}", encoding="utf-8")
    log = folder / "tensorzero.log"
    with process([str(python), "-c", SCRIPT, str(config)], log, local_environment()) as child:
        deadline = time.monotonic() + START_SECONDS
        while (found := re.search(r"^at (http\S+)/v1$", log.read_text(errors="replace"), re.MULTILINE)) is None:
            if child.poll() is not None or time.monotonic() > deadline:
                raise DoesNotStart(f"it does not answer: {end_of(log)}")
            time.sleep(0.05)
        yield Target(
            name="TensorZero",
            version=VERSION,
            url=found[1],
            key="-",
            pids=lambda: descendants(child.pid),
            model=lambda name: f"tensorzero::model_name::{name}",
            note="no authentication and no accounting: both need databases; its own record of requests is off; it "
            "leaves Nagle's algorithm on, so that a piece may wait until the client has acknowledged the one before",
        )
