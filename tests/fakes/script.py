"""What a fake upstream shall do with a request, and what it saw of one."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DEFAULT_TOKENS = ("Hello", ",", " world", "!")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How one request is answered; the default is a good answer of four tokens at once.

    Times are in seconds, ``*_after`` of tokens count the tokens sent before, ``cut_after`` counts bytes of
    the body. A gate is a name: the fake waits there until the test calls ``release(name)``.
    """

    tokens: Sequence[str] = DEFAULT_TOKENS
    thinking: Sequence[str] = ()
    input_tokens: int = 7
    tool_calls: Sequence[tuple[str, Mapping[str, Any]]] = ()
    finish: str = "stop"

    delay: float = 0.0
    interval: float = 0.0
    gate: str | None = None
    token_gates: Mapping[int, str] = field(default_factory=dict)

    status: int = 200
    body: bytes | None = None
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    gzip: bool = False

    hang: bool = False
    hang_after: int | None = None
    cut_before_head: bool = False
    cut_after: int | None = None
    reset: bool = False
    endless_line: bool = False
    raw: bytes | None = None
    error_after: tuple[int, str] | None = None


@dataclass(slots=True, eq=False)
class Seen:
    """One request as it arrived. Times are on the clock of the event loop."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int
    started_at: float
    ended_at: float | None = None
    """The answer was sent to its end, or the connection was gone."""
    disconnected_at: float | None = None
    """The caller hung up before the answer was complete."""
    sent: int = 0
    """Bytes of the answer's body."""
    tokens_sent: int = 0
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def json(self) -> dict[str, Any]:
        document = json.loads(self.body or b"{}")
        assert isinstance(document, dict)
        return document

    @property
    def nonce(self) -> str | None:
        """The ``nonce-…`` that a test put into its prompt to recognise the request."""
        found = re.search(rb"nonce-[0-9A-Za-z]+", self.body)
        return found[0].decode() if found else None
