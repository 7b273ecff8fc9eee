"""Our own APIs described as OpenAPI 3.1: what FastAPI knows of the routes, and every error that they can answer."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from llmgate import schemas
from llmgate.daemon.admin.answers import SAFE_METHODS, Kind, dependencies_of, errors_of
from llmgate.daemon.admin.dependencies import principal
from llmgate.daemon.admin.editing import act, creation, edit

Document = dict[str, Any]

_CONVENTIONS = """
Times are RFC 3339 in UTC, durations are seconds. Every error is a problem document (RFC 9457); a path that does not \
take a method answers 405 with `Allow`, and every path that is not here 404. Unknown query parameters and unknown \
fields of a body are refused. Lists are pages: `next` is the cursor of the following one. What can be changed has an \
`ETag`, and is changed only if `If-Match` still names it. A creation that is sent again with the same \
`Idempotency-Key` is not carried out again. No answer may be kept in a cache.
"""

_SPELLING = {"if-match": "If-Match", "idempotency-key": "Idempotency-Key", "last-event-id": "Last-Event-ID"}

_REQUEST_ID = {"description": "By which the daemon's log names the request.", "schema": {"type": "string"}}
_NO_STORE = {"schema": {"type": "string", "const": "no-store"}}
_ALWAYS = {"X-Request-Id": {**_REQUEST_ID, "required": True}, "Cache-Control": {**_NO_STORE, "required": True}}
_RETRY_AFTER = {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer", "minimum": 1}}
_CHALLENGE = {"required": True, "schema": {"type": "string", "const": "Bearer"}}
_REPLAYED = {"description": "The answer to an earlier request.", "schema": {"type": "string", "const": "true"}}
_ETAG = {
    "description": "Its version, for `If-Match`.",
    "required": True,
    "schema": {"type": "string", "pattern": '^"[0-9a-f]+"$'},
}


@dataclass(frozen=True, slots=True)
class About:
    """What a document says beside its routes. ``mount`` is the path below which the API is found."""

    title: str
    description: str
    mount: str
    cookie: str
    admits_addresses: bool
    """Whether whitelisted addresses may ask without a credential."""


router = APIRouter(tags=["openapi"], dependencies=[Depends(principal)])


@router.get("/openapi.json")
def show(request: Request) -> dict[str, Any]:
    """This API, described as OpenAPI 3.1."""
    # No coroutine, so that the event loop does not wait while the document is made, once.
    document: Document = request.app.openapi()
    return document


def operation_id(route: APIRoute) -> str:
    """``noun_verb`` in the words of the command line: ``keys_create``, ``queue_level``."""
    noun = re.sub(r"[^a-z0-9]+", "_", route.path.split("/")[1].partition(".")[0])
    verb = route.name.removeprefix("set_").removeprefix("change_")
    if verb.startswith("list_"):
        verb = "list"
    if verb == "put":
        verb = "set"
    return f"{noun}_{'show' if verb in (noun, 'one') else verb}"


def describe(app: FastAPI, about: About) -> Document:
    """The whole document."""
    routes = [context for context in iter_route_contexts(app.routes) if isinstance(context.original_route, APIRoute)]
    document = get_openapi(
        title=about.title,
        version=app.version,
        description=f"{about.description}\n{_CONVENTIONS}".strip(),
        routes=routes,
        servers=[{"url": about.mount}],
        tags=[{"name": tag, "description": text} for tag, text in _tags(routes).items()],
    )
    document["components"]["securitySchemes"] = _schemes(about)
    document["components"]["responses"] = {}
    document["components"]["schemas"].update(_problem())
    rows = _rows(document)
    for route in routes:
        for method in route.methods or ():
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None:
                _complete(document, operation, route, method, about, rows)
    _drop_unused(document)
    return _with_plain_names(document)


def _complete(document: Document, operation: Document, route: Any, method: str, about: About, rows: set[str]) -> None:
    summary, _, rest = route.description.strip().partition("\n\n")
    operation["summary"] = _one_line(summary).removesuffix(".")
    operation["description"] = _one_line(f"{summary} {rest}")
    calls = set(dependencies_of(route.dependant))
    if principal in calls:
        ways: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}, {"cookie": []}]
        operation["security"] = [*ways, *([{}] if about.admits_addresses else [])]
    else:
        operation["security"] = []
    for parameter in operation.get("parameters", ()):
        parameter["name"] = _SPELLING.get(parameter["name"], parameter["name"])
    answers = {status: answer for status, answer in operation["responses"].items() if status < "400"}
    for status, answer in answers.items():
        _describe_streams(answer.get("content", {}))
        answer["headers"] = {**_ALWAYS, **answer.get("headers", {})}
        if status != "204" and _sends_version(rows, route.path_format, method, calls):
            answer["headers"]["ETag"] = _ETAG if creation not in calls else {**_ETAG, "required": False}
        if creation in calls:
            answer["headers"]["Idempotent-Replayed"] = _REPLAYED
    for status, kinds in errors_of(route, method).items():
        answers[str(status)] = _shared(document, status, kinds)
    operation["responses"] = answers


def _describe_streams(content: Document) -> None:
    """FastAPI calls everything but JSON a string. OpenAPI 3.1 has the schema of a stream describe each of its items."""
    for media_type, described in content.items():
        schema = described.get("schema", {})
        if len(schema) > 1 and media_type != "application/json" and schema.keys() & {"$ref", "oneOf", "anyOf"}:
            schema.pop("type", None)
    if "text/event-stream" in content:
        data = {"type": "string", "contentMediaType": "application/json"}
        data["contentSchema"] = content["text/event-stream"]["schema"]
        text = {"type": "string"}
        event = {"type": "object", "properties": {"event": text, "id": text, "data": data}}
        content["text/event-stream"]["schema"] = event


def _rows(document: Document) -> set[str]:
    """The paths of what has a version: it can be read, and be changed or deleted with ``If-Match``."""
    return {
        path
        for path, operations in document["paths"].items()
        if "get" in operations and any(_takes_if_match(operations.get(verb)) for verb in ("patch", "put", "delete"))
    }


def _takes_if_match(operation: Document | None) -> bool:
    return any(parameter["name"].lower() == "if-match" for parameter in (operation or {}).get("parameters", ()))


def _sends_version(rows: set[str], path: str, method: str, calls: set[Any]) -> bool:
    """Whether the answer is a row that has a version, so that its ``ETag`` comes with it."""
    if method in SAFE_METHODS:
        return path in rows
    if creation in calls:
        return any(re.fullmatch(re.escape(path) + r"/\{\w+\}", row) for row in rows)
    return not calls.isdisjoint({edit, act}) and any(path == row or path.startswith(f"{row}/") for row in rows)


def _shared(document: Document, status: int, kinds: Iterable[Kind]) -> Document:
    """A reference to the answer for these errors, which many routes share."""
    name = "Or".join(kind.__name__ for kind in kinds)
    headers: Document = dict(_ALWAYS)
    if status in (429, 503):
        headers["Retry-After"] = _RETRY_AFTER
    if status == 401:
        headers["WWW-Authenticate"] = _CHALLENGE
    texts = [f"`{kind.code}`: {(kind.__doc__ or '').strip().splitlines()[0]}" for kind in kinds]
    schema = {"$ref": "#/components/schemas/Problem"}
    document["components"]["responses"][name] = {
        "description": " ".join(texts),
        "headers": headers,
        "content": {"application/problem+json": {"schema": schema}},
    }
    return {"$ref": f"#/components/responses/{name}"}


def _problem() -> Document:
    schema = schemas.Problem.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    inner: Document = schema.pop("$defs", {})
    # What is empty is left out of the answer.
    schema["required"] = [name for name, field in schemas.Problem.model_fields.items() if field.is_required()]
    return {**inner, "Problem": schema}


def _schemes(about: About) -> Document:
    return {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or the access token of a session."},
        "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "An API key."},
        "cookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": about.cookie,
            "description": "A session in a browser; changes must come from the gateway's own pages.",
        },
    }


def _tags(routes: Iterable[Any]) -> dict[str, str]:
    """The nouns, described by the docstrings of their modules."""
    found: dict[str, str] = {}
    for route in routes:
        for tag in route.tags:
            text = (sys.modules[route.endpoint.__module__].__doc__ or "").strip().partition("\n\n")[0]
            found.setdefault(str(tag), _one_line(text))
    return found


def _drop_unused(document: Document) -> None:
    """Take out FastAPI's own description of a body that is not valid: we have another."""
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def _with_plain_names(document: Document) -> Document:
    """``UserPage`` instead of ``Page_User_``."""
    text = re.sub(r"Page(?:_([A-Za-z0-9]+)_|\[([A-Za-z0-9]+)\])", r"\1\2Page", json.dumps(document))
    named: Document = json.loads(text)
    return named


def _one_line(text: str) -> str:
    """As prose: the lines of a docstring joined, its double backquotes single."""
    return re.sub(r"\s+", " ", text).replace("``", "`").strip()
