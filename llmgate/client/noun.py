"""What the nouns of the admin API have in common, as the client sees them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Generic, TypeVar

from llmgate import schemas
from llmgate.connection import Connection, segment
from llmgate.errors import NotFound

PAGE = 200
"""Rows asked for at once."""
Row = TypeVar("Row", bound=schemas.Answer)
New = TypeVar("New", bound=schemas.Answer)


class Noun(Generic[Row, New]):
    """The verbs that the nouns of the admin API share. Rows are found by id, users and keys also by name.

    ``force`` is for what would otherwise be refused because it locks the caller out (WouldLockOut).
    What is not found is told by ``what`` it is and its name.
    """

    def __init__(
        self,
        connection: Connection,
        what: str,
        path: str,
        row: type[Row],
        new: type[New],
        page: type[schemas.Page[Row]],
    ) -> None:
        self._connection, self._what, self._path = connection, what, path
        self._row, self._new, self._page = row, new, page

    async def page(self, after: str | None = None, limit: int = PAGE, **filters: Any) -> schemas.Page[Row]:
        query = {"after": after, "limit": limit, **filters}
        return await self._connection.ask("GET", self._path, self._page, query=query)

    async def rows(self, limit: int, **filters: Any) -> list[Row]:
        """The first ``limit`` rows, fetched page by page."""
        rows: list[Row] = []
        after = None
        while len(rows) < limit:
            page = await self.page(after, min(PAGE, limit - len(rows)), **filters)
            rows += page.data
            after = page.next
            if after is None:
                break
        return rows

    async def get(self, row: str) -> Row:
        with self._named(row):
            return await self._connection.ask("GET", self._at(row), self._row)

    async def create(self, body: schemas.Request, *, force: bool = False) -> New:
        return await self._connection.ask("POST", self._path, self._new, query=_forced(force), body=body)

    async def update(self, row: str, body: schemas.Update, *, force: bool = False) -> Row:
        with self._named(row):
            return await self._connection.ask("PATCH", self._at(row), self._row, query=_forced(force), body=body)

    async def revoke(self, row: str) -> Row:
        with self._named(row):
            return await self._connection.ask("POST", f"{self._at(row)}/revoke", self._row)

    async def delete(self, row: str, *, force: bool = False) -> None:
        with self._named(row):
            await self._connection.send("DELETE", self._at(row), query=_forced(force))

    def _named(self, row: str) -> AbstractContextManager[None]:
        return named(self._what, row, f"llmgate {self._path.rpartition('/')[2]} list")

    def _at(self, row: str) -> str:
        return f"{self._path}/{segment(row)}"


def _forced(force: bool) -> dict[str, Any] | None:
    return {"force": True} if force else None


@contextmanager
def named(what: str, name: str, see: str) -> Iterator[None]:
    """Say which thing is not there, and the command that lists what is."""
    try:
        yield
    except NotFound as missing:
        if type(missing) is NotFound:  # its subclasses are about something else
            missing.message = f"There is no {what} {name!r}."
            missing.hint = f"See them with: {see}"
        raise
