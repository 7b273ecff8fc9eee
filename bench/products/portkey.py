"""Portkey's open gateway, from npm."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.document import ROOT
from bench.processes import free_port, process
from bench.products.base import ENVIRONMENTS, Target, descendants, run
from bench.products.common import KEY, local_environment, wait_until_up
from bench.products.turns import Asking, OneSlot

VERSION: Final = "1.15.2"
HTTP_SERVER: Final = "1.14.1"
"""Of @hono/node-server. From 1.14.2 on each answer fails with ``TypeError: immutable``, its issues 1389 and 1550."""


@contextmanager
def start(folder: Path, upstream: str) -> Iterator[Target]:
    """With its own defaults. Where the upstream is, each request says in its headers."""
    home = _installed()
    port = free_port()
    node = next((str(own) for own in [ROOT / ".venv/node/bin/node"] if own.exists()), shutil.which("node") or "node")
    script = home / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    log = folder / "portkey.log"
    environ = local_environment(NODE_ENV="production")
    with process([node, str(script), f"--port={port}", "--headless"], log, environ) as child:
        url = f"http://127.0.0.1:{port}"
        wait_until_up(f"{url}/", log, child)
        yield Target(
            name="Portkey",
            version=VERSION,
            url=url,
            key=KEY,
            pids=lambda: descendants(child.pid),
            headers={"x-portkey-provider": "openai", "x-portkey-custom-host": f"{upstream}/v1"},
            note="its open gateway, which has neither authentication nor accounting; its code pauses for 25 ms before "
            f"the first event of a stream; with @hono/node-server {HTTP_SERVER}, because every answer fails with what "
            "npm would install",
        )


@contextmanager
def one_slot(folder: Path, upstream: str) -> Iterator[OneSlot]:
    """It has no limit and no priorities."""
    with start(folder, upstream) as target:
        yield OneSlot(target, Asking(), Asking(), "it has neither a limit nor priorities")


def _installed() -> Path:
    home = ENVIRONMENTS / "portkey"
    wanted = json.dumps(
        {
            "private": True,
            "dependencies": {"@portkey-ai/gateway": VERSION},
            "overrides": {"@hono/node-server": HTTP_SERVER},
        }
    )
    done = home / ".installed"
    if not done.exists() or done.read_text() != wanted:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        (home / "package.json").write_text(wanted)
        # Its script after the installation needs files that the package does not have.
        run("sh", ROOT / "web/npm.sh", "--prefix", home, "install", "--ignore-scripts", "--no-audit", "--no-fund")
        done.write_text(wanted)
    return home
