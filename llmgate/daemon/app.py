"""The ASGI application: which path leads where. What is not listed here does not exist."""

from __future__ import annotations

import json
import secrets
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from llmgate.daemon import page
from llmgate.daemon.admin import create_admin
from llmgate.daemon.auth import routes
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.catalogue import Answer, Catalogue, ReadRoute
from llmgate.daemon.chat.websocket import ChatEndpoint
from llmgate.daemon.exchange import ClientGone, Exchange
from llmgate.daemon.gate import create_gate
from llmgate.daemon.management import Act, Management, ManagementRoute
from llmgate.daemon.protocols import ENDPOINTS, protocol_of
from llmgate.daemon.services import Services
from llmgate.errors import LLMGateError, PermissionDenied, RouteNotFound

READ = ("GET", "HEAD")


class Application:
    """Everything that the daemon serves.

    Inference goes straight to the gateway, by its exact path: Starlette would wrap every chunk of every
    answer twice. All other routes are Starlette's.
    """

    def __init__(self, services: Services) -> None:
        self._gateway = services.gateway
        self._others = _other_routes(services)
        self._prefix = services.settings.server.public_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = ENDPOINTS.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is None and self._prefix and scope["path"].startswith(f"{self._prefix}/"):
            scope = _below(self._prefix, scope)
            endpoint = ENDPOINTS.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is not None:
            await self._gateway.serve(endpoint, scope, receive, send)
        else:
            await self._others(scope, receive, send)


def _below(prefix: str, scope: Scope) -> Scope:
    """The scope as it is behind a proxy that takes the public path away. Not every proxy does."""
    raw = scope.get("raw_path") or b""
    return {**scope, "path": scope["path"].removeprefix(prefix), "raw_path": raw.removeprefix(prefix.encode())}


def _other_routes(services: Services) -> Starlette:
    routes = _read_routes(services)
    if prefix := services.settings.server.public_path:
        routes.append(Route(prefix, partial(_with_slash, prefix)))
    routes += _management_routes(services)
    routes += _page_routes(page.load())
    routes += [
        Route("/health/live", _live),
        Route("/health/ready", _readiness(services)),
        Route("/metrics", _metrics(services)),
        WebSocketRoute(
            "/gate/ws",
            ChatEndpoint(services.chat, services.authenticator, services.client_address, services.live),
        ),
        Mount("/gate", create_gate(services)),
        Mount("/admin/v1", create_admin(services)),
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    app.router.default = nothing_here
    return app


def _read_routes(services: Services) -> list[BaseRoute]:
    catalogue = Catalogue(services.upstreams)
    authenticator, bodies = services.authenticator, services.gateway.bodies

    def route(path: str, answer: Answer, methods: tuple[str, ...] = READ) -> Route:
        protocol = protocol_of(path)
        return Route(path, ReadRoute(protocol, methods, answer, authenticator, services.client_address, bodies))

    return [
        route("/api/tags", catalogue.tags),
        route("/api/ps", catalogue.ps),
        route("/api/version", catalogue.version),
        route("/api/show", catalogue.show, ("POST",)),
        route("/v1/models", catalogue.models),
        route("/v1/models/{model:path}", catalogue.model),
    ]


def _management_routes(services: Services) -> list[BaseRoute]:
    """Ollama's own, for administrators. What is left of them (push, create, blobs) does not exist here."""
    management = Management(services.models)

    def route(path: str, method: str, act: Act) -> Route:
        parts = services.authenticator, services.client_address, services.gateway.answers
        return Route(path, ManagementRoute(method, act, *parts))

    return [
        route("/api/pull", "POST", management.pull),
        route("/api/copy", "POST", management.copy),
        route("/api/delete", "DELETE", management.delete),
    ]


def _page_routes(built: page.Page) -> list[BaseRoute]:
    return [Route("/", built.root), *(Route(f"/{name}", built.file) for name in built.names)]


async def nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    """404 for every path that is not listed, in the dialect of its beginning."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000, "reason": ""})
        return
    path = scope["path"]
    failure = RouteNotFound(f"There is nothing at {path[:80]!r}.", hint="See docs/api.md for what there is.")
    exchange = Exchange(scope, receive, send, secrets.token_hex(8))
    try:
        with exchange.interruptible():
            if path.startswith(("/api/", "/v1/")):
                await exchange.fail(protocol_of(path), failure)
            else:
                body = json.dumps(failure.problem(exchange.request_id)).encode()
                no_store = (b"cache-control", b"no-store")
                await exchange.answer(failure.status, body, b"application/problem+json", [no_store])
    except ClientGone:
        await exchange.drop()


async def _with_slash(prefix: str, request: Request) -> Response:
    """The page names everything relative to its own path, so that the slash matters."""
    return RedirectResponse(f"{prefix}/")


async def _live(request: Request) -> Response:
    return JSONResponse({"status": "live"})


def _readiness(services: Services) -> Any:
    async def ready(request: Request) -> Response:
        reasons = await services.not_ready()
        status = "ready" if not reasons else "not ready"
        queue = services.queue.status()
        mode = {"backend": queue.backend, "state": queue.state, "reason": queue.reason}
        return JSONResponse({"status": status, "reasons": reasons, "queue": mode}, 503 if reasons else 200)

    return ready


def _metrics(services: Services) -> Any:
    async def metrics(request: Request) -> Response:
        """For administrators and whitelisted addresses only: load and habits are nobody else's business."""
        try:
            principal = await services.authenticator.authenticate(
                request.headers.raw, address=services.client_address(request.scope), method=request.method
            )
            if principal.role is not Role.ADMIN and principal.kind != "address":
                raise PermissionDenied("Metrics are for administrators and whitelisted addresses.")
            principal.check_route("/metrics", routes.METRICS)
        except LLMGateError as failure:
            return JSONResponse(failure.problem(), failure.status, media_type="application/problem+json")
        return Response(await services.observers.metrics.render(), media_type=services.observers.metrics.content_type)

    return metrics
