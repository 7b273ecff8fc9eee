"""The pictures of one's own conversations."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from llmgate.daemon.admin.answers import raises
from llmgate.daemon.admin.dependencies import Daemon, Person
from llmgate.daemon.gate.sending import Large
from llmgate.daemon.store import images
from llmgate.errors import LimitExceeded, QueueFull

router = APIRouter(prefix="/images", tags=["images"])

_HEADERS = {
    "x-content-type-options": "nosniff",
    # Whoever opens it as a page of its own gets a picture, and nothing that could do anything in our place.
    "content-security-policy": "sandbox; default-src 'none'",
    "cross-origin-resource-policy": "same-origin",
    # A browser keeps it, and asks each time whether it may still show it: the next one at it may be somebody else.
    "cache-control": "private, no-cache",
}
_TEXT = {"type": "string"}
_DESCRIBED: dict[str, Any] = {
    "Cache-Control": {"required": True, "schema": {"type": "string", "const": _HEADERS["cache-control"]}},
    "Content-Security-Policy": {"required": True, "schema": _TEXT},
    "X-Content-Type-Options": {"required": True, "schema": _TEXT},
    "ETag": {"required": True, "schema": _TEXT},
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture.",
        "headers": _DESCRIBED,
        "content": {
            media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in images.MEDIA_TYPES
        },
    },
    304: {"description": "It is still the one that `If-None-Match` names.", "headers": _DESCRIBED},
}


@router.get("/{image}", response_class=Response, responses={**_ANSWERS, **raises(LimitExceeded, QueueFull)})
async def show(
    daemon: Daemon,
    caller: Person,
    image: str,
    if_none_match: Annotated[str | None, Header(max_length=1000)] = None,
) -> Response:
    """A picture that the caller has sent with a message. It never changes."""
    async with daemon.database.read() as tx:
        known = await images.ref(tx, image, caller.id)
        headers = {**_HEADERS, "etag": f'"{known.id}"'}
        if if_none_match is not None and headers["etag"] in if_none_match:
            return Response(status_code=304, headers=headers)
        media_type, data = await images.get(tx, image, caller.id)
    return Large(daemon.gateway.bodies, caller, data, media_type, headers)
