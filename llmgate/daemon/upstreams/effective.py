"""Which upstreams there are: those of the configuration file, and those that were added at run time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import structlog
from pydantic import SecretStr, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.config import Settings, UpstreamSettings
from llmgate.daemon.store import upstreams
from llmgate.daemon.store.upstreams import StoredUpstream
from llmgate.daemon.upstreams.sealing import TokenSeal, Unreadable

Origin = Literal["file", "database", "default"]

SETTINGS = tuple(name for name in UpstreamSettings.model_fields if name != "api_key")
"""What an upstream has in the file and in the database alike."""


@dataclass(frozen=True, slots=True)
class Known:
    """An upstream, and who says that it exists."""

    settings: UpstreamSettings
    origin: Origin


async def read(tx: AsyncConnection, settings: Settings, seal: TokenSeal) -> list[Known]:
    """The upstreams of this configuration and this database. See ``merge``."""
    return merge(settings, await upstreams.all(tx), seal)


def merge(settings: Settings, stored: Sequence[StoredUpstream], seal: TokenSeal) -> list[Known]:
    """The file's upstreams in its order, then the database's by name. Of two with one name the file's counts.

    Where the file names none, the built-in default stands in for as long as the database has none either.
    """
    in_file = settings.upstreams if "upstreams" in settings.model_fields_set else []
    names = {one.name for one in in_file}
    known = [Known(one, "file") for one in in_file]
    known += [Known(one, "database") for row in stored if row.name not in names and (one := restored(row, seal))]
    return known or [Known(one, "default") for one in settings.upstreams]


def restored(row: StoredUpstream, seal: TokenSeal) -> UpstreamSettings | None:
    """An upstream out of the database; None, and a line in the log, when it cannot be used."""
    log = structlog.get_logger("llmgate.upstreams")
    token = ""
    if row.api_key_sealed is not None:
        try:
            token = seal.open(row.api_key_sealed, name=row.name, url=row.url)
        except Unreadable:
            # It goes on without: the upstream refuses us then, and says so where its state is shown.
            log.error("upstream_key_unreadable", upstream=row.name, hint="Set it anew: llmgate upstreams update")
    try:
        values = {name: getattr(row, name) for name in SETTINGS}
        return UpstreamSettings(**values, api_key=SecretStr(token))
    except ValidationError:
        log.error("upstream_unusable", upstream=row.name, hint="Delete it: llmgate upstreams delete")
        return None
