"""What the database adds to the configuration, read without leaving a trace."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.config import LoadedSettings, Settings, UpstreamSettings
from llmgate.daemon.auth import secrets
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.clock import utc_now
from llmgate.daemon.live import LiveSettings
from llmgate.daemon.operations.installation import DatabaseFacts, facts, looked_at
from llmgate.daemon.services import seal_of, secret_path
from llmgate.daemon.store import instance, upstreams
from llmgate.daemon.store import settings as stored_settings
from llmgate.daemon.store.database import reason_of
from llmgate.daemon.upstreams import effective
from llmgate.errors import InvalidRequest, LLMGateError, StoreUnavailable

SECONDS = 10.0
"""Longest wait for all of it: other checks wait for it as well."""


@dataclass(frozen=True, slots=True)
class Stored:
    """``seen_at`` is our time when the database told its own. ``unreadable`` names upstreams whose token cannot be
    decrypted."""

    facts: DatabaseFacts
    seen_at: datetime
    fingerprint: str | None
    settings: Settings
    upstreams: Sequence[UpstreamSettings]
    unreadable: Sequence[str]


async def read_stored(loaded: LoadedSettings) -> Stored:
    """Raises StoreUnavailable or another error that says what is wrong with the database."""
    settings = loaded.settings
    try:
        async with asyncio.timeout(SECONDS), looked_at(settings) as tx:
            found = await facts(settings, tx)
            seen_at = utc_now()
            if found.revision != found.head:  # its tables may not be there yet
                fingerprint = await instance.get(tx, instance.FINGERPRINT) if found.revision else None
                return Stored(found, seen_at, fingerprint, settings, settings.upstreams, ())
            fingerprint = await instance.get(tx, instance.FINGERPRINT)
            live = await _live(tx, loaded)
            known, unreadable = await _upstreams(tx, settings)
    except TimeoutError:
        raise StoreUnavailable("The database does not answer in time.") from None
    except DBAPIError as failure:
        raise StoreUnavailable(
            f"The database cannot be read: {reason_of(failure)}.", hint="Give llmgate a database of its own."
        ) from failure
    return Stored(found, seen_at, fingerprint, live, known, unreadable)


async def _live(tx: AsyncConnection, loaded: LoadedSettings) -> Settings:
    live = LiveSettings(loaded)
    try:
        return live.composed(live.usable(await stored_settings.all(tx)))
    except InvalidRequest:  # together they do not fit: a daemon goes on with the file's
        return loaded.settings


async def _upstreams(tx: AsyncConnection, settings: Settings) -> tuple[list[UpstreamSettings], list[str]]:
    rows = await upstreams.all(tx)
    try:
        secret = secrets.load_or_create(secret_path(settings), may_create=False)
    except LLMGateError:  # another check tells of it
        secret = ServerSecret(b"")
    known = [one.settings for one in effective.merge(settings, rows, seal_of(secret))]
    tokens = {one.name: one.api_key.get_secret_value() for one in known}
    return known, [row.name for row in rows if row.api_key_sealed is not None and not tokens.get(row.name, "")]
