"""Sixty-four at once, over several daemons of one database: for the first administrator, and for a token's last use."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.config import DatabaseSettings, ServerSettings
from llmgate.daemon.auth import passwords, registration
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.auth.sealed import new_setup_token
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.store import tokens, users
from llmgate.daemon.store.database import Database
from llmgate.errors import AuthenticationFailed
from tests.attacks.cases import Attack, repelled
from tests.fakes import FakeOllama
from tests.gateway.harness import run_gateway, settings_for, upstream_for
from tests.gateway.ready_made import client_of
from tests.services.fixtures import opened

AT_ONCE = 64
PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True)
class Daemons:
    """Several of one database. Each has a token in ``setups`` that makes the first administrator."""

    clients: Sequence[httpx.AsyncClient]
    database_url: str
    secret: ServerSecret
    setups: Sequence[str]

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        async with opened(self.database_url) as database:
            yield database


@asynccontextmanager
async def daemons(folder: Path, database_url: str, count: int = 2) -> AsyncIterator[Daemons]:
    """In this process, each with everything of its own: only the database is one. A password takes no time here."""
    setups = [new_setup_token() for _ in range(count)]
    async with AsyncExitStack() as stack:
        stack.enter_context(mock.patch.object(passwords, "_MEMORY_KIB", 8))
        stack.enter_context(mock.patch.object(passwords, "_PASSES", 1))
        ollama = await stack.enter_async_context(FakeOllama())
        server = ServerSettings(port=0, drain_seconds=5, trusted_proxies=["127.0.0.1"])
        settings = settings_for(folder, [upstream_for(ollama)], server=server)
        where = DatabaseSettings.model_validate({"url": database_url})
        settings = settings.model_copy(update={"database": where})
        clients, secret = [], None
        for number in range(count):
            gateway = await stack.enter_async_context(run_gateway(settings, f"test{number}"))
            await gateway.services.first_admin.prepare(setups[number])
            secret = gateway.services.secret
            clients.append(await stack.enter_async_context(client_of(gateway.url, timeout=60)))
        assert secret is not None
        yield Daemons(clients, database_url, secret, setups)


async def at_once(daemons: Daemons, path: str, bodies: Sequence[dict[str, Any]]) -> Counter[int]:
    """All of these at the same moment, in turn to each daemon and each from an address of its own, as many who try from
    one are slowed down; how often each status was answered."""
    posts = [
        daemons.clients[number % len(daemons.clients)].post(
            path, json=body, headers={"x-forwarded-for": f"198.51.100.{number}"}
        )
        for number, body in enumerate(bodies)
    ]
    return Counter(answer.status_code for answer in await asyncio.gather(*posts))


async def administrators(daemons: Daemons) -> int:
    async with daemons.database() as database, database.read() as tx:
        counted = select(func.count()).select_from(users.users).where(users.users.c.role == Role.ADMIN)
        return int(await tx.scalar(counted) or 0)


async def race_for_the_first_administrator(daemons: Daemons) -> None:
    setups = [daemons.setups[n % len(daemons.setups)] for n in range(AT_ONCE)]
    bodies = [{"token": token, "name": f"admin{n}", "password": PASSWORD} for n, token in enumerate(setups)]
    statuses = await at_once(daemons, "/gate/auth/setup", bodies)
    repelled(statuses[201] == 1, f"{statuses[201]} were told that they are the administrator")
    repelled(await administrators(daemons) == 1, f"there are {await administrators(daemons)} administrators")
    assert set(statuses) <= {201, 401, 409, 429}, statuses
    again = await at_once(daemons, "/gate/auth/setup", [{**body, "name": f"x{body['name']}"} for body in bodies[:4]])
    repelled(again[201] == 0, "the setup token is good once more")


async def race_for_a_token(daemons: Daemons, allowed: int = 7) -> None:
    text, digest = registration.new_token(daemons.secret)
    async with daemons.database() as database, database.begin() as tx:
        token = await tokens.create(tx, digest=digest, max_uses=allowed)
    bodies = [{"token": text, "name": f"{token.id.lower()}.{n}", "password": PASSWORD} for n in range(AT_ONCE)]
    statuses = await at_once(daemons, "/gate/auth/register", bodies)
    async with daemons.database() as database, database.read() as tx:
        made = [user for user in await users.page(tx, limit=500) if user.name.startswith(f"{token.id.lower()}.")]
        uses = (await tokens.get(tx, token.id)).uses
    repelled(len(made) == statuses[201] == allowed, f"{len(made)} users came of a token for {allowed}: {statuses}")
    repelled(uses == allowed, f"{uses} uses are counted of {allowed}")
    assert set(statuses) <= {201, 401, 429}, statuses


async def race_for_the_last_use(daemons: Daemons) -> None:
    await race_for_a_token(daemons, 1)


async def race_for_a_name(daemons: Daemons) -> None:
    """One name, and a token with a use for everybody: one user, and one use."""
    text, digest = registration.new_token(daemons.secret)
    async with daemons.database() as database, database.begin() as tx:
        token = await tokens.create(tx, digest=digest, max_uses=AT_ONCE)
    name = f"only.{token.id.lower()}"
    spellings = [name, name.upper(), name.title(), name.replace("n", "\uff4e")]
    bodies = [{"token": text, "name": spellings[n % 4], "password": PASSWORD} for n in range(AT_ONCE)]
    statuses = await at_once(daemons, "/gate/auth/register", bodies)
    async with daemons.database() as database, database.read() as tx:
        uses = (await tokens.get(tx, token.id)).uses
    repelled(statuses[201] == 1, f"{statuses[201]} users have one name")
    repelled(uses == 1, f"{uses} uses are gone for one user")


# -- without the controls: first a look, then the deed --------------------------------------------------------


def administrators_by_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each looks before, in a transaction of its own, as every daemon has done when it started."""

    async def create(tx: AsyncConnection, *, name: str, password_hash: str) -> Any:
        return await users.create(tx, name=name, password_hash=password_hash, role=Role.ADMIN)

    monkeypatch.setattr(users, "create_first_admin", create)


def tokens_by_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token was usable when it was looked at; that it still is, nobody asks."""

    async def take(tx: AsyncConnection, digest: str) -> tokens.RegistrationToken:
        mine = tokens.tokens.c.digest == digest
        found = await tx.scalar(select(tokens.tokens.c.id).where(mine))
        if found is None:
            raise AuthenticationFailed
        await tx.execute(tokens.tokens.update().where(mine).values(uses=tokens.tokens.c.uses + 1))
        return await tokens.get(tx, found)

    monkeypatch.setattr(tokens, "take", take)


def names_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "_name_key", lambda name: name)


ATTACKS: list[Attack[Daemons]] = [
    Attack(
        "the first administrator", race_for_the_first_administrator, administrators_by_a_look, "one unique row decides"
    ),
    Attack("a token for seven", race_for_a_token, tokens_by_a_look, "uses are taken by one conditional UPDATE"),
    Attack(
        "the last use of a token", race_for_the_last_use, tokens_by_a_look, "uses are taken by one conditional UPDATE"
    ),
    Attack("one name", race_for_a_name, names_as_they_are_written, "names are unique as they look"),
]
