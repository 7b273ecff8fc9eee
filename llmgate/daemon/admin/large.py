"""Routes that take larger bodies than the others do, from those who have logged in."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute

from llmgate.daemon.admin.dependencies import person, principal, services_of
from llmgate.daemon.protocols.bodies import off_the_loop
from llmgate.daemon.protocols.nodes import refuse_many_values

BOUND: Final = "body_bytes"
"""Of the request's state: how large its body may be."""
LARGEST: Final = 24 * 1024 * 1024


class LargeBody(APIRoute):
    """A route for persons. Nothing of a body is read before it is known who sends it: FastAPI would read it first."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_large(request: Request) -> Response:
            await person(await principal(request, services_of(request)))
            setattr(request.state, BOUND, LARGEST)
            return await handle(_Large(request.scope, request.receive))

        return handle_large


class _Large(Request):
    async def json(self) -> Any:
        """The body's JSON, read beside the event loop when it is large."""
        if not hasattr(self, "_json"):
            self._json = await off_the_loop(_parsed, await self.body())
        return self._json


def _parsed(raw: bytes) -> Any:
    refuse_many_values(raw)
    return json.loads(raw)
