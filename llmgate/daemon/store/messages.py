"""Messages: the tree of a conversation. A message has at most one ``parent``, and any number of answers to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.ids import new_id
from llmgate.daemon.store import conversations
from llmgate.daemon.store import images as pictures
from llmgate.daemon.store.chats import LONGEST_ANSWER, messages, search_key
from llmgate.daemon.store.images import ImageRef
from llmgate.daemon.store.types import storable, utc_now
from llmgate.errors import Conflict, NotFound

Role = Literal["user", "assistant"]
Outcome = Literal["completed", "stopped", "failed"]

_INLINE = 10_000
"""Characters that are folded in a few milliseconds, whatever they are."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message. ``duration`` is in seconds; what only answers have is None for a user's message."""

    id: str
    conversation_id: str
    parent: str | None
    role: Role
    content: str
    thinking: str | None
    images: list[ImageRef]
    model: str | None
    created_at: datetime
    outcome: Outcome | None
    error_code: str | None
    input_tokens: int | None
    output_tokens: int | None
    duration: float | None
    notice: str | None


_NAMES = [field.name for field in fields(Message) if field.name != "images"]
_COLUMNS = [messages.c[name] for name in _NAMES]


async def tree(tx: AsyncConnection, conversation_id: str) -> list[Message]:
    """All messages of a conversation, the oldest first: each one comes behind its parent."""
    return await _where(tx, messages.c.conversation_id == conversation_id)


async def path(tx: AsyncConnection, conversation_id: str, leaf: str) -> list[Message]:
    """The messages from the beginning to ``leaf``. NotFound when that is not of this conversation."""
    here = messages.c.conversation_id == conversation_id
    branch = select(messages.c.id, messages.c.parent).where(here, messages.c.id == leaf).cte("branch", recursive=True)
    above = select(messages.c.id, messages.c.parent).where(here, messages.c.id == branch.c.parent)
    branch = branch.union(above)
    found = await _where(tx, messages.c.id.in_(select(branch.c.id)))
    if not found:
        raise _missing()
    return found


async def get(tx: AsyncConnection, conversation_id: str, message_id: str) -> Message:
    """NotFound also for one of another conversation."""
    found = await _where(tx, (messages.c.conversation_id == conversation_id) & (messages.c.id == message_id))
    if not found:
        raise _missing()
    return found[0]


async def add(
    tx: AsyncConnection,
    *,
    conversation_id: str,
    parent: str | None,
    role: Role,
    content: str,
    message_id: str | None = None,
    images: Iterable[tuple[str, bytes]] = (),
    thinking: str | None = None,
    model: str | None = None,
    outcome: Outcome | None = None,
    error_code: str | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    duration: float | None = None,
    notice: str | None = None,
) -> Message:
    """Add a message below ``parent``, which becomes the leaf of its conversation. ``images`` are pairs of media type
    and bytes.

    NotFound: the conversation, or the parent in it. InvalidRequest: an image that is none of ours. Conflict: a user's
    message for which there is no room; an answer is kept always.
    """
    said, thought = storable(content, LONGEST_ANSWER), thinking and storable(thinking, LONGEST_ANSWER)
    given = list(images)
    text = len(said.encode()) + len((thought or "").encode())
    image_bytes = sum(len(data) for _, data in given)
    if role == "user":
        await conversations.check_room(tx, conversation_id, text=text, image_bytes=image_bytes)
    if parent is not None:
        await get(tx, conversation_id, parent)
    message_id = message_id or new_id()
    number = await conversations.grow(tx, conversation_id, leaf=message_id, text=text, image_bytes=image_bytes)
    values: dict[str, Any] = {
        "id": message_id,
        "conversation_id": conversation_id,
        "parent": parent,
        "role": role,
        "content": said,
        "thinking": thought or None,
        "model": model,
        "created_at": utc_now(),
        "outcome": outcome,
        "error_code": error_code,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "duration": duration,
        "notice": notice,
    }
    await tx.execute(messages.insert().values(**values, number=number, folded=await _key(said)))
    return Message(**values, images=await pictures.add(tx, message_id, given))


async def correct(tx: AsyncConnection, message_id: str, content: str) -> Message:
    """Put another text in the place of an answer's. NotFound; Conflict for a user's message, and without room."""
    here = messages.c.id == message_id
    columns = (messages.c.conversation_id, messages.c.role, messages.c.content)
    row = (await tx.execute(select(*columns).where(here))).first()
    if row is None:
        raise _missing()
    if row.role != "assistant":
        raise Conflict("Only answers are corrected.", hint="Send the question again: it gets a branch of its own.")
    said = storable(content, LONGEST_ANSWER)
    await conversations.resize(tx, row.conversation_id, len(said.encode()) - len(row.content.encode()))
    await tx.execute(messages.update().where(here).values(content=said, folded=await _key(said)))
    return await get(tx, row.conversation_id, message_id)


async def _where(tx: AsyncConnection, condition: ColumnElement[bool]) -> list[Message]:
    rows = (await tx.execute(select(*_COLUMNS).where(condition).order_by(messages.c.number))).all()
    shown = await pictures.refs(tx, condition) if rows else {}
    return [_message(row, shown) for row in rows]


async def _key(said: str) -> str | None:
    """``search_key``, beside the event loop where it takes a while."""
    return await asyncio.to_thread(search_key, said) if len(said) > _INLINE else search_key(said)


def _message(row: Sequence[Any], shown: dict[str, list[ImageRef]]) -> Message:
    values = dict(zip(_NAMES, row, strict=True))
    return Message(**values, images=shown.get(values["id"], []))


def _missing() -> NotFound:
    return NotFound("There is no such message in this conversation.")
