"""Is the daemon there and ready, or is its port free? And what do browsers see?"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

import httpx

from llmgate.config import ServerSettings
from llmgate.daemon.auth import credentials
from llmgate.daemon.operations.checks.base import Case, Finding, Status, in_thread

SECONDS = 5.0


async def check_serving(case: Case) -> Sequence[Finding]:
    server = case.settings.server
    if case.url is None and server.port == 0:
        return [Finding("daemon", Status.SKIP, "server.port is 0: it takes any free one.")]
    url = case.url or _url_of(server)
    async with httpx.AsyncClient(base_url=url, timeout=SECONDS, trust_env=False) as client:
        try:
            live = _json(await client.get("/health/live"))
            if live.get("status") == "live":
                ready = _json(await client.get("/health/ready"))
                return [Finding("daemon", Status.OK, f"It runs at {url}."), _readiness(ready)]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as failure:
            if case.url is None and isinstance(failure, httpx.ConnectError):
                return [await in_thread(lambda: _port(server))]
            return [_unreached(url, failure)]
    what = f"Something else than llmgate answers at {url}."
    return [Finding("daemon", Status.FAIL, what, "Stop it, or choose another server.port.")]


def _readiness(ready: dict[str, object]) -> Finding:
    if ready.get("status") == "ready":
        return Finding("daemon.ready", Status.OK, "It is ready.")
    reasons = ready.get("reasons")
    what = "; ".join(str(reason) for reason in reasons) if isinstance(reasons, list) else "it does not say why"
    return Finding("daemon.ready", Status.FAIL, f"It is not ready: {what}.", "Mend the other failures first.")


def _url_of(server: ServerSettings) -> str:
    host = "127.0.0.1" if server.host in ("0.0.0.0", "::", "") else server.host  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}"


def _json(answer: httpx.Response) -> dict[str, object]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _unreached(url: str, failure: Exception) -> Finding:
    why = "it does not answer in time" if isinstance(failure, httpx.TimeoutException) else str(failure)
    fix = "Start it with: llmgate serve; its log says why it does not answer."
    return Finding("daemon", Status.FAIL, f"No daemon answers at {url}: {why or type(failure).__name__}.", fix)


def _port(server: ServerSettings) -> Finding:
    """Nobody answers. Could a daemon listen there?"""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            server.host, server.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as failure:
        return _unusable(server, failure)
    what = f"It does not run; port {server.port} of {server.host} is free."
    return Finding("daemon", Status.OK, what)


def _unusable(server: ServerSettings, failure: OSError) -> Finding:
    where = f"Port {server.port} of {server.host}"
    if failure.errno == errno.EACCES:
        fix = "Choose one from 1024 on, or AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit."
        return Finding("daemon", Status.FAIL, f"{where} may only be used by root.", fix)
    if failure.errno == errno.EADDRINUSE:
        fix = f"See which: ss -ltnp 'sport = :{server.port}'. Stop it, or choose another server.port."
        return Finding("daemon", Status.FAIL, f"{where} is taken by another program.", fix)
    what = f"{where} cannot be used: {failure.strerror or failure}."
    return Finding("daemon", Status.FAIL, what, "Set server.host to an address of this machine.")


async def check_web(case: Case) -> Sequence[Finding]:
    """What a browser needs to log in: a public URL with https, and a proxy in front that is believed."""
    server = case.settings.server
    if server.public_url:
        return [_cookies(server), *_proxy(server, is_https=server.public_url.startswith("https://"))]
    who = "browsers on this machine can log in, others" if credentials.is_local(server) else "browsers"
    return [Finding("web", Status.SKIP, f"server.public_url is not set: {who} cannot, programs can.")]


def _cookies(server: ServerSettings) -> Finding:
    if server.public_url.startswith("https://"):
        return Finding("web", Status.OK, f"Browsers come by {server.public_url}.")
    if credentials.is_local(server):
        return Finding("web", Status.OK, f"Browsers of this machine come by {server.public_url}.")
    if not server.allow_insecure_cookies:
        what = "server.public_url is http, so that browsers get no session cookie and cannot log in."
        return Finding(
            "web", Status.FAIL, what, "Use https, or set server.allow_insecure_cookies in a network you trust."
        )
    what = "Session cookies cross the network in clear (server.allow_insecure_cookies)."
    return Finding("web", Status.WARN, what, "Put a proxy with https in front, see docs/operations.md.")


def _proxy(server: ServerSettings, *, is_https: bool) -> list[Finding]:
    if not is_https or server.trusted_proxies:
        return []
    what = "A proxy is in front (https), and is not in server.trusted_proxies: every client seems to be the proxy."
    fix = 'Name the address it comes from: trusted_proxies = ["127.0.0.1/32"]'
    return [Finding("web.proxy", Status.WARN, what, fix)]
