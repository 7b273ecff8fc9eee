"""Conversations: each is of one user, and nobody else ever sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack, cast

from sqlalchemy import ColumnElement, exists, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.ids import new_id
from llmgate.daemon.store.chats import conversations, folded, messages, search_text
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.types import columns_of, storable, utc_now
from llmgate.errors import Conflict, InvalidRequest, NotFound, PermissionDenied

MOST_CONVERSATIONS = 10_000
"""Of one user; like the other bounds, so that nobody fills the disk, and everything is shown, searched and deleted
within the time that the database is given."""
MOST_MESSAGES = 5_000
"""Of one conversation."""
LARGEST_TEXT = 16 * 1024 * 1024
"""Bytes of all texts of one conversation: who opens it gets all of them."""
LARGEST_IMAGES = 64 * 1024 * 1024
"""Bytes of all pictures of one conversation."""
LARGEST_OF_USER = 512 * 1024 * 1024
"""Bytes of everything that one user keeps."""
MESSAGE_BYTES = 500
"""What a message takes beside its text, and counts for: so the number of a user's messages has a bound, too."""
PIECE = 500
"""Conversations that are deleted in one transaction, when they are small. SQLite has one writer."""
_PIECE_MESSAGES = 2_000
_BYTES_LIKE_A_MESSAGE = 16 * 1024
"""To delete so many bytes takes about as long as to delete one more message."""
UNTITLED = "New chat"

TitledBy = Literal["user", "auto"]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation without its messages. ``leaf`` is the end of the branch that is shown, ``updated_at`` when the
    last message was added or corrected; ``titled_by`` is "auto" until its user has named it."""

    id: str
    user_id: str
    title: str
    titled_by: TitledBy
    model: str
    system: str | None
    parameters: dict[str, Any]
    leaf: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def place(self) -> str:
        """Where it stands in the list, for ``page``: it holds also when the conversation moves or is deleted."""
        return f"{self.updated_at.isoformat()} {self.id}"


class ConversationChanges(TypedDict, total=False):
    title: str
    titled_by: TitledBy
    model: str
    system: str | None
    parameters: dict[str, Any]
    leaf: str | None


_COLUMNS = columns_of(conversations, Conversation)


def check_kept(conversation_days: int) -> None:
    """Raises PermissionDenied where the setting says that nothing is kept."""
    if not conversation_days:
        raise PermissionDenied(
            "This gateway keeps no conversations.", hint="Start a temporary chat: it ends with its page."
        )


async def create(
    tx: AsyncConnection,
    *,
    user_id: str,
    title: str,
    model: str,
    system: str | None = None,
    parameters: dict[str, Any] | None = None,
    titled_by: TitledBy = "auto",
) -> Conversation:
    """Begin a conversation. Conflict when the user has too many, or keeps too much."""
    now = utc_now()
    made = Conversation(
        id=new_id(),
        user_id=user_id,
        title=tidy(title) or UNTITLED,
        titled_by=titled_by,
        model=model,
        system=system,
        parameters=parameters or {},
        leaf=None,
        created_at=now,
        updated_at=now,
    )
    count = select(func.count()).select_from(conversations).where(conversations.c.user_id == user_id)
    if (await tx.scalar(count) or 0) >= MOST_CONVERSATIONS:
        raise Conflict(
            f"You have {MOST_CONVERSATIONS:,} conversations, and more are not kept.", hint="Delete some of them."
        )
    values = {column.name: getattr(made, column.name) for column in _COLUMNS}
    counts = {"message_count": 0, "text_size": 0, "image_size": 0}
    await tx.execute(conversations.insert().values(**values, **counts, title_key=folded(made.title)))
    return made


async def get(tx: AsyncConnection, conversation_id: str, user_id: str) -> Conversation:
    """NotFound also for somebody else's."""
    mine = (conversations.c.id == conversation_id, conversations.c.user_id == user_id)
    row = (await tx.execute(select(*_COLUMNS).where(*mine))).first()
    if row is None:
        raise missing()
    return Conversation(*row)


async def page(
    tx: AsyncConnection, *, user_id: str, search: str | None = None, after: str | None = None, limit: int = 100
) -> list[Conversation]:
    """A user's conversations, the latest first, behind the one whose ``place`` is ``after``. ``search`` is part of a
    title or of a message, in any case. InvalidRequest for a place that is none."""
    statement = select(*_COLUMNS).where(conversations.c.user_id == user_id)
    order = tuple_(conversations.c.updated_at, conversations.c.id)
    if after is not None:
        statement = statement.where(order < tuple_(*_place(after)))
    if search:
        statement = statement.where(_found(tx, folded(search)))
    statement = statement.order_by(conversations.c.updated_at.desc(), conversations.c.id.desc()).limit(limit)
    return [Conversation(*row) for row in await tx.execute(statement)]


async def ids(tx: AsyncConnection, user_id: str) -> list[str]:
    """Of all conversations of a user, the oldest first."""
    statement = select(conversations.c.id).where(conversations.c.user_id == user_id).order_by(conversations.c.id)
    return list((await tx.execute(statement)).scalars())


async def update(tx: AsyncConnection, conversation_id: str, **changes: Unpack[ConversationChanges]) -> Conversation:
    """Change what is named. Its place in the list stays, and so does the time until which it is kept: they follow from
    what was said in it. InvalidRequest: an empty title; NotFound: the conversation, or the ``leaf`` in it."""
    values: dict[str, Any] = dict(changes)
    if "title" in values:
        values["title"] = tidy(values["title"])
        if not values["title"]:
            raise InvalidRequest("The title is empty.", param="title")
        values["title_key"] = folded(values["title"])
    if values.get("leaf") is not None:
        there = (messages.c.id == values["leaf"], messages.c.conversation_id == conversation_id)
        if await tx.scalar(select(messages.c.id).where(*there)) is None:
            raise NotFound("There is no such message in this conversation.")
    this = conversations.c.id == conversation_id
    if values:
        await tx.execute(conversations.update().where(this).values(**values))
    row = (await tx.execute(select(*_COLUMNS).where(this))).first()
    if row is None:
        raise missing()
    return Conversation(*row)


async def retitle(tx: AsyncConnection, conversation_id: str, title: str) -> str | None:
    """Give it a title unless its user has named it. The title as it is now; None when it was not changed."""
    title = tidy(title)
    unnamed = (conversations.c.id == conversation_id, conversations.c.titled_by == "auto")
    values = {"title": title, "title_key": folded(title)}
    if not title or not (await tx.execute(conversations.update().where(*unnamed).values(**values))).rowcount:
        return None
    return title


async def check_room(tx: AsyncConnection, conversation_id: str, *, text: int = 0, image_bytes: int = 0) -> None:
    """Raises Conflict unless there is room for another question of so many bytes, and its answer. NotFound: the
    conversation.

    Asked before a turn begins: an answer that has been made is kept, even if it is a little too much.
    """
    columns = ("user_id", "message_count", "text_size", "image_size")
    statement = select(*(conversations.c[name] for name in columns)).where(conversations.c.id == conversation_id)
    row = (await tx.execute(statement)).first()
    if row is None:
        raise missing()
    if row.message_count + 2 > MOST_MESSAGES or row.text_size + text > LARGEST_TEXT:
        raise Conflict("This conversation is as long as one may get.", hint="Start a new one.")
    if row.image_size + image_bytes > LARGEST_IMAGES:
        raise Conflict("This conversation holds as many pictures as one may.", hint="Start a new one.")
    sizes = func.sum(conversations.c.text_size + conversations.c.image_size)
    kept = await tx.scalar(select(sizes).where(conversations.c.user_id == row.user_id)) or 0
    if int(kept) + text + image_bytes > LARGEST_OF_USER:
        raise Conflict("You keep as much as one may.", hint="Delete some conversations, those with pictures first.")


async def grow(tx: AsyncConnection, conversation_id: str, *, leaf: str, text: int, image_bytes: int) -> int:
    """Count one more message of so many bytes, which becomes the leaf. Its number; NotFound."""
    count = conversations.c.message_count + 1
    statement = (
        conversations.update()
        .where(conversations.c.id == conversation_id)
        .values(
            leaf=leaf,
            updated_at=utc_now(),
            message_count=count,
            text_size=conversations.c.text_size + MESSAGE_BYTES + text,
            image_size=conversations.c.image_size + image_bytes,
        )
        .returning(conversations.c.message_count)
    )
    number: int | None = await tx.scalar(statement)
    if number is None:
        raise missing()
    return number


async def resize(tx: AsyncConnection, conversation_id: str, text: int) -> None:
    """Count so many bytes of text more, or less, of a message that was corrected now. Conflict when it is too much."""
    size = conversations.c.text_size + text
    statement = conversations.update().where(conversations.c.id == conversation_id)
    kept = await tx.scalar(statement.values(text_size=size, updated_at=utc_now()).returning(conversations.c.text_size))
    if text > 0 and (kept or 0) > LARGEST_TEXT:
        raise Conflict("This conversation is as long as one may get.", hint="Start a new one.")


async def delete(tx: AsyncConnection, conversation_id: str) -> None:
    """With its messages and pictures. NotFound."""
    if not (await tx.execute(conversations.delete().where(conversations.c.id == conversation_id))).rowcount:
        raise missing()


async def delete_all(tx: AsyncConnection, user_id: str, limit: int = PIECE) -> int:
    """Delete some of a user's conversations: as many as one transaction can. How many; 0 when there are none."""
    return await _delete_some(tx, conversations.c.user_id == user_id, limit)


async def delete_before(tx: AsyncConnection, moment: datetime, limit: int = PIECE) -> int:
    """Delete some of the conversations in which nothing was said since then: as many as one transaction can, and at
    most ``limit``. How many; 0 when there are none."""
    return await _delete_some(tx, conversations.c.updated_at < moment, limit)


async def forget_user(database: Database, user_id: str) -> int:
    """Delete everything that a user keeps, in as many transactions as that takes: 512 MiB would be too much for one.
    How many conversations it was. When it fails some are left, and it can be done again."""
    deleted = 0
    # More may be made meanwhile; somebody who makes them without end is not followed without end.
    while deleted < 2 * MOST_CONVERSATIONS:
        async with database.begin() as tx:
            piece = await delete_all(tx, user_id)
        if not piece:
            break
        deleted += piece
    return deleted


async def _delete_some(tx: AsyncConnection, condition: ColumnElement[bool], limit: int) -> int:
    size = conversations.c.text_size + conversations.c.image_size
    statement = select(conversations.c.id, conversations.c.message_count, size).where(condition)
    chosen: list[str] = []
    work = 0
    for row in await tx.execute(statement.order_by(conversations.c.updated_at, conversations.c.id).limit(limit)):
        work += 1 + row[1] + row[2] // _BYTES_LIKE_A_MESSAGE
        if chosen and work > _PIECE_MESSAGES:
            break
        chosen.append(row[0])
    if not chosen:
        return 0
    return (await tx.execute(conversations.delete().where(conversations.c.id.in_(chosen), condition))).rowcount


def tidy(title: str) -> str:
    """A title of one line. What else it may hold is whatever a user or a model says."""
    return " ".join(storable(title, 1000).split())[:200].strip()


def missing() -> NotFound:
    return NotFound("There is no such conversation.")


def _found(tx: AsyncConnection, needle: str) -> ColumnElement[bool]:
    said = exists().where(
        messages.c.conversation_id == conversations.c.id, search_text(tx).contains(needle, autoescape=True)
    )
    return or_(conversations.c.title_key.contains(needle, autoescape=True), said)


def _place(after: str) -> Sequence[Any]:
    moment, _, conversation_id = after.partition(" ")
    try:
        when = datetime.fromisoformat(moment)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None or not conversation_id:
        raise InvalidRequest(
            "The listing cannot go on from there.", hint="Start again at the first page.", param="after"
        )
    return cast("Sequence[Any]", (when, conversation_id))
