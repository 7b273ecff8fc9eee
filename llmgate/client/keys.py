"""API keys, as the client sees them."""

from __future__ import annotations

from llmgate import schemas
from llmgate.client.noun import Noun
from llmgate.connection import Connection


class Keys(Noun[schemas.ApiKey, schemas.NewApiKey]):
    """The verbs of keys. ``force``: also when it is the key that this client itself uses."""

    def __init__(self, connection: Connection) -> None:
        page = schemas.Page[schemas.ApiKey]
        super().__init__(connection, "key", "/admin/v1/keys", schemas.ApiKey, schemas.NewApiKey, page)

    async def rotate(self, key: str, body: schemas.KeyRotate) -> schemas.NewApiKey:
        """A new secret for the same key."""
        with self._named(key):
            return await self._connection.ask("POST", f"{self._at(key)}/rotate", self._new, body=body)

    async def revoke(self, row: str, *, force: bool = False) -> schemas.ApiKey:
        with self._named(row):
            query = {"force": True} if force else None
            return await self._connection.ask("POST", f"{self._at(row)}/revoke", self._row, query=query)
