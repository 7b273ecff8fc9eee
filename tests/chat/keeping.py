"""Conversations to look at: made as a turn makes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.auth.principals import Role
from llmgate.daemon.store import conversations, messages, users
from llmgate.daemon.store.chats import conversations as table
from llmgate.daemon.store.conversations import Conversation
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.messages import Message

PNG = ("image/png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
GIF = ("image/gif", b"GIF89a;")


async def a_user(database: Database, name: str = "ann") -> str:
    """The id of a new user."""
    async with database.begin() as tx:
        return (await users.create(tx, name=name, password_hash=None, role=Role.USER)).id


async def begun(
    database: Database, user_id: str, title: str = "A chat", said: datetime | None = None, **more: Any
) -> Conversation:
    """A conversation without messages, or one in which something was said at this time for the last time."""
    async with database.begin() as tx:
        made = await conversations.create(tx, user_id=user_id, title=title, model="llama3.2", **more)
        if said is not None:
            await tx.execute(table.update().where(table.c.id == made.id).values(updated_at=said))
        return await conversations.get(tx, made.id, user_id)


async def asked(tx: AsyncConnection, conversation: str, parent: str | None, text: str, *images: Any) -> Message:
    return await messages.add(tx, conversation_id=conversation, parent=parent, role="user", content=text, images=images)


async def answered(tx: AsyncConnection, question: Message, text: str, **more: Any) -> Message:
    values = {"model": "llama3.2", "outcome": "completed", **more}
    return await messages.add(
        tx, conversation_id=question.conversation_id, parent=question.id, role="assistant", content=text, **values
    )


async def exchange(database: Database, conversation: Conversation, question: str, answer: str, *images: Any) -> Message:
    """A question below the leaf, and its answer, which is returned."""
    async with database.begin() as tx:
        leaf = (await conversations.get(tx, conversation.id, conversation.user_id)).leaf
        return await answered(tx, await asked(tx, conversation.id, leaf, question, *images), answer)
