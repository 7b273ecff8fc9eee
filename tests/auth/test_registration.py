"""Registering with a token, and making the first administrator."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Protocol

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.auth import registration
from llmgate.daemon.auth.passwords import PasswordHasher
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.auth.registration import register
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.auth.setup import FirstAdmin
from llmgate.daemon.auth.throttle import LoginThrottle
from llmgate.daemon.changes import Changes
from llmgate.daemon.store import tokens, users
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.types import utc_now
from llmgate.daemon.store.users import User
from llmgate.errors import AuthenticationFailed, Conflict, InvalidRequest, TooManyAttempts
from tests.auth.conftest import PASSWORD, Clock


class Registering(Protocol):
    """``register`` with all that it needs of a daemon."""

    async def __call__(self, *, token: str, name: str, password: str = PASSWORD, address: str = "") -> User: ...


@pytest.fixture
def registering(
    database: Database, changes: Changes, hasher: PasswordHasher, secret: ServerSecret, throttle: LoginThrottle
) -> Registering:
    async def registering(*, token: str, name: str, password: str = PASSWORD, address: str = "") -> User:
        return await register(
            database, changes, hasher, secret, throttle, token=token, name=name, password=password, address=address
        )

    return registering


@pytest.fixture
async def token(database: Database, secret: ServerSecret) -> str:
    """A token for two users of level 4."""
    text, digest = registration.new_token(secret)
    async with database.begin() as tx:
        await tokens.create(tx, digest=digest, max_uses=2, level=4)
    return text


async def _uses(database: Database) -> list[int]:
    async with database.read() as tx:
        return [token.uses for token in await tokens.page(tx)]


async def test_who_registers_gets_what_the_token_grants(
    database: Database, hasher: PasswordHasher, registering: Registering, token: str
) -> None:
    user = await registering(token=f" {token}\n", name="ann")
    assert (user.name, user.role, user.level) == ("ann", Role.USER, 4)
    async with database.read() as tx:
        assert await hasher.verify(PASSWORD, await users.password_hash(tx, user.id))
    assert await _uses(database) == [1]


@pytest.mark.parametrize(
    ("name", "password", "error"),
    [("taken", PASSWORD, Conflict), ("no good", PASSWORD, InvalidRequest), ("bob", "short", InvalidRequest)],
)
async def test_a_failed_registration_leaves_the_token_unused(
    database: Database, registering: Registering, token: str, name: str, password: str, error: type[Exception]
) -> None:
    async with database.begin() as tx:
        await users.create(tx, name="taken", password_hash=None, role=Role.USER)
    with pytest.raises(error):
        await registering(token=token, name=name, password=password)
    assert await _uses(database) == [0]


async def test_bad_tokens_are_refused_alike_and_before_anything_else(
    database: Database, secret: ServerSecret, registering: Registering, token: str
) -> None:
    unknown, _ = registration.new_token(secret)
    expired, digest = registration.new_token(secret)
    async with database.begin() as tx:
        await tokens.create(tx, digest=digest, expires_at=utc_now() - timedelta(seconds=1))
    answers = set()
    for bad in (
        "",
        "llmr_",
        token[:-1],
        token[:-1] + "_",
        token.lower(),
        unknown,
        expired,
        "\0",
        "\ud800",
        "x" * 10_000,
    ):
        with pytest.raises(AuthenticationFailed) as caught:
            await registering(token=bad, name="no good", password="short")
        answers.add(caught.value.text())
    assert len(answers) == 1


async def test_of_two_who_want_one_name_at_once_one_gets_it_and_one_use_is_gone(
    database: Database, registering: Registering, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both find the name free, as neither is done before the other has looked."""
    both, check_free = asyncio.Barrier(2), users.check_free

    async def looks(tx: AsyncConnection, name: str) -> None:
        await check_free(tx, name)
        await both.wait()

    monkeypatch.setattr(users, "check_free", looks)
    tries = (registering(token=token, name=name) for name in ("ann", "Ann"))
    async with asyncio.timeout(20):
        results = await asyncio.gather(*tries, return_exceptions=True)
    assert {type(result) for result in results} == {User, Conflict}
    assert await _uses(database) == [1]


async def test_who_tries_taken_names_with_a_token_is_slowed_down_and_nobody_else(
    database: Database, registering: Registering, clock: Clock, token: str
) -> None:
    async with database.begin() as tx:
        await users.create(tx, name="taken", password_hash=None, role=Role.USER)

    async def attempt(name: str, *, password: str = PASSWORD, address: str = "10.0.0.1") -> User:
        return await registering(token=token, name=name, password=password, address=address)

    for _ in range(9):  # what cannot be a name or a password tells nobody anything
        with pytest.raises(InvalidRequest):
            await attempt("bob", password="short")
    for _ in range(5):
        with pytest.raises(Conflict):
            await attempt("TAKEN")
    with pytest.raises(TooManyAttempts) as caught:
        await attempt("bob")
    assert caught.value.retry_after == pytest.approx(1)
    assert (await attempt("ann", address="10.0.0.2")).name == "ann"
    clock.advance(1)
    assert (await attempt("bob")).name == "bob"


async def test_concurrent_registrations_share_the_uses_between_them(
    database: Database, changes: Changes, secret: ServerSecret, throttle: LoginThrottle, token: str
) -> None:
    hasher = PasswordHasher(waiting=64)
    try:
        tries = (
            register(
                database, changes, hasher, secret, throttle, token=token, name=f"u{n}", password=PASSWORD,
                address=f"10.0.0.{n}",
            )
            for n in range(24)
        )  # fmt: skip
        results = await asyncio.gather(*tries, return_exceptions=True)
    finally:
        hasher.close()
    assert [type(result) for result in results].count(User) == 2
    assert [type(result) for result in results].count(AuthenticationFailed) == 22


async def test_the_setup_token_makes_the_first_administrator_once(
    database: Database, changes: Changes, hasher: PasswordHasher
) -> None:
    setup = FirstAdmin(database, changes, hasher)
    token = await setup.prepare()
    assert token is not None
    admin = await setup.redeem(f"{token}\n", "root", PASSWORD)
    assert admin.role is Role.ADMIN
    with pytest.raises(AuthenticationFailed):
        await setup.redeem(token, "eve", PASSWORD)
    assert await FirstAdmin(database, changes, hasher).prepare() is None


async def test_a_wrong_setup_token_is_refused_and_a_bad_name_leaves_it_usable(
    database: Database, changes: Changes, hasher: PasswordHasher
) -> None:
    setup = FirstAdmin(database, changes, hasher)
    with pytest.raises(AuthenticationFailed):
        await setup.redeem("", "root", PASSWORD)
    token = await setup.prepare()
    assert token is not None
    for wrong in ("", token[:-1], token + "x", token.upper(), "\ud800"):
        with pytest.raises(AuthenticationFailed):
            await setup.redeem(wrong, "root", PASSWORD)
    for name, password in (("no good", PASSWORD), ("root", "short")):
        with pytest.raises(InvalidRequest):
            await setup.redeem(token, name, password)
    assert (await setup.redeem(token, "root", PASSWORD)).name == "root"


async def test_of_concurrent_redemptions_over_two_daemons_one_succeeds(
    database: Database, changes: Changes, hasher: PasswordHasher
) -> None:
    daemons = [FirstAdmin(database, changes, hasher), FirstAdmin(database, changes, hasher)]
    printed = [await daemon.prepare() for daemon in daemons]
    tries = [
        daemon.redeem(token or "", f"admin{side}{number}", PASSWORD)
        for side, (daemon, token) in enumerate(zip(daemons, printed, strict=True))
        for number in range(8)
    ]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert [type(result) for result in results].count(User) == 1
    async with database.read() as tx:
        assert len(await users.page(tx)) == 1
