"""HAProxy: a reverse proxy that has a waiting line with priorities."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.processes import free_port, process
from bench.products.base import Target, descendants
from bench.products.common import program, version_of, wait_until_up
from bench.products.turns import Asking, OneSlot

URGENT = "http-request set-priority-class int(-100) if { req.hdr(x-priority) urgent }"


@contextmanager
def start(folder: Path, upstream: str) -> Iterator[Target]:
    """One process with one thread, connections to the upstream kept alive."""
    with _running(folder, upstream, "", "") as target:
        yield target


@contextmanager
def one_slot(folder: Path, upstream: str) -> Iterator[OneSlot]:
    """The limit is the server's, and who waits for it is ordered by class."""
    with _running(folder, upstream, URGENT, "maxconn 1") as target:
        means = "`maxconn 1` of the server; `http-request set-priority-class` by a header, which any client may send"
        yield OneSlot(target, Asking(), Asking(headers={"x-priority": "urgent"}), means)


@contextmanager
def _running(folder: Path, upstream: str, rule: str, limit: str) -> Iterator[Target]:
    port = free_port()
    config = folder / "haproxy.cfg"
    config.write_text(
        f"""
        global
          maxconn 8192
          nbthread 1
        defaults
          mode http
          timeout connect 5s
          timeout client 600s
          timeout server 600s
          timeout queue 600s
          option http-no-delay
        frontend clients
          bind 127.0.0.1:{port} backlog 4096
          {rule}
          default_backend fake
        backend fake
          http-reuse always
          server fake {upstream.removeprefix("http://")} {limit}

""",
        encoding="utf-8",
    )
    haproxy, log = program("haproxy"), folder / "haproxy.log"
    with process([haproxy, "-db", "-f", str(config)], log) as child:
        url = f"http://127.0.0.1:{port}"
        wait_until_up(f"{url}/api/version", log, child)
        yield Target(
            name="HAProxy",
            version=version_of(haproxy, "-v"),
            url=url,
            key="-",
            pids=lambda: descendants(child.pid),
            note="a reverse proxy: one thread; no authentication, no accounting",
        )
