"""Pictures: what users have sent with their messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.ids import new_id
from llmgate.daemon.store.chats import conversations, images, messages
from llmgate.errors import InvalidRequest, NotFound

MEDIA_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
"""What is kept, and handed out. No other one: some, like SVG, can hold a program."""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A picture without its bytes, of which there are ``size``."""

    id: str
    media_type: str
    size: int


async def add(tx: AsyncConnection, message_id: str, given: Sequence[tuple[str, bytes]]) -> list[ImageRef]:
    """Keep the pictures of a new message: pairs of media type and bytes. InvalidRequest for another type."""
    if any(media_type not in MEDIA_TYPES for media_type, _ in given):
        raise InvalidRequest("This is no picture that can be kept.", hint="Send PNG, JPEG, WebP or GIF.")
    refs = [ImageRef(new_id(), media_type, len(data)) for media_type, data in given]
    for number, (ref, (_, data)) in enumerate(zip(refs, given, strict=True)):
        values = {"id": ref.id, "media_type": ref.media_type, "size": ref.size, "data": data}
        await tx.execute(images.insert().values(**values, message_id=message_id, number=number))
    return refs


async def refs(tx: AsyncConnection, condition: ColumnElement[bool]) -> dict[str, list[ImageRef]]:
    """The pictures of the messages for which it holds, by the message's id, in the order in which they were sent."""
    columns = (images.c.message_id, images.c.id, images.c.media_type, images.c.size)
    joined = images.join(messages, images.c.message_id == messages.c.id)
    statement = select(*columns).select_from(joined).where(condition)
    found: dict[str, list[ImageRef]] = {}
    for message_id, *values in await tx.execute(statement.order_by(images.c.message_id, images.c.number)):
        found.setdefault(message_id, []).append(ImageRef(*values))
    return found


async def bytes_of(tx: AsyncConnection, message_ids: Iterable[str]) -> dict[str, list[tuple[str, bytes]]]:
    """The pictures of these messages: media type and bytes, by the message's id."""
    columns = (images.c.message_id, images.c.media_type, images.c.data)
    statement = select(*columns).where(images.c.message_id.in_(list(message_ids)))
    found: dict[str, list[tuple[str, bytes]]] = {}
    for message_id, media_type, data in await tx.execute(statement.order_by(images.c.message_id, images.c.number)):
        found.setdefault(message_id, []).append((media_type, data))
    return found


async def get(tx: AsyncConnection, image_id: str, user_id: str) -> tuple[str, bytes]:
    """Media type and bytes of a picture. NotFound also for somebody else's."""
    row = (await tx.execute(_of_user(image_id, user_id).add_columns(images.c.data))).first()
    if row is None:
        raise _missing()
    return row[1], row[2]


async def ref(tx: AsyncConnection, image_id: str, user_id: str) -> ImageRef:
    """A picture without its bytes. NotFound also for somebody else's."""
    row = (await tx.execute(_of_user(image_id, user_id).add_columns(images.c.size))).first()
    if row is None:
        raise _missing()
    return ImageRef(*row)


def _of_user(image_id: str, user_id: str) -> Select[tuple[str, str]]:
    joined = images.join(messages, images.c.message_id == messages.c.id).join(
        conversations, messages.c.conversation_id == conversations.c.id
    )
    mine = (images.c.id == image_id, conversations.c.user_id == user_id)
    return select(images.c.id, images.c.media_type).select_from(joined).where(*mine)


def _missing() -> NotFound:
    return NotFound("There is no such picture.")
