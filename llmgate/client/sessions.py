"""The noun ``sessions``, as the client sees it."""

from __future__ import annotations

from typing import Any

from llmgate import schemas
from llmgate.client.noun import PAGE, Noun, named
from llmgate.connection import Connection

_PATH = "/admin/v1/sessions"


class Sessions:
    """Who is logged in. Filters are those of the API."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows = Noun(connection, "session", _PATH, schemas.Session, schemas.Session, schemas.Page[schemas.Session])

    async def page(self, after: str | None = None, limit: int = PAGE, **filters: Any) -> schemas.Page[schemas.Session]:
        return await self._rows.page(after, limit, **filters)

    async def rows(self, limit: int, **filters: Any) -> list[schemas.Session]:
        """The latest ``limit`` sessions, the last login first."""
        return await self._rows.rows(limit, **filters)

    async def get(self, session: str) -> schemas.Session:
        return await self._rows.get(session)

    async def revoke(self, session: str) -> schemas.Session:
        return await self._rows.revoke(session)

    async def revoke_all(self, user: str) -> int:
        """End every session of a user; returns how many."""
        with named("user", user, "llmgate users list"):
            body = schemas.SessionsOf(user=user)
            answer = await self._connection.ask("POST", f"{_PATH}/revoke", schemas.SessionsRevoked, body=body)
        return answer.revoked
