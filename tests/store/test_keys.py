"""API keys as they are stored."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.auth.principals import Limits, Role
from llmgate.daemon.ids import random_base62
from llmgate.daemon.store import keys, users
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.keys import ApiKey, KeyState
from llmgate.errors import Conflict, InvalidRequest, NotFound

NOW = datetime.now(UTC)


async def _add(tx: AsyncConnection, name: str, *, user_id: str | None = None) -> ApiKey:
    key_id = random_base62(10)
    return await keys.create(tx, key_id=key_id, digest=f"digest-{key_id}", last4="abcd", name=name, user_id=user_id)


async def test_a_key_comes_back_as_it_was_made(database: Database) -> None:
    async with database.begin() as tx:
        owner = await users.create(tx, name="ann", password_hash=None, role=Role.ADMIN)
        made = await keys.create(
            tx,
            key_id="aB3dE5gH7j",
            digest="d" * 64,
            last4="wxyz",
            name="nightly",
            user_id=owner.id,
            role=Role.ADMIN,
            level=5,
            models=["llama3:latest", "qwen"],
            weight=2.5,
            expires_at=NOW + timedelta(days=1),
        )
        assert await keys.by_digest(tx, "d" * 64) == made
        assert await keys.get(tx, "aB3dE5gH7j") == await keys.resolve(tx, "nightly") == made
    assert made.is_live(NOW)
    assert not made.is_live(NOW + timedelta(days=2))


async def test_no_models_is_not_the_same_as_every_model(database: Database) -> None:
    async with database.begin() as tx:
        key = await _add(tx, "a")
        assert (await keys.get(tx, key.id)).models is None
        assert (await keys.update(tx, key.id, models=[])).models == []
        assert (await keys.update(tx, key.id, models=None)).models is None


async def test_the_digest_decides_whole_and_in_case(database: Database) -> None:
    async with database.begin() as tx:
        for end in "ab":
            key_id = f"key{end}"
            await keys.create(tx, key_id=key_id, digest="f" * 63 + end, last4="0000", name=f"key-{end}")
        assert (await keys.by_digest(tx, "f" * 63 + "a")).id == "keya"
        for wrong in ("f" * 63 + "A", "f" * 63, "f" * 63 + "c", "", "%"):
            with pytest.raises(NotFound):
                await keys.by_digest(tx, wrong)


async def test_a_name_is_free_again_when_its_key_is_revoked(database: Database) -> None:
    async with database.begin() as tx:
        old = await _add(tx, "ci")
    with pytest.raises(Conflict, match="'ci'"):
        async with database.begin() as tx:
            await _add(tx, "ci")
    async with database.begin() as tx:
        assert (await keys.revoke(tx, old.id)).revoked_at is not None
        assert (await keys.resolve(tx, "ci")).id == old.id
        new = await _add(tx, "ci")
        assert (await keys.resolve(tx, "ci")).id == new.id
        assert not (await keys.get(tx, old.id)).is_live(NOW)


async def test_revoking_again_is_a_conflict_and_keeps_the_first_time(database: Database) -> None:
    async with database.begin() as tx:
        key = await _add(tx, "ci")
        first = await keys.revoke(tx, key.id)
        with pytest.raises(Conflict, match="revoked already"):
            await keys.revoke(tx, key.id)
        assert (await keys.get(tx, key.id)).revoked_at == first.revoked_at


async def test_changing_revoking_or_deleting_what_does_not_exist_is_not_found(database: Database) -> None:
    async with database.begin() as tx:
        for attempt in (
            keys.update(tx, "nothing", level=1),
            keys.update(tx, "nothing"),
            keys.revoke(tx, "nothing"),
            keys.delete(tx, "nothing"),
            _add(tx, "orphan", user_id="nobody"),
        ):
            with pytest.raises(NotFound):
                await attempt


async def test_an_unusable_name_level_or_weight_is_refused(database: Database) -> None:
    async with database.begin() as tx:
        key = await _add(tx, "ci")
        for attempt in (
            _add(tx, "Has Spaces"),
            keys.update(tx, key.id, name="x" * 41),
            keys.update(tx, key.id, level=0),
            keys.update(tx, key.id, weight=0),
            keys.update(tx, key.id, weight=float("nan")),
            keys.update(tx, key.id, weight=float("inf")),
        ):
            with pytest.raises(InvalidRequest):
                await attempt
        assert await keys.get(tx, key.id) == key


async def test_a_user_takes_its_keys_along(database: Database) -> None:
    async with database.begin() as tx:
        owner = await users.create(tx, name="ann", password_hash=None, role=Role.USER)
        own, other = await _add(tx, "own", user_id=owner.id), await _add(tx, "other")
        assert [key.id for key in await keys.page(tx, user_id=owner.id)] == [own.id]
        await users.delete(tx, owner.id)
        assert await keys.page(tx) == [other]


async def test_pages_follow_each_other_in_the_order_of_creation(database: Database) -> None:
    made: list[str] = []
    for number in range(12):
        async with database.begin() as tx:
            made.append((await _add(tx, f"key-{number}")).id)
    listed: list[ApiKey] = []
    async with database.begin() as tx:
        while page := await keys.page(tx, after=listed[-1].id if listed else None, limit=5):
            listed += page
        assert [key.id for key in listed] == made
        assert [key.name for key in await keys.page(tx, search="-1")] == ["key-1", "key-10", "key-11"]
        await keys.delete(tx, made[4])
        with pytest.raises(InvalidRequest, match="cannot go on"):
            await keys.page(tx, after=made[4])


async def test_the_last_use_only_moves_forward(database: Database) -> None:
    later, earlier = NOW + timedelta(minutes=2), NOW + timedelta(minutes=1)
    async with database.begin() as tx:
        first, second, third = [await _add(tx, name) for name in ("a", "b", "c")]
        await keys.touch_used(tx, {})
        await keys.touch_used(tx, {first.id: later, second.id: earlier, "gone": later})
        await keys.touch_used(tx, {first.id: earlier, second.id: later})
        assert (await keys.get(tx, first.id)).last_used_at == later
        assert (await keys.get(tx, second.id)).last_used_at == later
        assert (await keys.get(tx, third.id)).last_used_at is None


async def test_a_rotation_keeps_the_secret_before_for_a_while(database: Database) -> None:
    hour = timedelta(hours=1)
    async with database.begin() as tx:
        key = await _add(tx, "ci")
        first = f"digest-{key.id}"
        rotated = await keys.rotate(tx, key.id, digest="second", last4="2222", overlap=hour)
        assert (rotated.last4, rotated.rotated_at is None) == ("2222", False)
        assert rotated.previous_until is not None
        now = rotated.previous_until - hour
        assert await keys.by_secret(tx, "second", now) == (rotated, None)
        assert await keys.by_secret(tx, first, now) == (rotated, rotated.previous_until)
        with pytest.raises(NotFound):
            await keys.by_secret(tx, first, rotated.previous_until)
        await keys.rotate(tx, key.id, digest="third", last4="3333", overlap=hour)
        assert (await keys.by_secret(tx, "second", now))[0].id == key.id
        with pytest.raises(NotFound):
            await keys.by_secret(tx, first, now)
        ended = await keys.rotate(tx, key.id, digest="fourth", last4="4444", overlap=timedelta())
        assert ended.previous_until is None
        with pytest.raises(NotFound):
            await keys.by_secret(tx, "third", now)
        await keys.revoke(tx, key.id)
        with pytest.raises(Conflict):
            await keys.rotate(tx, key.id, digest="fifth", last4="5555", overlap=hour)


async def test_a_key_is_listed_under_the_state_that_it_has(database: Database) -> None:
    async with database.begin() as tx:
        owner = await users.create(tx, name="ann", password_hash=None, role=Role.USER)
        for number, (revoked, expired, disabled, owned) in enumerate(itertools.product((False, True), repeat=4)):
            user_id = owner.id if owned else None
            key = await _add(tx, f"k{number}", user_id=user_id)
            past = NOW - timedelta(days=1) if expired else NOW + timedelta(days=1)
            await keys.update(tx, key.id, disabled=disabled, expires_at=past)
            if revoked:
                await keys.revoke(tx, key.id)
        await users.update(tx, owner.id, disabled=True)
        listed = {state: await keys.page(tx, state=state) for state in KeyState}
        assert {state: len(found) for state, found in listed.items()} == {
            KeyState.ACTIVE: 1,
            KeyState.OWNER_DISABLED: 1,
            KeyState.DISABLED: 2,
            KeyState.EXPIRED: 4,
            KeyState.REVOKED: 8,
        }
        assert all(key.state is state for state, found in listed.items() for key in found)
        assert [key.is_live(NOW) for key in await keys.page(tx)].count(True) == 1


async def test_limits_come_back_as_they_were_set(database: Database) -> None:
    async with database.begin() as tx:
        key = await _add(tx, "a")
        assert key.limits is None
        changed = await keys.update(tx, key.id, tokens_per_month=10**13, cidrs=["10.1.2.3/8", "::ffff:10.0.0.0/104"])
        assert changed.limits == Limits(tokens_per_month=10**13)
        assert changed.cidrs == ["10.0.0.0/8"]
        with pytest.raises(InvalidRequest):
            await keys.update(tx, key.id, cidrs=["office"])
