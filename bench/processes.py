"""Starting what is measured, and asking the kernel what it cost."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of processes, from /proc/PID/stat."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / CLOCK_TICKS


def memory_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text(encoding="ascii").split()]


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


@contextmanager
def nginx(folder: Path, upstream_url: str) -> Iterator[tuple[str, list[int]]]:
    """A bare reverse proxy: one worker, unbuffered, connections to the upstream kept alive."""
    port = free_port()
    work = folder / "nginx"
    work.mkdir()
    (work / "nginx.conf").write_text(
        f"""
        worker_processes 1; daemon off; pid {work}/pid; error_log {work}/error.log;
        events {{ worker_connections 8192; }}
        http {{
          access_log off; keepalive_requests 1000000;
          client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
          uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
          upstream fake {{ server {upstream_url.removeprefix("http://")}; keepalive 512; keepalive_requests 1000000; }}
          server {{
            listen 127.0.0.1:{port} backlog=4096;
            location / {{
              proxy_pass http://fake; proxy_http_version 1.1; proxy_set_header Connection "";
              proxy_buffering off; proxy_read_timeout 600s;
            }}
          }}
        }}
        """,
        encoding="utf-8",
    )
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    with process([program, "-c", str(work / "nginx.conf"), "-p", str(work)], folder / "nginx.log") as master:
        url = f"http://127.0.0.1:{port}"
        wait_for_http(f"{url}/api/version")
        yield url, children(master.pid)


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


@contextmanager
def llmgate(folder: Path, upstream_url: str, slots: int, more: str = "") -> Iterator[Gateway]:
    """The gateway with everything on: authentication, queue, accounting. ``more`` goes to the end of its settings."""
    port = free_port()
    state = state_of(folder, slots)
    config = folder / f"llmgate-{slots}.toml"
    config.write_text(
        f"""
        [server]
        port = {port}
        [state]
        dir = "{state}"
        [queue]
        max_waiting = 20000
        max_waiting_per_principal = 20000
        keepalive_after = 3600
        deadline_seconds = 3600
        aging_seconds = 3600
        [[upstreams]]
        name = "fake"
        kind = "ollama"
        url = "{upstream_url}"
        slots = {slots}
        {more}
        """,
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "llmgate"]
    subprocess.run(
        [*command, "init", "--config", str(config), "--password-stdin"],
        input=f"{PASSWORD}\n".encode(),
        check=True,
        capture_output=True,
    )
    with process([*command, "serve", "--config", str(config)], folder / "llmgate.log") as daemon:
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


@dataclass(frozen=True, slots=True)
class Tally:
    """What a load brought back: answers, SSE events, and seconds to each answer's first byte."""

    answers: int
    events: int
    first_bytes: list[float]


def load(url: str, key: str, model: str, connections: int, requests: int) -> Tally:
    """Run the load client to its end, and return what it counted. Raises RuntimeError when a request failed."""
    command = [sys.executable, "-m", "bench.client", url, key, model, str(connections), str(requests)]
    done = subprocess.run(command, check=True, capture_output=True, timeout=300)
    tally = json.loads(done.stdout)
    if tally["failures"]:
        raise RuntimeError(f"{tally['failures']} of {requests} requests failed at {url}")
    return Tally(tally["answers"], tally["events"], tally["first"])
