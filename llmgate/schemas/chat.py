"""The frames of a chat: what the page and the daemon tell each other, over a WebSocket or as lines of NDJSON.

A turn is one question to the model and its answer. Each of its frames has ``turn`` and ``seq``, which counts up from 1.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from llmgate.schemas.base import Answer, Request
from llmgate.schemas.conversations import (
    Message,
    MessageId,
    MessageRole,
    ModelName,
    Parameters,
    System,
    Text,
    TurnOutcome,
)

MOST_IMAGES = 8
LARGEST_IMAGE = 5 * 1024 * 1024
"""Bytes, decoded."""
MOST_HISTORY = 1000

Ref = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
TurnId = Annotated[str, Field(min_length=1, max_length=64)]
TurnState = Literal["queued", "started", "thinking", "answering", "ended"]


class ImageData(Request):
    """A picture in base64."""

    media_type: Literal["image/png", "image/jpeg", "image/webp", "image/gif"]
    data: Annotated[str, Field(max_length=(LARGEST_IMAGE * 4) // 3 + 8)]


Images = Annotated[list[ImageData], Field(max_length=MOST_IMAGES)]


class Said(Request):
    """What was said before, in a temporary chat."""

    role: MessageRole
    content: Text
    images: Images = Field([])


class Start(Request):
    """Ask the model. ``ref`` is chosen by the client and names the turn until it knows better: the same one again
    attaches to the turn instead of starting another. Who repeats a start says so with ``again``: only then the turn is
    also looked for at the other daemons of a cluster.

    ``send`` puts ``content`` below ``parent`` and has it answered; ``regenerate`` has the user's message ``parent``
    answered once more; ``continue`` goes on with the answer ``parent``, in a copy beside it. ``keep: false`` is a
    temporary chat: nothing is kept, and ``history`` is what came before.
    """

    type: Literal["start"] = "start"
    ref: Ref
    again: bool = False
    conversation: MessageId | None = None
    parent: MessageId | None = None
    mode: Literal["send", "regenerate", "continue"] = "send"
    content: Text = ""
    images: Images = Field([])
    model: ModelName
    system: System | None = None
    parameters: Parameters = Parameters()
    keep: bool = True
    history: Annotated[list[Said], Field(max_length=MOST_HISTORY)] = Field([])


class Stop(Request):
    """End the turn: out of the line, or its generation."""

    type: Literal["stop"]
    turn: TurnId


class Attach(Request):
    """Follow a turn that runs already."""

    type: Literal["attach"]
    turn: TurnId


class Bye(Request):
    """The page is being closed: what only it follows ends at once."""

    type: Literal["bye"]


class Here(Request):
    """Is anybody there? Answered in kind."""

    type: Literal["here"]


ClientFrame = Annotated[Start | Stop | Attach | Bye | Here, Field(discriminator="type")]
CLIENT_FRAME: TypeAdapter[Start | Stop | Attach | Bye | Here] = TypeAdapter(ClientFrame)


class RunningTurn(Answer):
    """One of the caller's turns that goes on. ``message`` is the id that its answer will have."""

    turn: str
    ref: str
    conversation: str | None
    message: str
    state: TurnState


class Hello(Answer):
    """The first frame of a connection. A turn that nobody follows any more goes on for ``grace_seconds``."""

    type: Literal["hello"] = "hello"
    version: str
    grace_seconds: float
    turns: list[RunningTurn]


class TurnFrame(Answer):
    """What all frames of a turn have."""

    turn: str
    seq: int


class Accepted(TurnFrame):
    """The turn goes into the line. ``user_message`` is the question as it was kept."""

    type: Literal["accepted"] = "accepted"
    ref: str
    conversation: str | None
    user_message: Message | None
    message: str
    parent: str | None


class Queued(TurnFrame):
    """It waits. ``ahead`` are the requests that will be served before it; it may grow, when somebody of a better level
    comes. ``estimated_wait`` is null where there is nothing to estimate from."""

    type: Literal["queued"] = "queued"
    ahead: int
    level: int
    submitted_level: int
    aged: bool
    waited: float
    estimated_wait: float | None


class Started(TurnFrame):
    """It has its slot. ``loading``: the model is not in memory yet."""

    type: Literal["started"] = "started"
    waited: float
    loading: bool


class Notice(TurnFrame):
    """Older messages did not fit into the model's window (in tokens) and were left out; or the question is too long."""

    type: Literal["notice"] = "notice"
    kind: Literal["trimmed"] = "trimmed"
    dropped: int
    kept: int
    window: int
    text: str


class Thinking(TurnFrame):
    """A piece of the model's reasoning."""

    type: Literal["thinking"] = "thinking"
    text: str


class Token(TurnFrame):
    """A piece of the answer."""

    type: Literal["token"] = "token"
    text: str


class Snapshot(TurnFrame):
    """All of a turn so far; what comes after it goes on from here."""

    type: Literal["snapshot"] = "snapshot"
    ref: str
    conversation: str | None
    parent: str | None
    message: str
    model: str
    state: TurnState
    waited: float | None
    ahead: int | None
    estimated_wait: float | None
    loading: bool
    thinking: str
    content: str
    notice: str | None


class TurnUsage(Answer):
    """What the turn took. Times are seconds, ``first_token`` from the start; counts are null where none was told."""

    input_tokens: int | None
    output_tokens: int | None
    waited: float | None
    first_token: float | None
    duration: float
    tokens_per_second: float | None


class Done(TurnFrame):
    """The last frame of every turn. ``error`` is a problem document, when it failed."""

    type: Literal["done"] = "done"
    outcome: TurnOutcome
    message: Message
    error: dict[str, Any] | None
    usage: TurnUsage


class Titled(Answer):
    """The conversation has got a title from its first exchange."""

    type: Literal["title"] = "title"
    conversation: str
    title: str


class Refused(Answer):
    """A frame that was not taken: nothing was started, and nothing kept."""

    type: Literal["refused"] = "refused"
    ref: str | None
    error: dict[str, Any]


class Gone(Answer):
    """There is no such turn (any more): what became of it is in the conversation."""

    type: Literal["gone"] = "gone"
    turn: str


class HereToo(Answer):
    """The answer to ``here``."""

    type: Literal["here"] = "here"


ServerFrame = Annotated[
    Hello
    | Accepted
    | Queued
    | Started
    | Notice
    | Thinking
    | Token
    | Snapshot
    | Done
    | Titled
    | Refused
    | Gone
    | HereToo,
    Field(discriminator="type"),
]


class TurnsLeft(Request):
    """A page that is being closed says which turns it followed."""

    turns: Annotated[list[TurnId], Field(max_length=100)]
