"""nginx as a bare reverse proxy: what passing bytes on costs when nothing is done with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.processes import free_port, process, wait_for_http
from bench.products.base import Target, descendants
from bench.products.common import program, version_of


@contextmanager
def start(folder: Path, upstream: str) -> Iterator[Target]:
    """One worker, unbuffered, connections to the upstream kept alive."""
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
          upstream fake {{ server {upstream.removeprefix("http://")}; keepalive 512; keepalive_requests 1000000; }}
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
    nginx = program("nginx")
    with process([nginx, "-c", str(work / "nginx.conf"), "-p", str(work)], folder / "nginx.log") as master:
        url = f"http://127.0.0.1:{port}"
        wait_for_http(f"{url}/api/version")
        yield Target(
            name="nginx",
            version=version_of(nginx, "-v"),
            url=url,
            key="-",
            pids=lambda: descendants(master.pid),
            note="a bare reverse proxy: one worker, no buffering; no authentication, no queue, no accounting",
        )
