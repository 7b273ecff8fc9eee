"""Conversations: what is kept of a user's chats."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from llmgate.schemas.base import Answer, Request, Update

MessageRole = Literal["user", "assistant"]
TurnOutcome = Literal["completed", "stopped", "failed"]

LONGEST_TEXT = 200_000
LONGEST_SYSTEM = 20_000
MOST_TOKENS = 10_000_000

Title = Annotated[str, Field(min_length=1, max_length=200)]
ModelName = Annotated[str, Field(min_length=1, max_length=512)]
System = Annotated[str, Field(max_length=LONGEST_SYSTEM)]
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
MessageId = Annotated[str, Field(pattern="^[0-9A-Z]{26}$")]


class Image(Answer):
    """A picture of a message; its bytes are at ``/gate/images/{id}``. ``size`` is in bytes."""

    id: str
    media_type: str
    size: int


class Message(Answer):
    """One message of the tree. ``parent`` is the one before it, null at the beginning.

    ``outcome``, ``model``, the counts and ``duration`` (seconds) are those of an answer. ``notice`` is what the user
    was told about it: that older messages did not fit into the model's window any more.
    """

    id: str
    parent: str | None
    role: MessageRole
    content: str
    thinking: str | None
    images: list[Image]
    model: str | None
    created_at: datetime
    outcome: TurnOutcome | None
    error_code: str | None
    input_tokens: int | None
    output_tokens: int | None
    duration: float | None
    notice: str | None


class Parameters(Request):
    """How the model is to answer; null: as the model has it. ``think``: whether it may reason first."""

    temperature: Annotated[float, Field(ge=0, le=5, strict=False)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, strict=False)] | None = None
    top_k: Annotated[int, Field(ge=0, le=10_000)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    num_predict: Annotated[int, Field(ge=1, le=MOST_TOKENS)] | None = None
    num_ctx: Annotated[int, Field(ge=256, le=MOST_TOKENS)] | None = None
    repeat_penalty: Annotated[float, Field(ge=0, le=5, strict=False)] | None = None
    stop: Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(max_length=8)] | None = None
    think: bool | None = None


class Conversation(Answer):
    """A conversation in a list. ``titled_by`` is ``auto`` until its user has named it."""

    id: str
    title: str
    titled_by: Literal["user", "auto"]
    model: str
    created_at: datetime
    updated_at: datetime


class ConversationDetail(Conversation):
    """A whole conversation. ``messages`` is the tree, oldest first; ``leaf`` the end of the branch that is shown."""

    system: str | None
    parameters: Parameters
    leaf: str | None
    messages: list[Message]


class ConversationsExport(Answer):
    """All conversations of a user, the oldest first. Their images have their bytes with them."""

    exported_at: datetime
    conversations: list[ConversationDetail]


class ConversationUpdate(Update):
    """``leaf`` chooses the branch that is shown."""

    nullable = frozenset({"system"})

    title: Title | None = None
    model: ModelName | None = None
    system: System | None = None
    parameters: Parameters | None = None
    leaf: MessageId | None = None


class MessageUpdate(Request):
    """The text of an answer, corrected."""

    content: Text


class ConversationsDeleted(Answer):
    """How many conversations were deleted."""

    deleted: int
