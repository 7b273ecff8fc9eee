"""What the machine gives: file descriptors, disk, time, and the right distribution."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import psutil

from llmgate.config import Settings
from llmgate.daemon.operations.checks.base import Case, Finding, Status, in_thread
from llmgate.daemon.operations.checks.process import listener_on

SPARE_DESCRIPTORS = 100
LITTLE, TOO_LITTLE = 1024**3, 100 * 1024**2
"""Bytes of disk space."""
_TIMEDATECTL_SECONDS = 5.0


async def check_limits(case: Case) -> Sequence[Finding]:
    """File descriptors for everybody who may wait, and the daemon's user."""
    settings = await case.effective()
    slots = sum(upstream.slots for upstream in await case.upstreams())
    return await in_thread(lambda: _limits(settings, slots))


def _limits(settings: Settings, slots: int) -> list[Finding]:
    daemon = listener_on(settings.server.port)
    try:
        # A daemon takes at its start what it may have.
        limit = daemon.rlimit(psutil.RLIMIT_NOFILE)[0] if daemon else resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        uid = daemon.uids().effective if daemon else os.geteuid()
    except psutil.Error:  # it has just ended, or is not ours to look at
        return [Finding("limits", Status.SKIP, "The daemon's process may not be looked at.")]
    whose = f"The daemon (process {daemon.pid})" if daemon else "A daemon that is started like this"
    return [_descriptors(settings, slots, limit, whose), _user(uid, whose)]


def _descriptors(settings: Settings, slots: int, limit: int, whose: str) -> Finding:
    # Each request that waits is a connection; each that runs has one to its upstream as well. Connections of clients
    # get three fourths of all.
    needed = settings.queue.max_waiting * 4 // 3 + 2 * slots + settings.database.pool_size + SPARE_DESCRIPTORS
    if limit in (resource.RLIM_INFINITY, -1) or limit >= needed:
        return Finding("limits", Status.OK, f"{whose} may open {limit:,} files and connections.")
    what = f"{whose} may open {limit:,} files and connections; queue.max_waiting needs {needed:,}."
    fix = f"LimitNOFILE={max(65_536, needed)} in its systemd unit, or ulimit -n {needed}, or a smaller max_waiting."
    return Finding("limits", Status.WARN, what, fix)


def _user(uid: int, whose: str) -> Finding:
    if uid == 0:
        fix = "Run it as a user of its own: User=llmgate in its systemd unit."
        return Finding("user", Status.WARN, f"{whose} runs as root, which it does not need.", fix)
    return Finding("user", Status.OK, f"{whose} does not run as root.")


async def check_disk(case: Case) -> Sequence[Finding]:
    directory = case.settings.state.dir
    free, place = await in_thread(lambda: _free(directory))
    what = f"{free / 1024**3:.1f} GiB are free for {place}."
    if free >= LITTLE:
        return [Finding("disk", Status.OK, what)]
    status = Status.FAIL if free < TOO_LITTLE else Status.WARN
    return [Finding("disk", status, what, "Make room: what is written for a request would be lost.")]


def _free(directory: Path) -> tuple[int, Path]:
    place = directory.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free, place


async def check_clock(case: Case) -> Sequence[Finding]:
    """Whether this machine takes its time from somewhere."""
    program = shutil.which("timedatectl")
    if program is None:
        return [Finding("clock", Status.SKIP, "There is no timedatectl to ask whether the clock is synchronised.")]
    try:
        async with asyncio.timeout(_TIMEDATECTL_SECONDS):
            told = await _timedatectl(program)
    except (TimeoutError, OSError):
        told = ""
    if told not in ("yes", "no"):
        return [Finding("clock", Status.SKIP, "timedatectl does not tell whether the clock is synchronised.")]
    if told == "yes":
        return [Finding("clock", Status.OK, "The clock is synchronised.")]
    what = "The clock is not synchronised: keys and sessions may end too early or too late."
    return [Finding("clock", Status.WARN, what, "timedatectl set-ntp true")]


async def _timedatectl(program: str) -> str:
    process = await asyncio.create_subprocess_exec(
        program,
        "show",
        "--property=NTPSynchronized",
        "--value",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return out.decode("ascii", "replace").strip()


async def check_distributions(case: Case) -> Sequence[Finding]:
    """On the package index ``llmgate`` is another project with the same import name."""
    installed = await in_thread(_installed)
    if "llmgate" in installed:
        what = "The distribution llmgate is installed, too: another project, whose files may have replaced ours."
        fix = "pip uninstall llmgate && pip install --force-reinstall --no-deps llmgate-server"
        return [Finding("install", Status.WARN, what, fix)]
    version = installed.get("llmgate-server")
    return [Finding("install", Status.OK, f"llmgate-server {version or '(not installed as a distribution)'}.")]


def _installed() -> dict[str, str]:
    found = {}
    for name in ("llmgate", "llmgate-server"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
