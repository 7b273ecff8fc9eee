"""The noun ``models``, as the client sees it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from llmgate import schemas
from llmgate.client.noun import PAGE
from llmgate.connection import Connection, lines, raise_for_status, revealed, segment
from llmgate.errors import UpstreamCut

_PATH = "/admin/v1/models"
SILENCE_SECONDS = 660.0
"""Longest silence during a pull; the daemon gives an upstream up a little sooner."""


class Models:
    """The models of all upstreams."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def page(self, after: str | None = None, limit: int = PAGE, **filters: Any) -> schemas.Page[schemas.Model]:
        """``filters``: search."""
        query = {"after": after, "limit": limit, **filters}
        return await self._connection.ask("GET", _PATH, schemas.Page[schemas.Model], query=query)

    async def get(self, model: str) -> schemas.ModelDetails:
        return await self._connection.ask("GET", f"{_PATH}/{segment(model)}", schemas.ModelDetails)

    async def loaded(self) -> list[schemas.LoadedModel]:
        """The models in memory, by upstream."""
        return (await self._connection.ask("GET", f"{_PATH}/loaded", schemas.Page[schemas.LoadedModel])).data

    async def pull(self, body: schemas.ModelPull) -> AsyncGenerator[schemas.PullEvent, None]:
        """Load a model: what happens, until it has ended on every upstream. To stop iterating ends the pull.

        What went wrong on an upstream is told by its last event. Raises UpstreamCut when the daemon ends it.
        """
        content = json.dumps(revealed(body)).encode()
        headers = {"content-type": "application/json"}
        running: dict[str, bool] = {}
        stream = self._connection.stream("POST", f"{_PATH}/pull", content, headers, silence=SILENCE_SECONDS)
        async with stream as response:
            await raise_for_status(response)
            async for line in lines(response):
                with self._connection.readable():
                    event = schemas.PullEvent.model_validate_json(line)
                running[event.upstream] = not event.done
                yield event
        if not running or any(running.values()):
            raise UpstreamCut("The pull was ended before the model was there.", hint="Pull it again: it goes on.")

    async def copy(self, body: schemas.ModelCopy) -> schemas.ModelChange:
        return await self._connection.ask("POST", f"{_PATH}/copy", schemas.ModelChange, body=body)

    async def delete(self, model: str, pool: str | None = None) -> schemas.ModelChange:
        """``pool`` is needed where several have it."""
        path = f"{_PATH}/{segment(model)}"
        return await self._connection.ask("DELETE", path, schemas.ModelChange, query={"pool": pool})
