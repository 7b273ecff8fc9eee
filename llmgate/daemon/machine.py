"""The machine that the daemon runs on, as the system and ``nvidia-smi`` tell it."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from llmgate.daemon.clock import monotonic

LOOK_SECONDS = 2.0
"""Longest wait for the system: a disk that is on the network may hang."""
GPU_SECONDS = 2.0
"""Longest wait for ``nvidia-smi``, and for so long its answer is good."""
DIE_SECONDS = 0.5
GPUS = 64
_MIB = 1024 * 1024
_QUERY = "name,utilization.gpu,memory.total,memory.used,temperature.gpu"


@dataclass(frozen=True, slots=True)
class Gpu:
    """Sizes in bytes, temperature in degrees Celsius; None where it does not say."""

    name: str
    percent: float | None
    memory_total: int | None
    memory_used: int | None
    temperature: float | None


class Machine:
    """See the module. ``directory`` is the one whose disk is of interest."""

    def __init__(self, directory: Path, *, clock: Callable[[], float] = monotonic) -> None:
        self._directory = directory
        self._clock = clock
        self._looking: asyncio.Future[dict[str, Any]] | None = None
        self._gpus: list[Gpu] = []
        self._gpus_until = float("-inf")
        self._asking = asyncio.Lock()

    async def facts(self) -> dict[str, Any] | None:
        """CPU, memory, disk and our own process; None when the system does not tell in time.

        One thread looks at a time: one that hangs is waited for by all who ask, and is joined by no other.
        """
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(asyncio.to_thread(_look, self._directory))
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await asyncio.shield(self._looking)
        except (TimeoutError, OSError, psutil.Error):
            return None

    async def gpus(self) -> list[Gpu]:
        """What ``nvidia-smi`` tells, at most so long ago as its answer is good. Empty when there is none."""
        async with self._asking:
            if self._clock() >= self._gpus_until:
                self._gpus = await _ask_nvidia()
                self._gpus_until = self._clock() + GPU_SECONDS
        return self._gpus


def _look(directory: Path) -> dict[str, Any]:
    """May block: for a thread."""
    process = psutil.Process()
    memory = psutil.virtual_memory()
    disk = psutil.disk_usage(str(directory))
    with process.oneshot():
        own = {
            "pid": process.pid,
            "memory": process.memory_info().rss,
            "threads": process.num_threads(),
            "descriptors": process.num_fds(),
            "descriptors_limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        }
    return {
        "cpu": {
            "percent": psutil.cpu_percent(interval=None),
            "cores": psutil.cpu_count() or 1,
            "load": os.getloadavg(),
        },
        "memory": {"total": memory.total, "used": memory.total - memory.available},
        "disk": {"path": str(directory), "total": disk.total, "used": disk.used, "free": disk.free},
        "process": own,
    }


async def _ask_nvidia() -> list[Gpu]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            f"--query-gpu={_QUERY}",
            "--format=csv,noheader,nounits",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return []
    try:
        async with asyncio.timeout(GPU_SECONDS):
            told, _ = await process.communicate()
    except TimeoutError:
        return []
    finally:
        if process.returncode is None:
            process.kill()
            with suppress(TimeoutError):  # one that waits for a driver which hangs does not even die
                async with asyncio.timeout(DIE_SECONDS):
                    await process.wait()
    lines = told.decode("utf-8", "replace").splitlines() if process.returncode == 0 else []
    return [gpu for line in lines[:GPUS] if (gpu := _gpu(line)) is not None]


def _gpu(line: str) -> Gpu | None:
    fields = [field.strip() for field in line.rsplit(",", 4)]
    if len(fields) != 5:
        return None
    percent, total, used, temperature = map(_number, fields[1:])
    return Gpu(fields[0][:200], percent, _bytes(total), _bytes(used), temperature)


def _number(text: str) -> float | None:
    """``[N/A]`` and the like are none."""
    try:
        return float(text)
    except ValueError:
        return None


def _bytes(mebibytes: float | None) -> int | None:
    return None if mebibytes is None else round(mebibytes * _MIB)
