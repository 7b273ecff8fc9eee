"""The noun ``whitelist``, as the client sees it."""

from __future__ import annotations

from llmgate import schemas
from llmgate.client.noun import Noun
from llmgate.connection import Connection

_PATH = "/admin/v1/whitelist"


class Whitelist(Noun[schemas.WhitelistEntry, schemas.WhitelistEntry]):
    """Networks that need no credential."""

    def __init__(self, connection: Connection) -> None:
        page = schemas.Page[schemas.WhitelistEntry]
        super().__init__(connection, "whitelist entry", _PATH, schemas.WhitelistEntry, schemas.WhitelistEntry, page)

    async def test(self, address: str | None = None) -> schemas.WhitelistTest:
        """What the whitelist says of an address; None: of where this client comes from."""
        return await self._connection.ask("GET", f"{_PATH}/test", schemas.WhitelistTest, query={"address": address})
