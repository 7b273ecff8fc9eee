"""What people call the owners of requests, and whom they mean by a name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event

from llmgate.daemon.auth import owners as module
from llmgate.daemon.auth.ip_whitelist import Whitelist
from llmgate.daemon.auth.owners import FRESH_SECONDS, PAUSE_SECONDS, Owners
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.store import keys, users
from llmgate.daemon.store import whitelist as whitelisted
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.users import User
from llmgate.errors import StoreUnavailable
from tests.auth.conftest import Clock


@pytest.fixture
def owners(database: Database, whitelist: Whitelist, clock: Clock) -> Owners:
    return Owners(database, whitelist, clock=clock.monotonic)


async def a_key(database: Database, key_id: str, name: str, user_id: str | None = None) -> None:
    async with database.begin() as tx:
        await keys.create(tx, key_id=key_id, digest=key_id, last4="last", name=name, user_id=user_id, role=Role.USER)


@contextmanager
def questions(database: Database) -> Iterator[list[str]]:
    """The SELECTs that are sent inside of the block."""
    sent: list[str] = []

    def hear(_connection: Connection, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            sent.append(statement)

    assert database._opened is not None
    engine = database._opened.sync_engine
    event.listen(engine, "before_cursor_execute", hear)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", hear)


async def test_a_name_tells_whose_key_it_is(
    owners: Owners, database: Database, whitelist: Whitelist, ann: User
) -> None:
    await a_key(database, "theapp0001", "worker")
    await a_key(database, "theapp0002", "editor", ann.id)
    async with database.begin() as tx:
        await whitelisted.create(tx, cidr="10.0.0.0/8", label="the office")
        await whitelisted.create(tx, cidr="10.1.0.0/16")
        await whitelisted.create(tx, cidr="2001:db8:1::/48", label="the lab")
        await whitelisted.create(tx, cidr="2001:db8:2::7/128", label="a printer")
        await whitelisted.create(tx, cidr="2001:db8:3::7/128", label="a printer")
        await whitelisted.create(tx, cidr="2001:db8:3::8/128", label="a scanner")
        await whitelist.reload(tx)
    expected = {
        "key:theapp0001": "worker",
        "key:theapp0002": "ann/editor",
        f"session:{ann.id}": "ann",
        "address:10.0.0.1": "the office",
        "address:10.1.0.1": "10.1.0.1",
        "address:2001:db8::/64": "2001:db8::/64",
        "address:2001:db8:1:7::/64": "the lab",
        "address:2001:db8:2::/64": "a printer",
        "address:2001:db8:3::/64": "2001:db8:3::/64",
        "address:2001:db8:1::1": "the lab",  # of an earlier version
        "address:somewhere": "somewhere",
        "key:gone000001": "key:gone000001",
        "session:gone": "session:gone",
        "of a later version": "of a later version",
    }
    assert await owners.names(expected) == expected
    assert await owners.names([]) == {}


async def test_many_are_looked_up_at_once_and_not_again_for_a_while(
    owners: Owners, database: Database, clock: Clock, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await a_key(database, f"theapp000{number}", f"worker-{number}")
    listed = [*(f"key:theapp000{number}" for number in range(5)), f"session:{ann.id}", "key:gone000001"]
    with questions(database) as sent:
        names = await owners.names(listed)
        assert names["key:theapp0003"] == "worker-3"
        assert len(sent) == 2
        many = await asyncio.gather(*(owners.names(listed) for _ in range(10)))
        assert many == [names] * 10
        clock.advance(FRESH_SECONDS - 1)
        await owners.names(listed)
        assert len(sent) == 2
        async with database.begin() as tx:
            await keys.update(tx, "theapp0003", name="renamed")
        sent.clear()
        clock.advance(1)
        # Of several who look at the same time one asks.
        again = await asyncio.gather(*(owners.names(listed) for _ in range(10)))
        assert again == [names | {"key:theapp0003": "renamed"}] * 10
        assert len(sent) == 2
        sent.clear()
        monkeypatch.setattr(module, "AT_ONCE", 2)
        clock.advance(FRESH_SECONDS)
        assert (await owners.names(listed)) == again[0]
        assert len(sent) == 4  # six keys and a user


async def test_only_so_many_names_are_remembered(
    owners: Owners, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    for number in range(5):
        await a_key(database, f"theapp000{number}", f"worker-{number}")
    listed = {f"key:theapp000{number}": f"worker-{number}" for number in range(5)}
    for _ in range(2):
        assert await owners.names(listed) == listed
        assert len(owners._known) == 3


async def test_without_a_database_the_last_known_names_count(
    owners: Owners, database: Database, clock: Clock, ann: User
) -> None:
    mine = f"session:{ann.id}"
    await owners.names([mine])
    clock.advance(FRESH_SECONDS)
    await database.close()
    assert await owners.names([mine, "key:theapp0001"]) == {mine: "ann", "key:theapp0001": "key:theapp0001"}
    with pytest.raises(StoreUnavailable):
        await owners.called("ann")
    assert await owners.called("key:theapp0001") == {"key:theapp0001"}
    await database.connect()
    await a_key(database, "theapp0001", "worker")
    with questions(database) as sent:
        await owners.names(["key:theapp0001"])
        assert sent == []  # it was away a moment ago
        clock.advance(PAUSE_SECONDS)
        assert await owners.names([mine, "key:theapp0001"]) == {mine: "ann", "key:theapp0001": "worker"}


async def test_a_database_that_hangs_holds_a_list_up_for_a_moment_only(
    owners: Owners, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def hangs(*_: object) -> dict[str, str]:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()
        return {}

    monkeypatch.setattr(module, "PATIENCE", 0.2)
    monkeypatch.setattr(users, "names", hangs)
    lists = await asyncio.gather(*(owners.names(["session:a"]) for _ in range(3)))
    assert lists == [{"session:a": "session:a"}] * 3
    assert asked == 1


async def test_whom_a_name_means(owners: Owners, database: Database, ann: User) -> None:
    async with database.begin() as tx:
        bob = await users.create(tx, name="Bob", password_hash=None, role=Role.USER)
    await a_key(database, "theapp0001", "worker")
    await a_key(database, "theapp0002", "editor", ann.id)
    await a_key(database, "theapp0003", "bob", ann.id)
    hers = {f"session:{ann.id}", "key:theapp0002", "key:theapp0003"}
    meant: dict[str, set[str]] = {
        "worker": {"key:theapp0001"},
        "theapp0001": {"key:theapp0001"},
        "ann": hers,
        "ANN": hers,
        ann.id: hers,
        "ann/editor": {"key:theapp0002"},
        "ann/theapp0002": {"key:theapp0002"},
        "bob/editor": set(),
        "nobody/editor": set(),
        "ann/worker": set(),
        "bob": {f"session:{bob.id}", "key:theapp0003"},
        "nobody": set(),
        "/": set(),
        "": set(),
        "a\0b": set(),
        "\ud800": set(),
        "10.0.0.1": {"address:10.0.0.1"},
        "::ffff:10.0.0.1": {"address:10.0.0.1"},
        "2001:db8::1": {"address:2001:db8::/64"},
        "2001:db8::/64": {"address:2001:db8::/64"},
        "2001:db8::1/64": {"address:2001:db8::/64"},
        "2001:db8::/48": set(),
        "10.0.0.1/64": set(),
        "::1": {"address:::1"},
        "address:2001:db8::1": {"address:2001:db8::/64"},
        "address:2001:db8::/64": {"address:2001:db8::/64"},
        "address:10.0.0.1": {"address:10.0.0.1"},
        "session:gone": {"session:gone"},
        "other:gone": set(),
    }
    assert {name: set(await owners.called(name)) for name in meant} == meant
    async with database.begin() as tx:
        await keys.revoke(tx, "theapp0001")
    await a_key(database, "theapp0004", "worker", bob.id)
    assert await owners.called("worker") == {"key:theapp0001", "key:theapp0004"}
