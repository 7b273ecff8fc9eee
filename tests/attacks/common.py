"""What several kinds of attacks need."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from unittest import mock

import httpx
from sqlalchemy import event

from llmgate.daemon.auth.passwords import PasswordHasher
from tests.admin.harness import PASSWORD, Site

OWN_ORIGIN = "http://127.0.0.1:1"
"""Of the gateway's own page."""
ELSEWHERE, WHITELISTED = "198.51.100.1", "203.0.113.9"
USERS = "/admin/v1/users"
_numbers = itertools.count(1)


def name(what: str) -> str:
    """One that is not taken yet."""
    return f"{what}-a{next(_numbers)}"


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


def plain(answer: httpx.Response) -> tuple[int, str, tuple[tuple[str, str], ...]]:
    """All of an answer that could tell something: status, body and headers, without its own number and time."""
    number = answer.headers.get("x-request-id", "-")
    headers = [(key, value) for key, value in answer.headers.multi_items() if key not in ("date", "x-request-id")]
    return answer.status_code, answer.text.replace(number, ""), tuple(sorted(headers))


async def status_as(site: Site, headers: dict[str, str], path: str = USERS) -> int:
    """What the admin API answers to these credentials."""
    return (await site.nobody.get(path, headers=headers)).status_code


async def a_user(site: Site, role: str = "user", **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A new user, and the tokens of a login."""
    made = await site.made("users", name=name("user"), password=PASSWORD, role=role, **more)
    return made, await logged_in(site, made["name"])


async def logged_in(site: Site, user: str) -> dict[str, Any]:
    answer = await site.login(user)
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


@asynccontextmanager
async def whitelisted(site: Site, cidr: str = f"{WHITELISTED}/32") -> AsyncIterator[None]:
    """For the time of the block, this network needs no credential."""
    entry = await site.made("whitelist", cidr=cidr)
    try:
        yield
    finally:
        await site.admin.delete(f"/admin/v1/whitelist/{entry['id']}", params={"force": "true"})


class Work:
    """What the gateway did: questions to the database about users and keys, and passwords that it compared."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.comparisons = 0

    @property
    def amount(self) -> tuple[int, int]:
        return len(self.statements), self.comparisons


@contextmanager
def worked(site: Site) -> Iterator[Work]:
    """Counts the work of the block. How long it takes depends on the machine, how much it is does not."""
    engine: Any = site.gateway.services.database._opened
    work, check = Work(), PasswordHasher._check

    def noted(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT") and ("FROM users" in statement or "FROM api_keys" in statement):
            work.statements.append(statement)

    def counted(self: PasswordHasher, secret: bytes, hashed: str) -> bool:
        work.comparisons += 1
        return check(self, secret, hashed)

    event.listen(engine.sync_engine, "before_cursor_execute", noted)
    try:
        with mock.patch.object(PasswordHasher, "_check", counted):
            yield work
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", noted)
