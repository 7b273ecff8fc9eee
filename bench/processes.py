"""Starting what is measured, and asking the kernel what it cost."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.job import Found, Job, Window

START_SECONDS = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of processes and all their threads, from the clock that the kernel keeps for each process.

    That clock (``clock_getcpuclockid``) counts nanoseconds, where /proc/PID/stat counts hundredths of a second.
    """
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def memory_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def process(command: list[str], log: Path, environ: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command for the time of the block; its output goes to ``log``."""
    with log.open("ab") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **(environ or {})})
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def wait_for_http(url: str) -> None:
    """Until somebody answers."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


@contextmanager
def upstream(folder: Path, *models: str, module: str = "bench.upstream") -> Iterator[str]:
    """A fake that serves these models; none: one of each kind."""
    port = free_port()
    with process([sys.executable, "-m", module, str(port), *models], folder / "upstream.log"):
        url = f"http://127.0.0.1:{port}"
        wait_for_http(url)
        yield url


PASSWORD = "correct-horse-battery"  # noqa: S105 - of a gateway that lives for a minute on loopback


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway: an API key for requests, and headers for the admin API."""

    url: str
    pid: int
    key: str
    admin: dict[str, str]

    def waiting(self) -> int:
        """How many requests wait now."""
        return self._sum("waiting")

    def granted(self) -> int:
        """How many requests have got a slot so far."""
        return self._sum("granted")

    def _sum(self, name: str) -> int:
        question = urllib.request.Request(f"{self.url}/admin/v1/queue/stats", headers=self.admin)
        with urllib.request.urlopen(question, timeout=30) as answer:
            return sum(pool[name] for pool in json.load(answer)["data"])


def state_of(folder: Path, slots: int) -> Path:
    """Where that gateway keeps its data."""
    return folder / f"llmgate-{slots}"


LASTING = {
    "max_waiting": 20_000,
    "max_waiting_per_principal": 20_000,
    "keepalive_after": 3600,
    "deadline_seconds": 3600,
    "aging_seconds": 3600,
}
"""Settings of the queue with which whoever waits just waits."""


@contextmanager
def llmgate(
    folder: Path,
    upstream_url: str,
    slots: int,
    more: str = "",
    queue: str = "",
    workers: int = 1,
    program: str = "llmgate",
    environ: dict[str, str] | None = None,
) -> Iterator[Gateway]:
    """The gateway with everything on: authentication, queue, accounting.

    ``more`` goes to the end of its settings, ``queue`` to those of the queue, before ``LASTING``. Of several workers,
    one answers already. ``program`` is the module to run.
    """
    port = free_port()
    lasting = "\n".join(f"{name} = {value}" for name, value in LASTING.items() if f"{name} =" not in queue)
    state = state_of(folder, slots)
    config = folder / f"llmgate-{slots}.toml"
    config.write_text(
        f"""
        [server]
        port = {port}
        [state]
        dir = "{state}"
        [queue]
        {lasting}
        {queue}
        [[upstreams]]
        name = "fake"
        kind = "ollama"
        url = "{upstream_url}"
        slots = {slots}
        {more}
        """,
        encoding="utf-8",
    )
    command = [sys.executable, "-m", program]
    subprocess.run(
        [*command, "init", "--config", str(config), "--password-stdin"],
        input=f"{PASSWORD}\n".encode(),
        check=True,
        capture_output=True,
    )
    serve = [*command, "serve", "--config", str(config), *([f"--workers={workers}"] if workers > 1 else [])]
    with process(serve, folder / "llmgate.log", environ) as daemon:
        url = f"http://127.0.0.1:{port}"
        wait_for_http(f"{url}/health/live")
        login = post(f"{url}/gate/auth/login", {"name": "admin", "password": PASSWORD}, {})
        admin = {"authorization": f"Bearer {login['access_token']}"}
        key = post(f"{url}/admin/v1/keys", {"name": "bench", "level": 2}, admin)["key"]
        yield Gateway(url, daemon.pid, key, admin)


def post(url: str, body: Mapping[str, object], headers: dict[str, str]) -> dict[str, str]:
    """What a daemon answers to a JSON body."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=10) as answer:
        document: dict[str, str] = json.load(answer)
        return document


def load(url: str, key: str, model: str, connections: int, requests: int) -> Found:
    """Run the load client to its end, and return what it found. Raises RuntimeError when a request failed."""
    found = run_client(Job(url, key, model, connections, requests))
    if found.failures:
        raise RuntimeError(f"{found.failures} of {requests} requests failed at {url}: {dict(found.reasons)}")
    return found


def run_client(job: Job, seconds: float = 300) -> Found:
    """Run the load client to its end, which must come within so many seconds, and return what it found."""
    command = [sys.executable, "-m", "bench.client", json.dumps(asdict(job))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=seconds)
    found: dict[str, Any] = json.loads(done.stdout)
    windows = [Window(**window) for window in found.pop("windows")]
    return Found(**found, windows=windows)
