"""That a request does not come back: an upstream must not be the gateway itself, under whatever name.

It would wait for a slot that it holds. Each request to an upstream says in ``Via`` (RFC 9110, section 7.6.3) that it
has passed this daemon, and one that comes in and says so is refused.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Iterable

from llmgate.errors import InvalidRequest


@functools.cache
def via() -> str:
    """The value of the header. The name is this process's own, and says nothing of where it runs."""
    return f"1.1 llmgate-{secrets.token_hex(8)}"


def refuse_own(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise InvalidRequest for a request, whose headers are given as ASGI does, that this daemon has sent."""
    for name, value in headers:
        if name == b"via" and via().encode("ascii") in value:
            raise InvalidRequest(
                "This request has passed the gateway before: one of its upstreams is the gateway itself.",
                hint="Look at the URLs of the upstreams: llmgate upstreams list",
            )
