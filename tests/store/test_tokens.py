"""Registration tokens: used exactly as often as they allow."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from llmgate.daemon.auth.principals import Role
from llmgate.daemon.store import tokens, users
from llmgate.daemon.store.database import Database
from llmgate.errors import AuthenticationFailed, Conflict, InvalidRequest, NotFound
from tests.services.fixtures import opened

NOW = datetime.now(UTC)


@pytest.mark.parametrize("allowed", [1, 7])
async def test_of_64_concurrent_redemptions_only_the_allowed_ones_make_a_user(database_url: str, allowed: int) -> None:
    async with opened(database_url) as one, opened(database_url) as two:
        async with one.begin() as tx:
            token = await tokens.create(tx, digest="d", max_uses=allowed)

        async def redeem(database: Database, number: int) -> None:
            async with database.begin() as tx:
                await tokens.take(tx, "d")
                await users.create(tx, name=f"user{number}", password_hash=None, role=Role.USER)

        tries = [redeem((one, two)[number % 2], number) for number in range(64)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        async with one.read() as tx:
            assert (await tokens.get(tx, token.id)).uses == allowed
            assert len(await users.page(tx)) == allowed
    refused = [result for result in results if result is not None]
    assert {type(result) for result in refused} == {AuthenticationFailed}
    assert len(refused) == 64 - allowed


async def test_a_use_is_given_back_when_the_user_cannot_be_made(database: Database) -> None:
    async with database.begin() as tx:
        token = await tokens.create(tx, digest="d")
        await users.create(tx, name="ann", password_hash=None, role=Role.USER)

    async def redeem() -> None:
        async with database.begin() as tx:
            await tokens.take(tx, "d")
            await users.create(tx, name="ann", password_hash=None, role=Role.USER)

    with pytest.raises(Conflict):
        await redeem()
    async with database.read() as tx:
        assert (await tokens.get(tx, token.id)).uses == 0


async def test_spent_expired_revoked_and_unknown_tokens_are_refused_alike(database: Database) -> None:
    async with database.begin() as tx:
        await tokens.create(tx, digest="spent")
        await tokens.take(tx, "spent")
        await tokens.create(tx, digest="expired", expires_at=NOW - timedelta(seconds=1))
        revoked = await tokens.create(tx, digest="revoked")
        await tokens.revoke(tx, revoked.id)
        answers = set()
        for digest in ("spent", "expired", "revoked", "unknown", "", "\0", "' OR ''='"):
            assert await tokens.usable_id(tx, digest) is None
            with pytest.raises(AuthenticationFailed) as caught:
                await tokens.take(tx, digest)
            answers.add(caught.value.text())
    assert len(answers) == 1


async def test_a_token_carries_what_it_grants(database: Database) -> None:
    async with database.begin() as tx:
        made = await tokens.create(
            tx,
            digest="d",
            label="Summer school",
            role=Role.ADMIN,
            level=4,
            max_uses=3,
            expires_at=NOW + timedelta(days=1),
            created_by="root",
        )
        assert await tokens.usable_id(tx, "d")
        taken = await tokens.take(tx, "d")
        assert (taken.role, taken.level, taken.uses, taken.max_uses) == (Role.ADMIN, 4, 1, 3)
        assert (taken.label, taken.created_by, taken.expires_at) == ("Summer school", "root", NOW + timedelta(days=1))
        assert await tokens.page(tx) == [taken]
        assert await tokens.page(tx, after=made.id) == []
        await tokens.delete(tx, made.id)
        for attempt in (tokens.get(tx, made.id), tokens.delete(tx, made.id), tokens.revoke(tx, made.id)):
            with pytest.raises(NotFound):
                await attempt


async def test_revoking_again_is_a_conflict(database: Database) -> None:
    async with database.begin() as tx:
        token = await tokens.create(tx, digest="d")
        assert (await tokens.revoke(tx, token.id)).revoked_at is not None
        with pytest.raises(Conflict):
            await tokens.revoke(tx, token.id)


async def test_uses_level_and_label_are_checked(database: Database) -> None:
    async with database.begin() as tx:
        for attempt in (
            tokens.create(tx, digest="d", max_uses=0),
            tokens.create(tx, digest="d", max_uses=2**40),
            tokens.create(tx, digest="d", level=6),
            tokens.create(tx, digest="d", label="\x1b[31mred"),
        ):
            with pytest.raises(InvalidRequest):
                await attempt
