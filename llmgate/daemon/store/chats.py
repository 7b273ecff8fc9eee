"""The tables of what is kept of people's chats, and what the three modules that work on them share.

Each of them is one noun: ``conversations``, ``messages``, ``images``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    func,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.store.types import Text, UtcDateTime, metadata

LONGEST_ANSWER = 1_000_000
"""Characters of one message, and of what a model has thought. The rest of a longer one is not kept."""
_PIECE: Final = 128
"""Characters that are folded at once: to bring the marks of one character into their order takes a time that grows with
the square of their number."""

conversations = Table(
    "conversations",
    metadata,
    Column("id", Text(26), primary_key=True),
    Column("user_id", Text(26), ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("leaf", Text(26)),
    Column("message_count", Integer, nullable=False),
    Column("text_size", BigInteger, nullable=False),
    Column("image_size", BigInteger, nullable=False),
    Column("title", Text(200), nullable=False),
    Column("title_key", Text(1000), nullable=False),
    Column("titled_by", Text(20), nullable=False),
    Column("model", Text(512), nullable=False),
    Column("parameters", JSON(none_as_null=True), nullable=False),
    Column("system", Text(20_000)),
    Index(None, "user_id", "updated_at", "id"),
    Index(None, "updated_at", "id"),
    # How much a user keeps is summed up from this one alone.
    Index(None, "user_id", "text_size", "image_size"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", Text(26), primary_key=True),
    Column("conversation_id", Text(26), ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    # The order in which they came. The clocks of several daemons would not tell it.
    Column("number", Integer, nullable=False),
    Column("parent", Text(26)),
    Column("role", Text(20), nullable=False),
    Column("model", Text(512)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("outcome", Text(20)),
    Column("error_code", Text(100)),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("duration", Double),
    Column("notice", Text(1000)),
    Column("content", Text(LONGEST_ANSWER), nullable=False),
    # Only where lower() of the database would not do: see ``search_text``.
    Column("folded", Text(4 * LONGEST_ANSWER)),
    Column("thinking", Text(LONGEST_ANSWER)),
    Index(None, "conversation_id", "number", unique=True),
)

images = Table(
    "images",
    metadata,
    Column("id", Text(26), primary_key=True),
    Column("message_id", Text(26), ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("media_type", Text(40), nullable=False),
    Column("size", Integer, nullable=False),
    # The last one, so that SQLite need not read past it for the others.
    Column("data", LargeBinary, nullable=False),
    Index(None, "message_id", "number", unique=True),
)


def folded(text: str) -> str:
    """The text so that what differs only in case, or in how Unicode spells it, is the same."""
    if text.isascii():
        return text.lower()
    return "".join(unicodedata.normalize("NFKC", piece).casefold() for piece in _pieces(text))


def _pieces(text: str) -> Iterator[str]:
    """The text in short pieces, cut where nothing is torn apart that Unicode composes; but for more marks of one
    character than any language has."""
    begin = 0
    while begin < len(text):
        end = begin + _PIECE
        while end < min(len(text), begin + 2 * _PIECE) and _joins(text[end]):
            end += 1
        yield text[begin:end]
        begin = end


def _joins(character: str) -> bool:
    """Whether it may become one with what is before it: a mark, or a part of a syllable."""
    if character.isascii():
        return False
    is_part = "\u1160" <= character <= "\u11ff" or "\uff9e" <= character <= "\uffdc"
    return is_part or unicodedata.category(character).startswith("M")


def search_key(content: str) -> str | None:
    """What ``messages.folded`` is for a text: None where the database can do the same by itself."""
    return None if content.isascii() else folded(content)


def search_text(tx: AsyncConnection) -> ColumnElement[str]:
    """What is searched of a message. What the databases know of letters differs, and depends on how they were set up:
    they are left only those of ASCII."""
    content = messages.c.content.collate("C") if tx.dialect.name == "postgresql" else messages.c.content
    return func.coalesce(messages.c.folded, func.lower(content))
