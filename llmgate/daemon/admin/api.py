"""What our own APIs have in common: one application factory, one shape of errors, bounded bodies."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.params import Depends as Dependency
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmgate import __version__
from llmgate.daemon.admin import openapi
from llmgate.daemon.admin.dependencies import known_parameters
from llmgate.daemon.admin.editing import Replayed
from llmgate.daemon.admin.large import BOUND
from llmgate.daemon.open_answers import OpenAnswers
from llmgate.daemon.outgoing import Judge, Outgoing, anybody
from llmgate.daemon.services import Services
from llmgate.errors import BodyTooLarge, InvalidRequest, LLMGateError, MethodNotAllowed, RouteNotFound
from llmgate.validation import explain, faults_of

BODY_BYTES = 256 * 1024
"""Largest body: a key with two hundred long model names fits easily."""

_BY_STATUS: dict[int, type[LLMGateError]] = {404: RouteNotFound, 405: MethodNotAllowed, 413: BodyTooLarge}


def create_api(
    services: Services,
    about: openapi.About,
    routers: Iterable[APIRouter],
    dependencies: Sequence[Dependency] = (),
    judge: Judge = anybody,
) -> FastAPI:
    """An application of these routers and of its own description. ``dependencies`` hold for every route of it,
    ``judge`` for who has got a part of an answer that takes long."""
    app = _Api(
        about,
        version=__version__,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=openapi.operation_id,
        dependencies=[*dependencies, Depends(_plain_path_first), Depends(known_parameters)],
        exception_handlers={
            LLMGateError: _on_error,
            RequestValidationError: _on_invalid,
            HTTPException: _on_http,
            Replayed: _on_replayed,
        },
    )
    app.state.services = services
    app.add_middleware(_Edge, services.gateway.answers, judge)
    paths: set[str] = set()
    for router in (*routers, openapi.router):
        app.include_router(router)
        paths.update(route.path for route in router.routes if isinstance(route, APIRoute))
    app.state.plain_paths = frozenset(path for path in paths if "{" not in path)
    return app


class _Api(FastAPI):
    """An application that describes itself as we do, not as FastAPI does."""

    def __init__(self, about: openapi.About, **options: Any) -> None:
        super().__init__(title=about.title, **options)
        self._about = about

    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            self.openapi_schema = openapi.describe(self, self._about)
        return self.openapi_schema


class _Edge:
    """Around every request: gives it an id, bounds its body, keeps the answer, which may hold a secret, out of
    every cache, cuts what its caller has lost the right to, and answers for our own defects."""

    def __init__(self, app: ASGIApp, answers: OpenAnswers, judge: Judge) -> None:
        self._app = app
        self._answers = answers
        self._judge = judge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        outgoing = Outgoing(scope, send, self._answers, self._judge, request_id)

        async def traced(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers.setdefault("cache-control", "no-store")
            await outgoing.send(message)

        try:
            await self._app(scope, _bounded(scope, receive, outgoing), traced)
        except Exception:  # a defect of ours must still be answered, and be seen
            structlog.get_logger("llmgate.admin").exception("request_broke", request_id=request_id, path=scope["path"])
            if not outgoing.has_begun:
                failure = LLMGateError("The gateway failed.", hint="Its log names this request by its id.")
                await _problem(Request(scope), failure)(scope, receive, traced)
        finally:
            outgoing.over()


def _bounded(scope: Scope, receive: Receive, outgoing: Outgoing) -> Receive:
    """``receive`` for a body of at most ``BODY_BYTES``, or what a route allows that knows its caller (``large.py``).
    Of what still comes while the answer goes out already, which is waited for to learn that the client leaves, nothing
    is kept."""
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        if outgoing.has_begun and "body" in message:
            return {**message, "body": b""}
        received += len(message.get("body", b""))
        if received > scope["state"].get(BOUND, BODY_BYTES):
            raise HTTPException(413)  # the one exception that FastAPI lets through while it reads a body
        return message

    return bounded


async def _on_error(request: Request, error: Exception) -> JSONResponse:
    return _problem(request, error if isinstance(error, LLMGateError) else LLMGateError())


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    """Say which fields are wrong, and never what was in them: it may be a password."""
    faults = faults_of(error.errors() if isinstance(error, RequestValidationError) else [])
    return _problem(request, InvalidRequest(explain(faults)), errors=faults)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    """What FastAPI itself refuses: no such path, no such method, a body that is too large."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    kind = _BY_STATUS.get(status, InvalidRequest if status < 500 else LLMGateError)
    bound = request.scope.get("state", {}).get(BOUND, BODY_BYTES) // 1024
    message = f"The request body is larger than {bound} KiB." if kind is BodyTooLarge else None
    answer = _problem(request, kind(message))
    answer.headers.update(getattr(error, "headers", None) or {})
    if status == 405:
        answer.headers["allow"] = ", ".join(_methods_of(request))
    return answer


def _methods_of(request: Request) -> list[str]:
    """What this path takes, by all its routes: Starlette names only the methods of the first."""
    path = _path_of(request)
    contexts = [one for one in iter_route_contexts(request.app.routes) if one.methods and one.path_regex.match(path)]
    if path in request.app.state.plain_paths:
        contexts = [one for one in contexts if one.path == path]
    return sorted({method for one in contexts for method in one.methods or ()})


def _path_of(request: Request) -> str:
    """The path as our routes know it, without the mount."""
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", ""))


async def _plain_path_first(request: Request) -> None:
    """``/whitelist/test`` is no ``/whitelist/{entry}``, whatever the method: so OpenAPI reads two paths that fit."""
    if request.path_params and _path_of(request) in request.app.state.plain_paths:
        raise HTTPException(405)


async def _on_replayed(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse(getattr(error, "answer", None), 201, {"idempotent-replayed": "true"})


def _problem(request: Request, error: LLMGateError, **more: Any) -> JSONResponse:
    headers = {}
    if error.retry_after is not None or error.status == 503:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after or 0)))
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    document = {**error.problem(_request_id(request)), **more}
    return JSONResponse(document, error.status, headers, media_type="application/problem+json")


def _request_id(request: Request) -> str | None:
    found: str | None = request.scope.get("state", {}).get("request_id")
    return found
