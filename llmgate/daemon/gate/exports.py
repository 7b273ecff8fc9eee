"""Conversations as files to keep: what is sent is made piece by piece, however much that is."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import unicodedata
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractContextManager
from typing import Literal
from urllib.parse import quote

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from llmgate import schemas
from llmgate.daemon.clock import utc_now
from llmgate.daemon.gate import markdown
from llmgate.daemon.outgoing import outgoing_of
from llmgate.daemon.store import conversations, images, messages
from llmgate.daemon.store.conversations import Conversation
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.messages import Message
from llmgate.errors import LLMGateError, NotFound

Format = Literal["json", "markdown"]

MEDIA_TYPES: dict[Format, str] = {"json": "application/json", "markdown": "text/markdown; charset=utf-8"}
_ENDINGS: dict[Format, str] = {"json": "json", "markdown": "md"}
_LONGEST_NAME = 60


class Download(StreamingResponse):
    """A file for the disk, which no browser opens in our place."""

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        name: str,
        format: Format,  # noqa: A002  as in the query
        hold: AbstractContextManager[None],
    ) -> None:
        """``hold`` is entered for as long as it is sent."""
        self._hold = hold
        headers = {
            "content-disposition": disposition(name, _ENDINGS[format]),
            "x-content-type-options": "nosniff",
            "x-accel-buffering": "no",
        }
        super().__init__(pieces, media_type=MEDIA_TYPES[format], headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What fails in between cuts the connection: the client must not take a part for the whole."""
        with self._hold:
            try:
                await super().__call__(scope, receive, send)
            except LLMGateError as failure:
                await outgoing_of(scope).hang_up(str(failure))


def size_of(said: Iterable[Message]) -> int:
    """About how many bytes of memory these messages take, without their pictures."""
    return sum(len(message.content) + len(message.thinking or "") for message in said)


def disposition(title: str, ending: str) -> str:
    """A header (RFC 6266) that names the file after the conversation: with letters and digits alone, of any script in
    the form for newer browsers."""
    words = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", title)).strip("-")
    name = f"chat-{words}"[:_LONGEST_NAME].rstrip("-")
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).rstrip("-")
    return f"attachment; filename=\"{plain}.{ending}\"; filename*=UTF-8''{quote(name, safe='')}.{ending}"


async def as_markdown(conversation: Conversation, branch: list[Message]) -> AsyncIterator[bytes]:
    yield (await asyncio.to_thread(markdown.document, conversation, branch)).encode()


async def as_json(database: Database, conversation: Conversation, tree: list[Message]) -> AsyncIterator[bytes]:
    """A ``ConversationDetail``, and in each of its images the bytes as ``data`` in base64. They are read one by one,
    each in a transaction of its own; one that is deleted meanwhile has none."""
    shown = detail(conversation, [])
    yield shown.model_dump_json(exclude={"messages"})[:-1].encode() + b',"messages":['
    for number, message in enumerate(tree):
        row = schemas.Message.model_validate(message)
        yield (b",\n" if number else b"\n") + row.model_dump_json(exclude={"images"})[:-1].encode() + b',"images":['
        for place, image in enumerate(row.images):
            data = await _data(database, conversation.user_id, image.id)
            yield (b"," if place else b"") + image.model_dump_json()[:-1].encode() + b',"data":' + data + b"}"
        yield b"]}"
    yield b"]}"


async def all_as_json(database: Database, user_id: str) -> AsyncIterator[bytes]:
    """A ``ConversationsExport`` of what the user has at this moment, one conversation after the other."""
    async with database.read() as tx:
        found = await conversations.ids(tx, user_id)
    yield b'{"exported_at":' + json.dumps(utc_now().isoformat()).encode() + b',"conversations":['
    is_first = True
    for conversation_id in found:
        try:
            async with database.read() as tx:
                one = await conversations.get(tx, conversation_id, user_id)
                tree = await messages.tree(tx, conversation_id)
        except NotFound:  # deleted meanwhile
            continue
        yield b"\n" if is_first else b",\n"
        is_first = False
        async for piece in as_json(database, one, tree):
            yield piece
    yield b"]}"


def detail(conversation: Conversation, tree: list[Message]) -> schemas.ConversationDetail:
    """The conversation as it is told."""
    return schemas.ConversationDetail(
        id=conversation.id,
        title=conversation.title,
        titled_by=conversation.titled_by,
        model=conversation.model,
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
        system=conversation.system,
        parameters=schemas.Parameters.model_validate(conversation.parameters),
        leaf=conversation.leaf,
        messages=[schemas.Message.model_validate(message) for message in tree],
    )


async def _data(database: Database, user_id: str, image_id: str) -> bytes:
    try:
        async with database.read() as tx:
            _, data = await images.get(tx, image_id, user_id)
    except NotFound:
        return b"null"
    return b'"' + await asyncio.to_thread(base64.b64encode, data) + b'"'
