"""What else goes on at a gateway while it is soaked: people log in and out, keys come and go, events are followed."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from dataclasses import dataclass
from typing import Final
from urllib.error import HTTPError
from urllib.parse import urlsplit

from bench.processes import PASSWORD, Gateway, post

LEVELS: Final = 5
WATCH_SECONDS: Final = 20.0
"""So long somebody follows the events, then anew."""

SETTINGS: Final = {
    "queue.settle_ms": 20,
    "usage.request_log_days": 4,
    "activity.days": 3,
    "chat.conversation_days": 3,
}
"""Days are minutes here, see ``soak_daemon``."""

_COUNTS: Final = re.compile(r"^llmgate_(requests|refused_requests)_total\{(.*)\} (\S+)$", re.MULTILINE)
_WAITING: Final = re.compile(r"^llmgate_(waiting|promotions_total)\{.*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the gateway's metrics say: requests with an outcome, refused ones, tickets that have aged, and who waits."""

    requests: int
    refused: int
    promoted: int
    waiting: int


def counts_of(metrics: str) -> Counts:
    """What a scrape says."""
    found = {"requests": 0.0, "refused_requests": 0.0, "waiting": 0.0, "promotions_total": 0.0}
    for name, _, value in _COUNTS.findall(metrics):
        found[name] += float(value)
    for name, value in _WAITING.findall(metrics):
        found[name] += float(value)
    return Counts(*(int(found[name]) for name in ("requests", "refused_requests", "promotions_total", "waiting")))


def send(method: str, url: str, admin: dict[str, str], body: object = None) -> bytes:
    """One request of an administrator."""
    data = None if body is None else json.dumps(body).encode()
    headers = {**admin, "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=30) as answer:
        content: bytes = answer.read()
        return content


def miss(url: str) -> None:
    """One request of nobody for what does not exist. Raises OSError when that is not what the answer says."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            raise OSError(f"{url} has answered {answer.status}")
    except HTTPError as answer:
        with answer:
            if answer.code != 404:
                raise


def prepare(gateway: Gateway) -> list[str]:
    """Settings, and a key for each level, with limits that are watched and never reached."""
    for name, value in SETTINGS.items():
        send("PUT", f"{gateway.url}/admin/v1/settings/{name}", gateway.admin, {"value": value})
    keys = []
    for level in range(1, LEVELS + 1):
        limits = {"requests_per_minute": 1_000_000, "tokens_per_day": 1_000_000_000}
        body = {"name": f"soak-{level}", "level": level, **limits}
        keys.append(post(f"{gateway.url}/admin/v1/keys", body, gateway.admin)["key"])
    return keys


def login(gateway: Gateway) -> dict[str, str]:
    """A new session: its tokens."""
    return post(f"{gateway.url}/gate/auth/login", {"name": "admin", "password": PASSWORD}, {})


def beat(gateway: Gateway) -> Counts:
    """A bit of everything once. Raises OSError when something is refused."""
    session = login(gateway)
    session = post(f"{gateway.url}/gate/auth/refresh", {"refresh_token": session["refresh_token"]}, {})
    admin = {"authorization": f"Bearer {session['access_token']}"}
    key = post(f"{gateway.url}/admin/v1/keys", {"name": "passing"}, admin)["id"]
    for path in ("/queue/stats", "/queue/waiting?limit=50", "/usage", "/requests?limit=50", "/activity?limit=50"):
        send("GET", f"{gateway.url}/admin/v1{path}", admin)
    send("POST", f"{gateway.url}/admin/v1/keys/{key}/revoke", admin)
    for path in ("/api/tags", "/api/version", "/v1/models"):
        send("GET", f"{gateway.url}{path}", admin)
    for path in ("/nope", "/api/nope", "/v1/nope"):
        miss(f"{gateway.url}{path}")
    counts = counts_of(send("GET", f"{gateway.url}/metrics", admin).decode())
    send("POST", f"{gateway.url}/gate/auth/logout", admin)
    return counts


async def watch(gateway: Gateway) -> None:
    """Somebody follows the events, again and again, until cancelled."""
    parts = urlsplit(gateway.url)
    while True:
        session = await asyncio.to_thread(login, gateway)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        head = f"GET /admin/v1/events HTTP/1.1\r\nhost: {parts.netloc}\r\n"
        writer.write(f"{head}authorization: Bearer {session['access_token']}\r\n\r\n".encode())
        try:
            async with asyncio.timeout(WATCH_SECONDS):
                first = await reader.readline()
                if b" 200 " not in first:
                    raise ConnectionError(f"events: {first!r}")
                while await reader.read(65536):
                    pass
                raise ConnectionError("the stream of events has ended")
        except TimeoutError:
            pass
        finally:
            writer.close()
