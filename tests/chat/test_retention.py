"""Conversations are forgotten when nothing was said in them for as long as the setting says; 0 days: all of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from llmgate.config import ChatSettings, Settings
from llmgate.daemon.chain import ActivityChain
from llmgate.daemon.retention import Retention
from llmgate.daemon.store import chats, conversations
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.types import utc_now
from llmgate.errors import NotFound
from tests.chat.keeping import PNG, a_user, begun, exchange
from tests.services.fixtures import opened

NOW = utc_now()


def retention(database: Database, days: int) -> Retention:
    settings = Settings(chat=ChatSettings(conversation_days=days))
    return Retention(database, ActivityChain(database, bytes(32)), lambda: settings, clock=utc_now, pause=0)


async def forgotten(database: Database, days: int) -> int:
    cleaned = await retention(database, days).round()
    if cleaned is None:  # another round has begun within the half hour
        cleaned = await retention(database, days).clean()
    return cleaned["conversations"]


async def titles(database: Database, user_id: str) -> list[str]:
    async with database.read() as tx:
        return [one.title for one in await conversations.page(tx, user_id=user_id)]


async def test_only_what_is_old_is_forgotten_with_all_that_belongs_to_it(database: Database) -> None:
    ann, bob = await a_user(database), await a_user(database, "bob")
    for name, days in (("old", 31), ("older", 400), ("young", 29)):
        for user in (ann, bob):
            one = await begun(database, user, name)
            await exchange(database, one, "q", "a", PNG)
            async with database.begin() as tx:
                table = chats.conversations
                moved = table.update().where(table.c.id == one.id)
                await tx.execute(moved.values(updated_at=NOW - timedelta(days=days)))
    gone_on = await begun(database, ann, "went on", said=NOW - timedelta(days=40))
    await exchange(database, gone_on, "q", "a")
    named = await begun(database, ann, "named", said=NOW - timedelta(days=40))
    async with database.begin() as tx:
        await conversations.update(tx, named.id, title="named anew")
    assert await forgotten(database, 30) == 5
    assert (await titles(database, ann), await titles(database, bob)) == (["went on", "young"], ["young"])
    async with database.read() as tx:
        left = [await tx.scalar(select(func.count()).select_from(one)) for one in (chats.messages, chats.images)]
    assert left == [6, 2]
    assert await forgotten(database, 30) == 0


async def test_with_0_days_all_are_forgotten_in_the_next_round(database: Database) -> None:
    ann = await a_user(database)
    for number in range(3):
        await exchange(database, await begun(database, ann, str(number)), "q", "a")
    assert await forgotten(database, 1) == 0
    assert await forgotten(database, 0) == 3
    assert await titles(database, ann) == []


async def test_however_many_and_large_they_are_all_of_them_go(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In pieces: a piece that is smaller than another kind's says nothing about what is left."""
    monkeypatch.setattr(conversations, "_PIECE_MESSAGES", 12)
    ann = await a_user(database)
    for number in range(30):
        one = await begun(database, ann)
        await exchange(database, one, "q", "a" * (100_000 if number == 7 else 1))
    assert await forgotten(database, 0) == 30


async def test_a_conversation_that_goes_on_while_it_is_old_is_kept(database_url: str) -> None:
    """The database decides at the moment of the deletion, not before."""
    async with opened(database_url) as first, opened(database_url) as second:
        ann = await a_user(first)
        chosen = [await begun(first, ann, str(number), said=NOW - timedelta(days=40)) for number in range(20)]
        await asyncio.gather(forgotten(first, 30), *(_say(second, one.id, ann) for one in chosen))
        left = await titles(first, ann)
        async with first.read() as tx:
            said = await tx.scalar(select(func.count(func.distinct(chats.messages.c.conversation_id))))
    assert len(left) == said, "what is left is what was said something in, and nothing of that is lost"


async def _say(database: Database, conversation: str, user: str) -> None:
    async with database.begin() as tx:
        found = {one.id: one for one in await conversations.page(tx, user_id=user)}
    if conversation in found:
        try:
            await exchange(database, found[conversation], "q", "a")
        except NotFound:  # it was deleted first
            return
