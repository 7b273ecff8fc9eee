"""The noun ``settings``, as the client sees it."""

from __future__ import annotations

from typing import Any

from llmgate import schemas
from llmgate.client.noun import PAGE, Noun
from llmgate.connection import Connection, segment

_PATH = "/admin/v1/settings"


class Settings:
    """The settings of a daemon, and who decides them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows = Noun(connection, "setting", _PATH, schemas.Setting, schemas.Setting, schemas.Page[schemas.Setting])

    async def page(self, after: str | None = None, limit: int = PAGE) -> schemas.Page[schemas.Setting]:
        return await self._rows.page(after, limit)

    async def rows(self, limit: int) -> list[schemas.Setting]:
        """In the order of the configuration file."""
        return await self._rows.rows(limit)

    # What is not found here is told by the daemon, with the nearest name: better than that there is no such row.

    async def get(self, key: str) -> schemas.Setting:
        return await self._connection.ask("GET", _at(key), schemas.Setting)

    async def set(self, key: str, value: Any, *, force: bool = False) -> schemas.Setting:
        """Change it in all daemons. Raises ReadOnly, or WouldLockOut unless ``force``."""
        body = schemas.SettingValue(value=value)
        return await self._connection.ask("PUT", _at(key), schemas.Setting, body=body, query=_query(force))

    async def reset(self, key: str, *, force: bool = False) -> schemas.Setting:
        """Take a change back. Raises NotFound when there is none."""
        return await self._connection.ask("DELETE", _at(key), schemas.Setting, query=_query(force))

    async def reload(self, *, force: bool = False) -> schemas.ConfigReload:
        """Let this daemon read its file again. Raises ConfigError when it is not usable; nothing has changed then."""
        return await self._connection.ask("POST", f"{_PATH}/reload", schemas.ConfigReload, query=_query(force))


def _at(key: str) -> str:
    return f"{_PATH}/{segment(key)}"


def _query(force: bool) -> dict[str, Any]:
    return {"force": "true"} if force else {}
