"""What every test needs and none changes, made once: it would cost more than most tests do."""

from __future__ import annotations

import asyncio
import atexit
import functools
import shutil
import ssl
import tempfile
from pathlib import Path

import httpx
from passlib.hash import argon2

from llmgate.config import Settings
from llmgate.daemon.services import database_url
from llmgate.daemon.store.database import Database, sqlite_url
from llmgate.daemon.store.files import prepare_private


def client_of(url: str, timeout: float = 10) -> httpx.AsyncClient:
    """A client; httpx alone would read all authorities of the web for each."""
    return httpx.AsyncClient(base_url=url, timeout=timeout, trust_env=False, verify=_no_authorities())


async def migrated(settings: Settings) -> None:
    """Put a migrated database where a daemon with these settings would make one itself."""
    path = settings.state.dir / "llmgate.db"
    if database_url(settings) == sqlite_url(path) and not path.exists():
        template = await asyncio.to_thread(_template)
        prepare_private(path)
        shutil.copyfile(template, path)


async def hashed(password: str) -> str:
    """The hash of a password."""
    return await asyncio.to_thread(_hashed, password)


@functools.cache
def _no_authorities() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@functools.cache
def _template() -> Path:
    directory = tempfile.mkdtemp(prefix="llmgate-template-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = Path(directory) / "llmgate.db"

    async def make() -> None:
        database = Database(sqlite_url(path))
        await database.connect()
        await database.migrate()
        await database.close()

    asyncio.run(make())
    return path


@functools.cache
def _hashed(password: str) -> str:
    # A hash says itself what it costs: checking this one takes no time, in the same way as any other.
    return str(argon2.using(type="ID", memory_cost=8, time_cost=1, parallelism=1).hash(password))
