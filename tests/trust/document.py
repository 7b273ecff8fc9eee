"""docs/trust.md: what a full run did and found, written by the run."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from llmgate import __version__
from tests.trust.checker import KINDS, Verdict

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "trust.md"

FAULTS: Final = {
    "broker_kill": "broker killed (SIGKILL), and started again",
    "broker_stop": "broker stopped in the middle (SIGSTOP)",
    "broker_alarm": "broker takes nothing (memory alarm)",
    "cable": "cable between one daemon and the broker cut, silently or with a reset",
    "daemon_kill": "daemon killed (SIGKILL)",
    "daemon_term": "daemon ended (SIGTERM)",
    "daemon_freeze": "daemon stopped in the middle (SIGSTOP)",
    "database_stop": "database stopped in the middle of everything (immediate)",
    "bad_config": "configuration spoiled and reloaded",
    "upstream_cut": "upstream's answer cut at a random byte",
    "client_cut": "client hung up",
}
RESULTS: Final = {
    "answered": "answered, whole to the last byte",
    "error": "ended with an error of the catalogue",
    "gone": "given up by the client",
    "broken by a kill": "broken with the daemon that was killed",
    "turned away": "refused by a daemon that had just ended",
    "unreached": "refused by a daemon that was not there",
}
MEANING: Final = {
    "lost": "no outcome within the bound, or a broken connection although its daemon lived",
    "duplicated": "given to upstreams more than once, or written down more than once",
    "truncated": "looks finished and is not, or ends without saying how",
    "misrouted": "bytes of another request",
    "ghost": "started although its client had left before",
    "unstopped": "its client left, and the upstream worked on",
    "over_limit": "more requests at an upstream than it has slots",
    "unexpected": "an error outside of the catalogue, or while nothing was wrong",
    "miscounted": "what was written down is not what happened",
    "unkind": "SIGTERM: an exit code, or somebody who waited and was not told at once",
    "unsettled": "afterwards something was left: requests, connections, descriptors, tasks",
    "leaked": "a secret where none may be",
}


def document(verdict: Verdict, seed: int, seconds: float) -> str:
    """The whole text."""
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    faults = "\n".join(f"| {what} | {verdict.faults[kind]:,} |" for kind, what in FAULTS.items())
    results = "\n".join(f"| {what} | {verdict.results[kind]:,} |" for kind, what in RESULTS.items())
    found = "\n".join(f"| **{kind}** | {MEANING[kind]} | {len(verdict.violations[kind])} |" for kind in KINDS)
    figures = "\n".join(f"| {what} | {value:,} |" for what, value in verdict.figures.items())
    return f"""# Faults

Written by `make trust` on {datetime.now(UTC):%Y-%m-%d}; do not edit. Seed {seed}: `make trust ARGS="--seed {seed}"` has
the same faults again.

llmgate {__version__}; {machine}, everything on it. Three daemons share one line, with a real RabbitMQ and a real
PostgreSQL. For {seconds / 60:.0f} minutes clients ask without pause, and everything around them fails, often at once.
Clients, upstreams and the one who breaks things each keep a journal; with the gateway's own log they are joined at the
end, and each request is judged ([reliability.md](reliability.md) says what is promised).

| what failed | times |
|---|--:|
{faults}

| requests | |
|---|--:|
{results}

| violation | what it would be | found |
|---|---|--:|
{found}

| | |
|---|--:|
{figures}

Afterwards the database, its write-ahead log, the broker's files, everything that was sent to the broker, the daemons'
files and logs, and the command lines and environments of the processes are searched byte by byte for all secrets, in
every form that they could have there (*leaked*).
"""


def write(verdict: Verdict, seed: int, seconds: float) -> None:
    DOCUMENT.write_text(document(verdict, seed, seconds), encoding="utf-8")
