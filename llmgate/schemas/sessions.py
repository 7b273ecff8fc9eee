"""Sessions: who is logged in, from where."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from llmgate.schemas.base import Answer, Request


class Session(Answer):
    """A login. ``last_used_at`` is when it was renewed last, ``client`` what the browser or program calls itself.

    ``live``: it can be used now. ``current``: it is the one that asks.
    """

    id: str
    user_id: str
    user: str
    client: str
    address: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    live: bool
    current: bool


class SessionsOf(Request):
    """A user, by id or name."""

    user: str = Field(min_length=1, max_length=200)


class SessionsRevoked(Answer):
    """How many sessions were ended."""

    revoked: int
