"""Users, and the administrators that an installation must not lose."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.auth.principals import Role
from llmgate.daemon.store import users
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.users import User
from llmgate.errors import Conflict, InvalidRequest, NotFound


async def _add(tx: AsyncConnection, name: str, role: Role = Role.USER) -> User:
    return await users.create(tx, name=name, password_hash=None, role=role)


async def test_a_user_is_found_by_id_and_by_name_in_any_spelling(database: Database) -> None:
    async with database.begin() as tx:
        made = await users.create(tx, name="Zoë", password_hash="$x", role=Role.USER, level=4)
        assert await users.get(tx, made.id) == made
        assert await users.by_name(tx, "zOË") == made
        assert await users.by_name(tx, "Zoe\N{COMBINING DIAERESIS}") == made
        assert await users.resolve(tx, made.id) == await users.resolve(tx, "zoë") == made
        assert await users.password_hash(tx, made.id) == "$x"
    assert (made.name, made.level, made.disabled, made.last_login_at) == ("Zoë", 4, False, None)
    assert made.created_at.utcoffset() is not None


@pytest.mark.parametrize("name", ["nobody", "", "a\0", "\ud800", "x" * 10_000, "%", "' OR 1=1 --"])
async def test_a_user_that_does_not_exist_is_not_found(database: Database, name: str) -> None:
    async with database.begin() as tx:
        await _add(tx, "somebody")
        with pytest.raises(NotFound):
            await users.resolve(tx, name)


@pytest.mark.parametrize("name", ["", " ", "a b", "a\0b", "a/b", "\ud800", "x" * 65, "<script>", "a\u202eb", "🙂"])
async def test_an_unusable_name_is_refused(database: Database, name: str) -> None:
    async with database.begin() as tx:
        with pytest.raises(InvalidRequest) as caught:
            await _add(tx, name)
    assert caught.value.param == "name"


async def test_names_that_differ_only_in_case_are_the_same(database: Database) -> None:
    async with database.begin() as tx:
        await _add(tx, "Straße")
    for taken in ("straße", "STRASSE", "\N{FULLWIDTH LATIN SMALL LETTER S}trasse"):
        with pytest.raises(Conflict, match=r"already a user"):
            async with database.begin() as tx:
                await _add(tx, taken)


async def test_of_concurrent_creations_of_one_name_one_succeeds(database: Database) -> None:
    async def create() -> User:
        async with database.begin() as tx:
            return await _add(tx, "ann")

    results = await asyncio.gather(*(create() for _ in range(20)), return_exceptions=True)
    assert [type(result) for result in results].count(User) == 1
    assert [type(result) for result in results].count(Conflict) == 19


async def test_pages_follow_each_other_in_the_order_of_creation(database: Database) -> None:
    names = [f"user-{number:02}" for number in range(25)]
    for name in names:
        async with database.begin() as tx:
            await _add(tx, name)
    listed: list[User] = []
    async with database.read() as tx:
        while page := await users.page(tx, after=listed[-1].id if listed else None, limit=10):
            listed += page
        assert sorted(user.name for user in listed) == names
        assert [user.id for user in listed] == sorted(user.id for user in listed)
        assert [user.name for user in await users.page(tx, search="R-03")] == ["user-03"]
        assert await users.page(tx, search="%") == []


async def test_only_what_is_named_is_changed(database: Database) -> None:
    async with database.begin() as tx:
        made = await users.create(tx, name="ann", password_hash="$x", role=Role.USER, level=2)
        renamed = await users.update(tx, made.id, name="Anna")
        assert (renamed.name, renamed.level, renamed.role) == ("Anna", 2, Role.USER)
        assert renamed.updated_at > made.updated_at
        assert (await users.update(tx, made.id, level=None)).level is None
        assert (await users.update(tx, made.id, disabled=True)).disabled
        assert (await users.by_name(tx, "ANNA")).id == made.id
        with pytest.raises(InvalidRequest):
            await users.update(tx, made.id, level=6)
        with pytest.raises(NotFound):
            await users.update(tx, "nobody", level=1)
        await users.set_password(tx, made.id, "$y")
        await users.touch_login(tx, made.id)
        assert await users.password_hash(tx, made.id) == "$y"
        assert (await users.get(tx, made.id)).last_login_at is not None


async def test_a_name_cannot_be_changed_to_a_taken_one(database: Database) -> None:
    async with database.begin() as tx:
        await _add(tx, "ann")
        bob = await _add(tx, "bob")
    with pytest.raises(Conflict, match="ANN"):
        async with database.begin() as tx:
            await users.update(tx, bob.id, name="ANN")


async def test_the_last_administrator_stays(database: Database) -> None:
    async with database.begin() as tx:
        root = await users.create_first_admin(tx, name="root", password_hash="$x")
        other = await _add(tx, "other", Role.ADMIN)
        await users.update(tx, other.id, disabled=True)
        for change in (
            users.delete(tx, root.id),
            users.update(tx, root.id, disabled=True),
            users.update(tx, root.id, role=Role.USER),
        ):
            with pytest.raises(Conflict, match="last administrator"):
                await change
        await users.update(tx, other.id, disabled=False)
        await users.delete(tx, root.id)
        with pytest.raises(NotFound):
            await users.get(tx, root.id)


async def test_two_administrators_who_remove_each_other_at_once_do_not_both_succeed(database: Database) -> None:
    for number in range(10):
        async with database.begin() as tx:
            pair = [await _add(tx, f"{side}{number}", Role.ADMIN) for side in ("left", "right")]

        async def remove(user: User) -> None:
            async with database.begin() as tx:
                await users.delete(tx, user.id)

        results = await asyncio.gather(*(remove(user) for user in pair), return_exceptions=True)
        async with database.begin() as tx:
            left = await users.page(tx)
        assert len(left) == 1, results


async def test_of_concurrent_first_administrators_there_is_exactly_one(database: Database) -> None:
    async def create(number: int) -> User:
        async with database.begin() as tx:
            return await users.create_first_admin(tx, name=f"admin{number}", password_hash="$x")

    results = await asyncio.gather(*(create(number) for number in range(64)), return_exceptions=True)
    assert [type(result) for result in results].count(User) == 1
    assert [type(result) for result in results].count(Conflict) == 63
    async with database.read() as tx:
        assert len(await users.page(tx)) == 1
        assert await users.any_admin(tx)


async def test_a_first_administrator_that_is_rolled_back_leaves_the_place_free(database: Database) -> None:
    async def fail_halfway() -> None:
        async with database.begin() as tx:
            await users.create_first_admin(tx, name="root", password_hash="$x")
            raise Conflict

    with pytest.raises(Conflict):
        await fail_halfway()
    async with database.begin() as tx:
        assert not await users.any_admin(tx)
        await users.create_first_admin(tx, name="root", password_hash="$x")


@pytest.mark.parametrize("way", ["created", "promoted"])
async def test_any_administrator_closes_the_door_for_a_first_one(database: Database, way: str) -> None:
    async with database.begin() as tx:
        ann = await _add(tx, "ann", Role.ADMIN if way == "created" else Role.USER)
        if way == "promoted":
            assert not await users.any_admin(tx)
            await users.update(tx, ann.id, role=Role.ADMIN)
        assert await users.any_admin(tx)
        with pytest.raises(Conflict, match="already an administrator"):
            await users.create_first_admin(tx, name="eve", password_hash="$x")
