"""Every route of a running gateway, read from its own routing tables, and what each caller gets there."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import httpx
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount, Route, WebSocketRoute

from llmgate.daemon import page
from llmgate.daemon.app import Application
from llmgate.daemon.protocols import ENDPOINTS

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
SOCKET = "WebSocket"
"""In the place of a method, for a path that takes nothing else."""
_HANDSHAKE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}

Caller = Callable[[], Awaitable[Mapping[str, str]]]


def methods_by_path(application: Application) -> dict[str, set[str]]:
    """Which methods each path takes. Paths are templates, like ``/admin/v1/keys/{key}``.

    The files of the page are left out: which there are depends on how it was built, if it was.
    """
    found: dict[str, set[str]] = {path: {"POST"} for path in ENDPOINTS}
    files = {f"/{name}" for name in page.load().names}
    for path, methods in _others(application._others.routes):
        if path in files:
            continue
        found.setdefault(re.sub(r":\w+}", "}", path), set()).update(methods)
    return found


def _others(routes: list[Any]) -> Iterator[tuple[str, set[str]]]:
    for route in routes:
        if isinstance(route, Mount):
            inner = [one for one in iter_route_contexts(route.app.routes) if one.path is not None]  # type: ignore[attr-defined]  # FastAPI's
            yield from ((f"{route.path}{one.path}", set(one.methods or ())) for one in inner)
        elif isinstance(route, WebSocketRoute):
            yield route.path, {SOCKET}
        else:
            assert isinstance(route, Route), f"a kind of route that this does not know: {route!r}"
            yield route.path, _methods_of(route)


def _methods_of(route: Route) -> set[str]:
    """An ASGI application behind a route names its methods itself."""
    if route.methods:
        return set(route.methods)
    endpoint: Any = route.endpoint
    return set(getattr(endpoint, "methods", None) or [endpoint.method])


def filled(path: str) -> str:
    """The path with something in the place of its parameters that is nowhere."""
    return re.sub(r"{\w+}", "0", path)


async def verdict(client: httpx.AsyncClient, method: str, path: str, headers: Mapping[str, str]) -> str:
    """ "401" or "403" for who may not, "yes" for who may, whatever becomes of the request then."""
    sent = dict(headers)
    if method == SOCKET:
        method, sent = "GET", {**sent, **_HANDSHAKE}
    async with client.stream(method, filled(path), headers=sent) as answer:  # streams would not end
        assert answer.status_code < 500, f"{method} {path} answers {answer.status_code}"
        return str(answer.status_code) if answer.status_code in (401, 403) else "yes"
