"""The noun ``activity``, as the client sees it."""

from __future__ import annotations

from typing import Any

from llmgate import schemas
from llmgate.client.noun import PAGE, Noun
from llmgate.connection import Connection

_PATH = "/admin/v1/activity"
VERIFY_SECONDS = 900.0
"""Longest wait for a verification: some twenty seconds for a million entries on a small machine."""


class Activity:
    """Who changed what, who logged in, and whether the log is whole. Filters are those of the API."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._entries = Noun(
            connection,
            "entry",
            _PATH,
            schemas.ActivityEntry,
            schemas.ActivityEntry,
            schemas.Page[schemas.ActivityEntry],
        )

    async def page(
        self, after: str | None = None, limit: int = PAGE, **filters: Any
    ) -> schemas.Page[schemas.ActivityEntry]:
        return await self._entries.page(after, limit, **filters)

    async def rows(self, limit: int, **filters: Any) -> list[schemas.ActivityEntry]:
        """The last ``limit`` entries, newest first."""
        return await self._entries.rows(limit, **filters)

    async def get(self, seq: int) -> schemas.ActivityEntry:
        return await self._entries.get(str(seq))

    async def newer(self, seq: int, limit: int, **filters: Any) -> tuple[list[schemas.ActivityEntry], bool]:
        """Entries behind the one with this number, newest first, at most ``limit``; and whether these are all."""
        found: list[schemas.ActivityEntry] = []
        after = None
        while len(found) < limit:
            page = await self.page(after, min(PAGE, limit - len(found)), **filters)
            found += [entry for entry in page.data if entry.seq > seq]
            after = page.next
            if after is None or not page.data or page.data[-1].seq <= seq:
                return found, True
        return found, False

    async def verify(
        self, expected: schemas.ActivityHead | None = None, *, silence: float | None = None
    ) -> schemas.ActivityVerdict:
        """Prove that the log is whole; ``expected`` is a head that was noted earlier. A long log takes a while:
        ``silence`` is how many seconds to wait, None as long as for other answers."""
        body = schemas.ActivityVerify(expected=expected)
        path, kind = f"{_PATH}/verify", schemas.ActivityVerdict
        return await self._connection.ask("POST", path, kind, body=body, silence=silence)
