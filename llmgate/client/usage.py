"""What was used: sums, and the log of single requests."""

from __future__ import annotations

from typing import Any

from llmgate import schemas
from llmgate.client.noun import Noun
from llmgate.connection import Connection


class Usage:
    """Sums of requests and tokens. ``query`` are the parameters of the API: group_by, since, user …"""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def report(self, **query: Any) -> schemas.UsageReport:
        return await self._connection.ask("GET", "/admin/v1/usage", schemas.UsageReport, query=query)

    async def csv(self, **query: Any) -> str:
        """The same for a spreadsheet."""
        response = await self._connection.send("GET", "/admin/v1/usage", query={**query, "format": "csv"})
        return response.text


def requests(connection: Connection) -> Noun[schemas.RequestRecord, schemas.RequestRecord]:
    """Finished requests, newest first: they can be listed, and nothing else."""
    row, page = schemas.RequestRecord, schemas.Page[schemas.RequestRecord]
    return Noun(connection, "request", "/admin/v1/requests", row, row, page)
