"""Examines an installation: many checks at once, each with a deadline, none of which changes anything."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from llmgate.config import load
from llmgate.daemon.operations.checks.base import Case, Check, Finding, Status, crashed
from llmgate.daemon.operations.checks.broker import check_broker
from llmgate.daemon.operations.checks.database import check_database
from llmgate.daemon.operations.checks.files import check_config_file, check_state
from llmgate.daemon.operations.checks.machine import check_clock, check_disk, check_distributions, check_limits
from llmgate.daemon.operations.checks.serving import check_serving, check_web
from llmgate.daemon.operations.checks.upstreams import check_upstreams
from llmgate.errors import ConfigError

DEADLINE = 20.0
"""Seconds for each check."""
CHECKS: Mapping[str, Check] = {
    "config": check_config_file,
    "state": check_state,
    "database": check_database,
    "broker": check_broker,
    "upstream": check_upstreams,
    "web": check_web,
    "daemon": check_serving,
    "limits": check_limits,
    "disk": check_disk,
    "clock": check_clock,
    "install": check_distributions,
}
WITHOUT_SETTINGS: Mapping[str, Check] = {"clock": check_clock, "install": check_distributions}


async def examine(path: Path | None, url: str | None = None) -> list[Finding]:
    """Examine what the configuration file at ``path`` (None: the defaults) describes. ``url`` is that of the daemon,
    where it is not the one that follows from the configuration."""
    try:
        loaded = load(path)
    except ConfigError as failure:
        fix = failure.hint or "Correct the file, and check it with: llmgate config check"
        others = [name for name in CHECKS if name not in ("config", *WITHOUT_SETTINGS)]
        skipped = [Finding(name, Status.SKIP, "The configuration cannot be read.") for name in others]
        broken = Finding("config", Status.FAIL, failure.message, fix)
        return [broken, *skipped, *await run(WITHOUT_SETTINGS, Case(load(None, environ={}), url))]
    return await run(CHECKS, Case(loaded, url))


async def run(checks: Mapping[str, Check], case: Case, deadline: float = DEADLINE) -> list[Finding]:
    """The findings of all checks, in their order. One that breaks, or does not end, fails alone."""
    tasks = {name: asyncio.create_task(_findings(name, check, case)) for name, check in checks.items()}
    await asyncio.wait(tasks.values(), timeout=deadline)
    found: list[Finding] = []
    for name, task in tasks.items():
        if task.done():
            found += task.result()
        else:
            task.cancel()
            found.append(Finding(name, Status.FAIL, f"No result within {deadline:g} s.", "See what it waits for."))
    return found


async def _findings(name: str, check: Check, case: Case) -> Sequence[Finding]:
    try:
        return await check(case)
    except Exception as failure:  # the other checks must be heard all the same
        return [crashed(name, failure)]
